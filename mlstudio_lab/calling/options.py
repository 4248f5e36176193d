"""Process-wide options of libraries, as far as they differ from the libraries' defaults; nothing is imported for it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

_NONE: Final = object()


def take() -> dict[str, dict[str, Any]]:
    """Library -> option -> value for options set away from their defaults; empty for a fresh process.

    Values that are no JSON (formatting functions) are left out.

    Example:
        >>> sorted(take()) == sorted(k for k, v in take().items() if v)
        True
    """
    found = {name: read(sys.modules[module]) for name, (module, read, _) in _LIBRARIES.items() if module in sys.modules}
    return {name: values for name, values in found.items() if values}


def put(options: Mapping[str, Mapping[str, Any]]) -> None:
    """Sets options; libraries of the mapping that are not loaded are imported."""
    import importlib

    for name, values in options.items():
        if name in _LIBRARIES:
            module, _, write = _LIBRARIES[name]
            write(importlib.import_module(module), values)


def reset(kept: Mapping[str, Mapping[str, Any]]) -> bool:
    """Brings every loaded library back to its defaults, apart from `kept`; whether that worked."""
    now = take()
    if now == kept:
        return True
    for name, values in now.items():
        _RESETS[name](sys.modules[_LIBRARIES[name][0]], values)
    put(kept)
    return take() == kept


def _json(value: Any) -> bool:
    if value is None or isinstance(value, (bool, int, float, str)):
        return True
    if isinstance(value, (list, tuple)):
        return all(_json(v) for v in value)
    return isinstance(value, dict) and all(isinstance(k, str) and _json(v) for k, v in value.items())


def _pandas(pandas: Any) -> dict[str, Any]:
    config = sys.modules.get("pandas._config.config")
    if config is None:
        return {}
    found: dict[str, Any] = {}
    tree = config._global_config
    for key, option in config._registered_options.items():
        node: Any = tree
        for part in key.split("."):
            node = node[part]
        if node is not option.defval and node != option.defval and _json(node):
            found[key] = node
    return found


def _put_pandas(pandas: Any, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        try:
            pandas.set_option(key, value)
        except (KeyError, ValueError):
            # Another pandas names its options differently; the lock's check has spoken already.
            continue


def _reset_pandas(pandas: Any, values: Mapping[str, Any]) -> None:
    defaults = sys.modules["pandas._config.config"]._registered_options
    for key in values:
        pandas.set_option(key, defaults[key].defval)


_POLARS_DEFAULTS: Final = {
    "set_fmt_float": "mixed", "set_float_precision": None, "set_thousands_separator": "", "set_decimal_separator": ".",
    "set_trim_decimal_zeros": False,
}  # fmt: skip


def _polars(polars: Any) -> dict[str, Any]:
    config = sys.modules.get("polars.config")
    names, direct = getattr(config, "_POLARS_CFG_ENV_VARS", None), getattr(config, "_POLARS_CFG_DIRECT_VARS", None)
    if names is None or direct is None:
        state = polars.Config.state(if_set=True)
    else:
        # What Config.state(if_set=True) gives, without asking for 26 variables one by one.
        held = getattr(os.environ, "_data", {})
        state = {name.decode(): os.environ[name.decode()] for name in held if name.startswith(b"POLARS_") and name.decode() in names}
        state.update({name: get() for name, get in direct.items()})
    return {k: v for k, v in state.items() if v != _POLARS_DEFAULTS.get(k, _NONE) and _json(v)}


def _put_polars(polars: Any, values: Mapping[str, Any]) -> None:
    environment = {k: v for k, v in values.items() if not k.startswith("set_")}
    direct = {k: v for k, v in values.items() if k.startswith("set_")}
    polars.Config.load(json.dumps({"environment": environment, "direct": direct}))


def _reset_polars(polars: Any, values: Mapping[str, Any]) -> None:
    polars.Config.restore_defaults()


_NUMPY_ERRORS: Final = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
_numpy_prints: dict[str, Any] = {}


def _numpy_defaults(numpy: Any) -> dict[str, Any]:
    if not _numpy_prints:
        # numpy keeps no table of its defaults under a public name; these are documented at numpy.set_printoptions.
        _numpy_prints.update(
            precision=8, threshold=1000, edgeitems=3, linewidth=75, suppress=False, nanstr="nan", infstr="inf",
            sign="-", formatter=None, floatmode="maxprec", legacy=False, override_repr=None,
        )  # fmt: skip
    return _numpy_prints


def _numpy(numpy: Any) -> dict[str, Any]:
    defaults = _numpy_defaults(numpy)
    found = {k: v for k, v in numpy.get_printoptions().items() if k in defaults and v != defaults[k] and _json(v)}
    errors = numpy.geterr()
    if errors != _NUMPY_ERRORS:
        found["errors"] = errors
    return found


def _put_numpy(numpy: Any, values: Mapping[str, Any]) -> None:
    prints = {k: v for k, v in values.items() if k != "errors"}
    if prints:
        numpy.set_printoptions(**prints)
    if "errors" in values:
        numpy.seterr(**values["errors"])


def _reset_numpy(numpy: Any, values: Mapping[str, Any]) -> None:
    defaults = _numpy_defaults(numpy)
    numpy.set_printoptions(**{k: defaults[k] for k in values if k != "errors"})
    numpy.seterr(**_NUMPY_ERRORS)


_INLINE: Final = "module://matplotlib_inline.backend_inline"
_SKIPPED_RC: Final = frozenset({"backend", "backend_fallback", "interactive"})


def _matplotlib(matplotlib: Any) -> dict[str, Any]:
    # Read below RcParams' own look-up, which would choose a backend.
    now, defaults = matplotlib.rcParams, matplotlib.rcParamsDefault
    found: dict[str, Any] = {}
    for key, value in dict.items(now):
        default = dict.get(defaults, key, _NONE)
        if value is default or key in _SKIPPED_RC or value == default:
            continue
        if key == "axes.prop_cycle":
            found[key] = {k: list(v) for k, v in value.by_key().items()}
        elif _json(value):
            found[key] = value
    return found


def is_inline() -> bool:
    """Whether matplotlib is loaded here and draws into the notebook."""
    matplotlib: Any = sys.modules.get("matplotlib")
    backend = dict.get(matplotlib.rcParams, "backend") if hasattr(matplotlib, "rcParams") else None
    return isinstance(backend, str) and "inline" in backend


def draw_inline() -> None:
    """Makes a loaded matplotlib draw into the notebook; one loaded later follows MPLBACKEND by itself."""
    matplotlib: Any = sys.modules.get("matplotlib")
    if not hasattr(matplotlib, "use"):
        return
    if not is_inline():
        matplotlib.use(_INLINE)
    # The inline backend shows what was drawn while interactive, and a run before may have put that back.
    matplotlib.interactive(True)


def _put_matplotlib(matplotlib: Any, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if key == "axes.prop_cycle":
            from cycler import cycler

            matplotlib.rcParams[key] = cycler(**value)
        elif key in matplotlib.rcParams:
            matplotlib.rcParams[key] = value


def _reset_matplotlib(matplotlib: Any, values: Mapping[str, Any]) -> None:
    for key in values:
        dict.__setitem__(matplotlib.rcParams, key, dict.__getitem__(matplotlib.rcParamsDefault, key))


_DECIMAL: Final = (28, "ROUND_HALF_EVEN")


def _decimal(decimal: Any) -> dict[str, Any]:
    context = decimal.getcontext()
    return {} if (context.prec, context.rounding) == _DECIMAL else {"prec": context.prec, "rounding": context.rounding}


def _put_decimal(decimal: Any, values: Mapping[str, Any]) -> None:
    context = decimal.getcontext()
    context.prec, context.rounding = values["prec"], values["rounding"]


def _reset_decimal(decimal: Any, values: Mapping[str, Any]) -> None:
    _put_decimal(decimal, {"prec": _DECIMAL[0], "rounding": _DECIMAL[1]})


_LIBRARIES: Final[dict[str, tuple[str, Any, Any]]] = {
    "pandas": ("pandas", _pandas, _put_pandas),
    "polars": ("polars", _polars, _put_polars),
    "numpy": ("numpy", _numpy, _put_numpy),
    "matplotlib": ("matplotlib", _matplotlib, _put_matplotlib),
    "decimal": ("decimal", _decimal, _put_decimal),
}
_RESETS: Final[dict[str, Any]] = {
    "pandas": _reset_pandas, "polars": _reset_polars, "numpy": _reset_numpy, "matplotlib": _reset_matplotlib, "decimal": _reset_decimal,
}  # fmt: skip

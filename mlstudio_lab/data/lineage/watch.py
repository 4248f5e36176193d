"""Sees every way in which Python can read a known frame or run a plan over one.

polars' Python layer is thin: all data lives behind the Rust classes `PyDataFrame` and `PyLazyFrame`. Their methods, and the
functions of the Rust module that take frames, are wrapped while a run is observed. What is not listed here as harmless is
taken for a read, so a method that is forgotten widens and never hides.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final, Protocol

from mlstudio_lab.data.lineage.eager import CHANGES, DERIVES
from mlstudio_lab.data.lineage.functions import words
from mlstudio_lab.data.lineage.leaves import is_reading, reading
from mlstudio_lab.data.lineage.quiet import find_stacklevel

Call = Callable[[], Any]


class Observer(Protocol):
    """Who is told."""

    def ran(self, plans: list[Any], call: Call) -> Any:
        """Runs plans to native frames."""
        ...

    def escaped(self, things: list[Any], how: str, column: str | None = None) -> None:
        """Python is about to read native frames or plans; one column of a frame, or all of it."""
        ...

    def counted(self, native: Any, how: str) -> None:
        """Python is about to learn how many rows a native frame has."""
        ...

    def derived(self, rule: Callable[..., Any], how: str, things: list[Any], args: tuple[Any, ...], call: Call) -> Any:
        """A native frame is made from others by a known rule."""
        ...

    def changed(self, rule: Callable[..., Any], how: str, native: Any, args: tuple[Any, ...], call: Call) -> Any:
        """A native frame is changed in place by a known rule."""
        ...

    def lazy(self, native: Any, plan: Any) -> Any:
        """A native frame becomes a plan."""
        ...

    def wrapped(self, wrapper: Any, native: Any) -> None:
        """A `polars.DataFrame` was made around a native frame."""
        ...

    def returned(self, value: Any) -> None:
        """Python code called by a plan gave a value back to polars."""
        ...


SCHEMA: Final = frozenset({"columns", "dtypes", "dtype_strings", "width", "get_column_index"})
"""Methods of native frames that tell names and types only."""

COUNTING: Final = frozenset({"height", "shape", "is_empty", "n_chunks"})
"""Methods of native frames that tell how many rows there are."""

BUILDING: Final = words(
    """
    sort sort_by_exprs top_k bottom_k cache with_optimizations filter remove select select_seq group_by rolling
    group_by_dynamic join_asof join join_where gather with_columns with_columns_seq match_to_schema pipe_with_schema rename
    reverse shift fill_nan min max sum mean std var median quantile explode null_count unique drop_nans drop_nulls slice tail
    unpivot with_row_index drop cast cast_all clone collect_schema unnest count merge_sorted hint_sorted _node_name
    describe_plan describe_optimized_plan describe_plan_tree describe_optimized_plan_tree to_dot to_dot_streaming_phys
    """
)
"""Methods of plans that build another plan or tell its text and schema, and touch no data."""

FRAMELESS: Final = words(
    """
    all_horizontal any_horizontal arctan2 arg_sort_by arg_where as_struct assert_schema_equal_py business_day_count check_length
    coalesce col config_reload_env_var config_reload_env_vars concat_arr concat_expr concat_lf concat_lf_diagonal
    concat_lf_horizontal concat_list concat_series concat_str cov cum_fold cum_reduce date_range date_ranges datetime
    datetime_range datetime_ranges dtype_str_repr duration eager_int_range element escape_regex explain_all field fold
    gen_uuid_v7 get_decimal_separator get_engine_affinity get_float_fmt get_float_precision get_index_type
    get_thousands_separator get_trim_decimal_zeros init_polars_schema_from_arrow_c_schema int_range int_ranges len
    linear_space linear_spaces list lit map_expr max_horizontal mean_horizontal min_horizontal pearson_corr pipe_with_dtype
    polars_schema_field_from_arrow_c_schema polars_schema_to_pycapsule read_clipboard_string read_ipc_schema
    read_parquet_metadata reduce register_plugin_function repeat rolling_corr rolling_cov set_decimal_separator set_float_fmt
    set_float_precision set_query_monitoring set_random_seed set_thousands_separator set_trim_decimal_zeros spearman_rank_corr
    sql_expr sum_horizontal thread_pool_size time_range time_ranges when write_clipboard_string collect_all_lazy
    assert_series_equal_py
    """
)
"""Functions of the Rust module that build expressions and plans or take no frame at all."""

CALLING_BACK: Final = frozenset({"map_batches", "map_groups", "group_by_map_groups", "map_rows"})
"""Methods that hand frames to Python code and take its answer."""

_lock = threading.RLock()
_observers: list[Observer] = []
_saved: list[tuple[Any, str, Any]] = []


def current() -> Observer | None:
    """The observer of this process, None while no run is observed."""
    return _observers[-1] if _observers else None


@contextmanager
def watching(observer: Observer) -> Iterator[Observer | None]:
    """Tells `observer` of all reads until it closes; gives the observer that it displaces meanwhile, if any."""
    with _lock:
        displaced = current()
        _observers.append(observer)
        if displaced is None:
            for owner, name, replacement in _replacements():
                _saved.append((owner, name, vars(owner)[name]))
                setattr(owner, name, replacement)
    try:
        yield displaced
    finally:
        with _lock:
            _observers.remove(observer)
            if not _observers:
                while _saved:
                    owner, name, original = _saved.pop()
                    setattr(owner, name, original)


def _natives(values: Any, depth: int = 0) -> list[Any]:
    """The native frames and plans among arguments, also in lists and inside polars' own wrappers."""
    found: list[Any] = []
    for value in values:
        kind = type(value).__name__
        if kind in ("PyDataFrame", "PyLazyFrame"):
            found.append(value)
        elif isinstance(value, (list, tuple)) and depth < 3:
            found.extend(_natives(value, depth + 1))
        else:
            native = getattr(value, "_df", None) if kind == "DataFrame" else getattr(value, "_ldf", None) if kind == "LazyFrame" else None
            if native is not None:
                found.append(native)
    return found


class _Answer:
    """A Python function called by a plan, whose answer is looked at before polars takes it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        answer = self.function(*args, **kwargs)
        observer = current()
        if observer is not None:
            observer.returned(answer)
        return answer


def _hook(original: Any, name: str, act: Callable[[Observer, tuple[Any, ...], Call], Any], *, answers: bool = False) -> Any:
    def hooked(*args: Any, **kwargs: Any) -> Any:
        observer = current()
        if observer is None:
            return original(*args, **kwargs)
        if answers:
            args = tuple(_Answer(value) if callable(value) else value for value in args)
            kwargs = {key: _Answer(value) if callable(value) else value for key, value in kwargs.items()}
        return act(observer, (*args, *kwargs.values()), lambda: original(*args, **kwargs))

    functools.update_wrapper(hooked, original, assigned=("__name__", "__qualname__", "__doc__"), updated=())
    return hooked


def _on_frame(name: str) -> Callable[[Observer, tuple[Any, ...], Call], Any]:
    """What to do when Python calls the method `name` of a native frame."""
    if name == "lazy":
        return lambda observer, args, call: observer.lazy(args[0], call())
    if name in DERIVES:
        return lambda observer, args, call: observer.derived(DERIVES[name], name, _natives(args), args[1:], call)
    if name in CHANGES:
        return lambda observer, args, call: observer.changed(CHANGES[name], name, args[0], args[1:], call)

    def act(observer: Observer, args: tuple[Any, ...], call: Call) -> Any:
        if name in COUNTING:
            observer.counted(args[0], name)
        elif name in ("get_column", "drop_in_place"):
            observer.escaped([args[0]], name, str(args[1]))
        elif name == "to_series":
            columns = args[0].columns()
            observer.escaped([args[0]], name, columns[args[1]] if -len(columns) <= args[1] < len(columns) else None)
        else:
            observer.escaped(_natives(args), name)
        return call()

    return act


def _on_plan(name: str) -> Callable[[Observer, tuple[Any, ...], Call], Any]:
    """What to do when Python calls the method `name` of a plan."""
    if name == "collect":

        def collect(observer: Observer, args: tuple[Any, ...], call: Call) -> Any:
            # A callback of the person may collect while a plan is being read: that is a run like any other.
            with reading(False):
                return observer.ran([args[0]], call)

        return collect

    def act(observer: Observer, args: tuple[Any, ...], call: Call) -> Any:
        if name in CALLING_BACK or (name == "visit" and is_reading()):
            return call()
        if name == "pivot":
            # Builds a plan, from a frame whose values become column names.
            observer.escaped(_natives(args[1:]), name)
            return call()
        with reading(False):
            observer.escaped(_natives(args), name)
            return call()

    return act


def _on_function(name: str) -> Callable[[Observer, tuple[Any, ...], Call], Any]:
    """What to do when Python calls the Rust module's function `name`."""

    def act(observer: Observer, args: tuple[Any, ...], call: Call) -> Any:
        if name == "collect_all":
            return observer.ran(_natives(args), call)
        if name in DERIVES:
            return observer.derived(DERIVES[name], name, _natives(args), args, call)
        observer.escaped(_natives(args), name)
        return call()

    return act


@functools.lru_cache(maxsize=1)
def _methods() -> list[tuple[Any, str, Any]]:
    import polars as pl
    from polars import _plr

    found: list[tuple[Any, str, Any]] = []
    for owner, harmless, on in (
        (_plr.PyDataFrame, SCHEMA, _on_frame),
        (_plr.PyLazyFrame, BUILDING, _on_plan),
        (_plr.PyLazyGroupBy, frozenset({"having", "agg", "head", "tail"}), _on_plan),
    ):
        for name, original in vars(owner).items():
            # Constructors make frames out of other things; a static method has no frame to read.
            if callable(original) and name not in harmless and not isinstance(original, (staticmethod, classmethod)) and name != "__new__":
                if type(original).__name__ == "builtin_function_or_method":
                    continue
                found.append((owner, name, _hook(original, name, on(name), answers=name in CALLING_BACK)))
    found.append((pl.DataFrame, "_from_pydf", classmethod(_from_native(vars(pl.DataFrame)["_from_pydf"].__func__))))
    return found


def _from_native(original: Callable[..., Any]) -> Callable[..., Any]:
    def _from_pydf(cls: type, py_df: Any) -> Any:
        wrapper = original(cls, py_df)
        observer = current()
        if observer is not None:
            observer.wrapped(wrapper, py_df)
        return wrapper

    return functools.update_wrapper(_from_pydf, original)


@functools.lru_cache(maxsize=1)
def _functions() -> dict[str, tuple[Any, Any]]:
    from polars import _plr

    return {
        name: (function, _hook(function, name, _on_function(name)))
        for name, function in vars(_plr).items()
        if type(function).__name__ == "builtin_function_or_method" and name not in FRAMELESS and not name.startswith("__")
    }


def _replacements() -> Iterator[tuple[Any, str, Any]]:
    from polars import _plr, _warnings

    yield from _methods()
    yield _warnings, "find_stacklevel", find_stacklevel
    functions = _functions()
    for name, (_, hooked) in functions.items():
        if name in vars(_plr):
            yield _plr, name, hooked
    # `from polars._plr import f` copies a function into a module of polars: that name is replaced too.
    for path in ("polars.testing.asserts.frame",):
        module: ModuleType | None = sys.modules.get(path)
        for name, (original, hooked) in functions.items():
            if module is not None and vars(module).get(name) is original:
                yield module, name, hooked

"""A task's inputs as live values: the unpacked graph, and datasets opened here with the granted columns only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlstudio_lab.core.errors import BadInput, Denied
from mlstudio_lab.core.interface import Interface
from mlstudio_lab.data.content import describe
from mlstudio_lab.wire.task import Payload, Task, Value


@dataclass(slots=True)
class Inputs:
    """What a run is given.

    Attributes:
        args, kwargs: A function's arguments.
        globals: Free data names and a cell's inputs.
        known: The graph's node table, for what comes back; None when nothing came as a graph.
        moved: Bytes decoded.
    """

    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    globals: dict[str, Any] = field(default_factory=dict)
    known: Any = None
    moved: int = 0

    def named(self, interface: Interface) -> dict[str, Any]:
        """Every input by its parameter or variable name; collected arguments as `*args` has them, by the parameter's name.

        Example:
            >>> from mlstudio_lab.core.interface import Port
            >>> Inputs(args=[1, 2]).named(Interface((Port("a"), Port("rest", variadic="*"))))
            {'a': 1, 'rest': (2,)}
        """
        found: dict[str, Any] = {}
        waiting = list(self.args)
        for port in interface.inputs:
            if port.implicit or not waiting:
                continue
            if port.variadic == "*":
                found[port.name], waiting = tuple(waiting), []
            elif not port.variadic and port.name not in self.kwargs:
                found[port.name] = waiting.pop(0)
        for number, value in enumerate(waiting):
            found[f"argument {number + 1}"] = value
        return {**self.globals, **found, **self.kwargs}

    def put(self, name: str, value: Any, interface: Interface, *, free: bool) -> None:
        """Sets one input by name, in place of whatever argument the caller gave for it.

        Example:
            >>> from mlstudio_lab.core.interface import Port
            >>> inputs = Inputs(args=[1, 2]); inputs.put("b", 5, Interface((Port("a"), Port("b"))), free=False); inputs.args
            [1, 5]
        """
        if free:
            self.globals[name] = value
            return
        positional = [port.name for port in interface.inputs if not port.implicit and not port.variadic]
        if name in positional and positional.index(name) < len(self.args):
            self.args[positional.index(name)] = value
        else:
            self.kwargs[name] = value


def open_inputs(task: Task, blobs: Any, code: Any) -> Inputs:
    """The task's inputs, decoded; columns a person may not read are never decoded.

    Args:
        task: What to run.
        blobs: The store of blobs.
        code: The `CodeRefs` of the loaded module.

    Raises:
        NotFound: A blob is not here.
        CannotCross: A value's class is not part of the module.
        Denied: A granted column does not exist, or the dataset has none.
    """
    from mlstudio_lab.data.graph import unpack

    inputs = Inputs()
    interface = Interface.from_json(task.bundle["interface"])
    if task.inputs:
        payload = Payload.from_json(task.inputs)
        inputs.moved += sum(leaf.bytes for leaf in payload.leaves)
        unpacked = unpack(payload, blobs, code)
        values: Mapping[str, Any] = unpacked.values
        inputs.known = unpacked.nodes
        inputs.args = list(values.get("args") or ())
        inputs.kwargs = dict(values.get("kwargs") or {})
        inputs.globals = dict(values.get("globals") or {})
    for parameter, dataset in task.datasets.items():
        value, size = _dataset(parameter, dataset, task.sources.get(parameter) or {}, blobs, code)
        inputs.moved += size
        inputs.put(parameter, value, interface, free=task.bundle["kind"] == "cell" or _is_free(task, parameter))
    for parameter, value in task.parameters.items():
        inputs.put(parameter, value, interface, free=task.bundle["kind"] == "cell" or _is_free(task, parameter))
    given = inputs.named(interface)
    for name, source in task.sources.items():
        granted = source.get("granted")
        if granted is not None and name not in task.datasets and name in given:
            inputs.put(name, _columns(given[name], granted, name), interface, free=name in inputs.globals)
    return inputs


def known_values(named: Mapping[str, Any]) -> dict[str, Value]:
    """What is known of each input without a digest."""
    return {name: describe(value) for name, value in named.items()}


def _is_free(task: Task, name: str) -> bool:
    return any(port["name"] == name and port["implicit"] for port in task.bundle["interface"]["inputs"])


def _dataset(parameter: str, dataset: Mapping[str, Any], source: Mapping[str, Any], blobs: Any, code: Any) -> tuple[Any, int]:
    from mlstudio_lab.data.graph import unpack

    if not dataset.get("payload"):
        raise BadInput(f"the dataset for `{parameter}` has no stored frame", subject=str(dataset.get("name", parameter)))
    payload = Payload.from_json(dataset["payload"])
    values = unpack(payload, blobs, code).values
    value = values["value"] if "value" in values else next(iter(values.values()))
    granted = source.get("granted")
    if granted is not None:
        value = _columns(value, granted, parameter)
    return _as(value, str(dataset.get("as") or "polars")), sum(leaf.bytes for leaf in payload.leaves)


def _columns(value: Any, granted: list[str], name: str) -> Any:
    """The frame with only these columns; a mapped frame's other columns are never touched."""
    kind = type(value).__module__.partition(".")[0]
    if kind == "polars":
        return value.select(granted)
    if kind == "pandas":
        return value[granted]
    if kind == "pyarrow":
        return value.select(granted)
    raise Denied(f"`{name}` has no columns to grant", subject=name, hint="ask its owner for all of it")


def _as(value: Any, kind: str) -> Any:
    """The frame as the module was promised it."""
    vendor = type(value).__module__.partition(".")[0]
    if kind in ("polars", "lazy"):
        import polars as pl

        if vendor == "pandas":
            value = pl.from_pandas(value)
        elif vendor == "pyarrow":
            value = pl.from_arrow(value)
        if kind == "lazy":
            return value if isinstance(value, pl.LazyFrame) else value.lazy()
        return value.collect() if isinstance(value, pl.LazyFrame) else value
    if kind == "pandas" and vendor != "pandas":
        return value.collect().to_pandas() if type(value).__name__ == "LazyFrame" else value.to_pandas()
    return value

"""Handles of modules: callable as the function they hold, live in a notebook, fixed to a version elsewhere."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mlstudio_lab.calling.observe.audit import hook
from mlstudio_lab.capture.bind import bind_arguments
from mlstudio_lab.capture.fresh import Fresh
from mlstudio_lab.client.datasets import Dataset
from mlstudio_lab.client.options import Options
from mlstudio_lab.client.runs import Run
from mlstudio_lab.client.session import Session
from mlstudio_lab.core.bundle import Bundle
from mlstudio_lab.core.errors import BadInput, near_matches
from mlstudio_lab.core.interface import Interface
from mlstudio_lab.core.names import Name
from mlstudio_lab.wire.task import Impurity

Capture = Callable[[Mapping[str, Any]], Any]
"""Captures the live code as it is now; takes the bound arguments, whose classes become part of the bundle."""


@dataclass(slots=True)
class StoredCode:
    """A stored version in the place of captured code."""

    bundle: Bundle
    inputs: dict[str, Any]
    code: Any
    origins: dict[str, list[Any]] = field(default_factory=dict)
    env_reads: dict[str, str | None] = field(default_factory=dict)
    impurities: list[Impurity] = field(default_factory=list)
    kernel_only: str = ""
    kernel_source: str = ""
    stale: str = ""


class ModuleHandle:
    """A module as a callable.

    A live handle holds a function of this process: when the function or anything it uses changes, the next call makes
    the next version by itself. A stored one always runs the version it names.

    Attributes:
        name: The module's `namespace/name`.
        options: How its runs are done.
        __mlstudio_function__: The plain function of a live handle; absent on a stored one.
    """

    __mlstudio_function__: Callable[..., Any]
    __wrapped__: Callable[..., Any]
    __name__: str
    __qualname__: str

    def __init__(self, session: Callable[[], Session], name: str, options: Options | None = None) -> None:
        self._session = session
        self.name = name
        self.options = options or Options()
        self._capture: Capture | None = None
        self._captured: tuple[Any, str] | None = None
        self._fresh: Fresh | None = None
        self._view: dict[str, Any] = {}
        self._namespace: MutableMapping[str, Any] | None = None

    @classmethod
    def live(
        cls,
        session: Callable[[], Session],
        name: str,
        function: Callable[..., Any],
        capture: Capture,
        *,
        options: Options | None = None,
        namespace: MutableMapping[str, Any] | None = None,
    ) -> ModuleHandle:
        """A handle of a function of this process.

        Args:
            session: Gives the connection when it is first needed.
            name: The module's `namespace/name`.
            function: The plain function.
            capture: Captures it with all it needs, as it is now.
            options: How its runs are done.
            namespace: The global names it lives in, for runs in this process.
        """
        handle = cls(session, name, options)
        handle._capture = capture
        handle._namespace = namespace
        handle.__mlstudio_function__ = function
        handle.__name__ = getattr(function, "__name__", name)
        handle.__qualname__ = getattr(function, "__qualname__", handle.__name__)
        handle.__doc__ = function.__doc__
        handle.__module__ = getattr(function, "__module__", "__main__")
        handle.__wrapped__ = function
        return handle

    @classmethod
    def stored(cls, session: Session, view: Mapping[str, Any], options: Options | None = None) -> ModuleHandle:
        """A handle of a stored version.

        Args:
            session: The connection.
            view: The service's VersionView as JSON, with its bundle.
            options: How its runs are done.
        """
        handle = cls(lambda: session, str(view["name"]), options)
        handle._view = dict(view)
        session.known_versions.add(str(view["id"]))
        handle.__name__ = str(view.get("entry") or handle.name)
        return handle

    @property
    def id(self) -> str:
        """The version's id: its bundle's digest; of a live handle the id it would run as now."""
        return self._live_code({})[1] if self._capture is not None else str(self._view["id"])

    @property
    def number(self) -> int:
        """The version's number; 0 when a live handle's present code was not run or published yet."""
        if not self._view or (self._capture is not None and self._view.get("id") != self.id):
            known = self._session().transport.get(f"/modules/{self.name}").get("versions", ())
            return next((int(v["number"]) for v in known if v["id"] == self.id), 0)
        return int(self._view["number"])

    @property
    def ref(self) -> str:
        """The name with the version, such as "flights/delay@v3"."""
        number = self.number
        return f"{self.name}@v{number}" if number else f"{self.name}@{self.id}"

    @property
    def source(self) -> str:
        """The exact text of the cell or function."""
        return str(self._live_code({})[0].bundle.main.source if self._capture is not None else self._stored_bundle()[0].main.source)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Exactly what the function returns for these arguments; of a cell, its outputs by name.

        Raises:
            BadInput: An argument is missing, surplus or misspelt.
            RunCancelled: The run was stopped.
            RunTimedOut: It took longer than its limit.
            Exception: What the function raised, with the person's own lines.
        """
        __tracebackhide__ = True
        if self._capture is not None and hook.watcher is not None:
            # A module runs in this process, here or in a worker: what it calls is part of its own run.
            return self.__mlstudio_function__(*args, **kwargs)
        run = self._submission(args, kwargs).finish()
        try:
            return run.result()
        except BaseException as error:  # noqa: BLE001 — whatever the person's function raised passes through here
            # The person's own lines say where it happened; ours in between say nothing.
            raise error.with_traceback(_after_ours(error)) from error.__cause__

    def submit(self, *args: Any, **kwargs: Any) -> Run:
        """The run of these arguments, without waiting for its end.

        Raises:
            BadInput: An argument is missing, surplus or misspelt.
        """
        run: Run = self._submission(args, kwargs).start()
        return run

    def with_options(self, **changes: Any) -> ModuleHandle:
        """The same module with other options: where, cpus, gpus, memory_bytes, timeout_s, seed, reuse.

        Raises:
            BadInput: There is no such option; the hint has near matches.

        Example:
            >>> delay.with_options(reuse=False)(flights)  # doctest: +SKIP
        """
        options = self.options.with_changes(**changes)
        if self._capture is not None:
            return ModuleHandle.live(
                self._session, self.name, self.__mlstudio_function__, self._capture, options=options, namespace=self._namespace
            )
        return ModuleHandle.stored(self._session(), self._view, options)

    def note_version(self, view: Mapping[str, Any]) -> None:
        """Takes the service's word for the version the present code is."""
        self._view = dict(view)
        self._session().known_versions.add(str(view["id"]))

    def _submission(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        from mlstudio_lab.client.submit import Job, Submission

        if self._capture is not None:
            bound = bind_arguments(self.__mlstudio_function__, args, kwargs, name=self.name)
            code, version = self._live_code(bound)
        else:
            code, version, args, kwargs = self._stored_code(args, kwargs)
            bound = bind_arguments(code.bundle.interface, args, kwargs, name=self.name) if code.bundle.kind == "function" else {}
            bound = {**bound, **_literal_defaults(code.bundle.interface, bound)}
        job = Job(self.name, code, version, options=self.options, namespace=self._namespace)
        _fill(job, code.bundle.interface, bound)
        return Submission(self._session(), job)

    def _live_code(self, bound: Mapping[str, Any]) -> tuple[Any, str]:
        assert self._capture is not None
        if self._fresh is not None and self._captured is not None and self._fresh.again(bound) is not None:
            return self._captured
        captured = self._capture(bound)
        self._fresh = Fresh(captured, self.__mlstudio_function__, self._namespace) if self._namespace is not None else None
        self._captured = (captured, captured.bundle.id)
        return self._captured

    def _stored_code(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[StoredCode, str, tuple[Any, ...], dict[str, Any]]:
        """(code, version id, arguments without free data) of a stored version."""
        from mlstudio_lab.client.results import code_here

        bundle, version = self._stored_bundle()
        is_cell = bundle.kind == "cell"
        free = [port.name for port in bundle.interface.inputs if port.implicit or is_cell]
        if is_cell and args:
            raise BadInput(f"{self.name} takes its inputs by name", subject=self.name, hint="write them as name=value")
        if is_cell:
            _check_names(self.name, free, kwargs)
        for name in free:
            if name not in kwargs:
                raise BadInput(f"{self.name} needs the input `{name}`", subject=name, hint=f"hand it in by name: {name}=...")
        given = {name: kwargs[name] for name in free}
        return StoredCode(bundle, given, code_here()), version, args, {k: v for k, v in kwargs.items() if k not in given}

    def _stored_bundle(self) -> tuple[Bundle, str]:
        if self._captured is None:
            if self._view.get("bundle") is None:
                self._view = dict(self._session().transport.get(f"/modules/{self.name}/versions/v{self._view['number']}"))
            self._captured = (Bundle.from_json(self._view["bundle"]), str(self._view["id"]))
        return self._captured

    def __repr__(self) -> str:
        if self._capture is not None:
            return f"<module {self.name}: {self.__name__}{inspect.signature(self.__mlstudio_function__)}>"
        return f"<module {self.name}@v{self._view.get('number')}: {self.__name__}{_shown(self._view.get('interface') or {})}>"


def module(name: str, **options: Any) -> Callable[[Callable[..., Any]], ModuleHandle]:
    """Makes a function of a plain .py file a module: calling it runs a version of it.

    Args:
        name: The module's `namespace/name`.
        options: where, cpus, gpus, memory_bytes, timeout_s, seed, reuse.

    Raises:
        BadName: The name is malformed.
        BadInput: There is no such option.

    Example:
        >>> @module("flights/delay")
        ... def delay(flights): ...  # doctest: +SKIP
    """
    Name.parse(name)
    chosen = Options().with_changes(**options)

    def decorate(function: Callable[..., Any]) -> ModuleHandle:
        from mlstudio_lab.capture import capture_function
        from mlstudio_lab.client.studio import connect

        plain = getattr(function, "__mlstudio_function__", function)
        names = plain.__globals__

        def capture(values: Mapping[str, Any]) -> Any:
            return capture_function(plain, names, name=name, values=values)

        @cache
        def session() -> Session:
            return connect().session

        return ModuleHandle.live(session, name, plain, capture, options=chosen, namespace=names)

    return decorate


def _fill(job: Any, interface: Interface, bound: Mapping[str, Any]) -> None:
    """Puts bound arguments into a job: by name where that can be, datasets by reference."""
    ports = {port.name: port for port in interface.inputs if not port.implicit}
    has_rest = any(ports[name].variadic == "*" and value for name, value in bound.items() if name in ports)
    for name, value in bound.items():
        kind = ports[name].variadic if name in ports else ""
        if kind == "**":
            job.order = tuple(value) if list(value) != sorted(value) else ()
            for key, one in value.items():
                _put(job, key, one, by_name=True)
        elif kind == "*":
            if value:
                _no_dataset(name, value)
                job.args += list(value)
                job.positional[name] = value
        else:
            _put(job, name, value, by_name=kind == "keyword" or (kind == "" and not has_rest))


def _put(job: Any, name: str, value: Any, *, by_name: bool) -> None:
    if by_name and isinstance(value, Dataset):
        job.datasets[name] = value
    elif by_name:
        job.kwargs[name] = value
    else:
        _no_dataset(name, (value,))
        job.args.append(value)
        job.positional[name] = value


def _no_dataset(name: str, values: tuple[Any, ...]) -> None:
    if any(isinstance(value, Dataset) for value in values):
        raise BadInput(
            f"a dataset cannot be handed to `{name}` by position only",
            subject=name,
            hint="hand in dataset.collect(), or name the parameter",
        )


def _literal_defaults(interface: Interface, bound: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults that are plain literals, bound as a live call binds them, so that both are the same run."""
    found = {}
    for port in interface.inputs:
        if port.default and port.name not in bound and not port.implicit:
            try:
                found[port.name] = ast.literal_eval(port.default)
            except (ValueError, SyntaxError):
                continue
    return found


def _check_names(name: str, known: list[str], given: Mapping[str, Any]) -> None:
    for key in given:
        if key not in known:
            raise BadInput(
                f"{name} has no input `{key}`", subject=key, hint=near_matches(key, known) or f"it takes {', '.join(known) or 'nothing'}"
            )


def _shown(interface: Mapping[str, Any]) -> str:
    """A stored interface as people write a signature."""
    parts = []
    for port in interface.get("inputs", ()):
        stars = port["variadic"] if port["variadic"] in ("*", "**") else ""
        text = f"{stars}{port['name']}" + (f": {port['type']}" if port.get("type") else "")
        parts.append(f"{text} = {port['default']}" if port.get("default") else text)
    return f"({', '.join(parts)})"


def _after_ours(error: BaseException) -> Any:
    """The part of a traceback below this file's frames."""
    traceback = error.__traceback__
    while traceback is not None and "mlstudio_lab" in traceback.tb_frame.f_globals.get("__name__", ""):
        traceback = traceback.tb_next
    return traceback

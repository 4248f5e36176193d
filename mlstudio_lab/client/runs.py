"""Runs as people hold them: state, reason, result, lineage, log; cancel, clone, rerun."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from mlstudio_lab.client.datasets import Dataset
from mlstudio_lab.client.lineage import Lineage
from mlstudio_lab.client.listeners import finished
from mlstudio_lab.client.session import Session
from mlstudio_lab.client.waiting import FIRST_WAIT_S, follow, stop
from mlstudio_lab.core.errors import BadInput, RunCancelled, StudioError
from mlstudio_lab.core.run import FINAL

Settle = Callable[[dict[str, Any]], Any]
"""From a run's final view to its decoded outputs, with whatever must happen in this process: updates, RNG state."""

Here = Callable[[dict[str, Any]], dict[str, Any]]
"""From a view that asks for a run in this process to that run's final view."""


class Run:
    """One execution of a module version with fixed inputs.

    Args:
        session: The connection it belongs to.
        view: The service's RunView as JSON.
        settle: Decodes outputs in the process that has the inputs; None for a run started elsewhere.
        here: Runs it in this process, when no worker can; None for a run started elsewhere.

    Attributes:
        id: Its ULID.
        number: Its short number in this home.
        module: The module's `namespace/name`.
    """

    def __init__(self, session: Session, view: Mapping[str, Any], settle: Settle | None = None, here: Here | None = None) -> None:
        self._session = session
        self._view = dict(view)
        self._settle = settle
        self._here = here
        self._outputs: dict[str, Any] | None = None
        self._is_announced = False
        self.id = str(view["id"])
        self.number = int(view.get("number") or 0)
        self.module = str(view.get("module", ""))

    @property
    def view(self) -> dict[str, Any]:
        """Everything known about it now, as JSON."""
        if self._view.get("state") not in FINAL:
            self._view = self._session.transport.get(f"/runs/{self.id}")
        return self._view

    @property
    def state(self) -> str:
        """`queued`, `running`, `succeeded`, `failed` or `cancelled`; the last three never change again."""
        return str(self.view["state"])

    @property
    def version(self) -> str:
        """The version it ran, such as `v3`."""
        return f"v{self._view.get('version_number') or 0}"

    @property
    def reused(self) -> bool:
        """Whether its result was remembered and nothing ran."""
        return bool(self.view.get("reused"))

    @property
    def why(self) -> str:
        """Why it ran or did not, and why it will not be reused, as a sentence."""
        return str(self.view.get("why", ""))

    @property
    def outputs(self) -> dict[str, Any]:
        """What it gave, by name: `return` for a function, the bound names for a cell; waits for the end.

        Raises:
            RunCancelled: It was stopped.
            RunTimedOut: It took longer than its `--timeout`.
            Exception: The person's own exception, if their code raised.
        """
        self.result()
        return dict(self._outputs or {})

    def result(self, timeout: float | None = None) -> Any:
        """What the function returned, or a cell's outputs by name; waits for the end.

        Args:
            timeout: Longest time to wait in seconds; the run goes on after it.

        Raises:
            RunTimedOut: It has not ended in that time, or took longer than its `--timeout`.
            RunCancelled: It was stopped.
            Exception: The person's own exception, if their code raised.
        """
        if self._outputs is None:
            self.wait(timeout)
            self._outputs = (self._settle or self._decode)(self._view)
        return self._outputs["return"] if self._view.get("kind") == "function" or set(self._outputs) == {"return"} else dict(self._outputs)

    def wait(self, timeout: float | None = None) -> Run:
        """The run itself once it has ended; Ctrl-C meanwhile stops the run.

        Args:
            timeout: Longest time to wait in seconds; the run goes on after it.

        Raises:
            RunTimedOut: It has not ended in that time.
        """
        if self._view.get("state") not in FINAL:
            try:
                while self._view.get("state") not in FINAL:
                    self._view = follow(self._session, self._view, lambda events: None, timeout_s=timeout)
                    if self._view.get("needs") and self._here is not None:
                        self._view = self._here(self._view)
            except KeyboardInterrupt:
                stop(self._session, self.id)
                raise
        self.announce()
        return self

    def announce(self) -> None:
        """Tells the session once that the end of this run was seen here."""
        if not self._is_announced:
            self._is_announced = True
            for tell in finished:
                tell(self)

    def lineage(self, column: str = "", output: str = "") -> Lineage:
        """Where its output columns came from.

        Args:
            column: One output column, "" for all.
            output: One output by name, "" for all.
        """
        if column or output:
            return Lineage(self._session.transport.get("/lineage", run=self.id, output=output, column=column))
        return Lineage(self._session.transport.get(f"/runs/{self.id}/lineage"))

    def logs(self) -> str:
        """What it wrote on its output streams, as text."""
        return str(self._session.transport.get(f"/runs/{self.id}/logs")["text"])

    def cancel(self) -> Run:
        """Asks it to stop: at once where its code allows, forced within 3 s.

        Raises:
            Conflict: It has already ended.
        """
        self._view = {**self._view, **self._session.transport.post(f"/runs/{self.id}/cancel", {})}
        return self

    def clone(self, **changes: Any) -> Run:
        """The same run with other values for the parameters named; everything else is carried over.

        Args:
            changes: Parameter -> a Dataset or a JSON value.

        Raises:
            BadInput: A value that is neither, or a parameter the module does not have (the hint has near matches).

        Example:
            >>> run.clone(window_days=28).result()  # doctest: +SKIP
        """
        values: dict[str, Any] = {}
        inputs: dict[str, str] = {}
        for name, value in changes.items():
            if isinstance(value, Dataset):
                inputs[name] = value.ref
            else:
                try:
                    json.dumps(value, allow_nan=False)
                except (TypeError, ValueError):
                    raise BadInput(
                        f"{name} is a {type(value).__name__}; a clone takes numbers, text, lists and datasets",
                        subject=name,
                        hint="add it with studio.datasets.add and hand in the dataset, or call the module itself",
                    ) from None
                values[name] = value
        return self._again("clone", {"set": values, "input": inputs})

    def rerun(self, *, reuse: bool = True) -> Run:
        """The same run again, with the same version and inputs.

        Args:
            reuse: Whether a remembered result will do.
        """
        return self._again("rerun", {"reuse": reuse})

    def to_json(self) -> dict[str, Any]:
        """What is known about it, without its values."""
        return {k: v for k, v in self.view.items() if k not in ("outputs", "log")}

    def _again(self, verb: str, body: dict[str, Any]) -> Run:
        body = {**body, "run": self._session.new_run_id(), "wait_s": FIRST_WAIT_S}
        return Run(self._session, self._session.transport.post(f"/runs/{self.id}/{verb}", body))

    def _decode(self, view: dict[str, Any]) -> dict[str, Any]:
        from mlstudio_lab.client.results import decode

        return decode(self._session, view)

    def __repr__(self) -> str:
        state = "reused" if self._view.get("reused") else self._view.get("state") or "not started"
        return f"Run({self.number}, {self.module} {self.version}, {state})"


class Runs:
    """A studio's runs.

    Args:
        session: The connection to use.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def list(self, *, state: str = "", module: str = "", actor: str = "", limit: int = 20, before: int | None = None) -> list[Run]:
        """Runs, newest first.

        Args:
            state: Only those in this state.
            module: Only those of this module.
            actor: Only those of this person.
            limit: At most so many.
            before: Only those with a smaller number.
        """
        page = self._session.transport.get("/runs", state=state, module=module, actor=actor, limit=limit, before=before)
        return [Run(self._session, view) for view in page["runs"]]

    def get(self, run: str | int) -> Run:
        """One run by its number or id.

        Raises:
            NotFound: There is none.
        """
        return Run(self._session, self._session.transport.get(f"/runs/{run}"))

    def __repr__(self) -> str:
        return "Runs(list, get)"


def raise_if_not_succeeded(session: Session, view: Mapping[str, Any], code: Any = None) -> None:
    """Raises what a run that did not succeed ended with.

    Args:
        session: The connection, for blobs an exception may carry.
        view: The run's final view.
        code: The `CodeRefs` of this process, None where nothing of the person's is defined.

    Raises:
        RunCancelled: It was stopped.
        Exception: What its code raised.
    """
    if view["state"] == "succeeded":
        return
    failure = view.get("failure")
    if view["state"] == "cancelled" or failure is None:
        raise RunCancelled(f"run {view.get('number')} of {view.get('module')} was {view['state']}", subject=str(view.get("module", "")))
    from mlstudio_lab.calling.failures import rebuild
    from mlstudio_lab.wire.task import Failure

    error = rebuild(Failure.from_json(failure), code, session.blobs)
    if isinstance(error, StudioError) and not error.subject:
        error.subject = str(view.get("module", ""))
    for note in failure.get("notes") or ():
        error.add_note(note)
    raise error

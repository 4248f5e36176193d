"""Outputs decoded: shared objects stay shared, inputs are changed in place, random number generators go on where the run left them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlstudio_lab.client.runs import raise_if_not_succeeded
from mlstudio_lab.client.session import Session
from mlstudio_lab.data.code_refs import CodeRefs, NoCode
from mlstudio_lab.data.graph import NodeTable, apply_updates, unpack
from mlstudio_lab.wire.task import Payload

DELETED = "\x00deleted"
"""The key under which a cell's outputs list the names it deleted; no variable can have it."""


def settle(session: Session, view: Mapping[str, Any], code: CodeRefs, known: Callable[[], NodeTable]) -> dict[str, Any]:
    """A finished run's outputs by name, in the process that has its inputs.

    Args:
        session: The connection, for blobs.
        view: The run's final view.
        code: The person's functions and classes here.
        known: The nodes of the inputs, numbered when first needed.

    Raises:
        Exception: What the run ended with, when it did not succeed.
    """
    raise_if_not_succeeded(session, view, code)
    return given_back(session, view, code, known)


def given_back(session: Session, view: Mapping[str, Any], code: CodeRefs, known: Callable[[], NodeTable]) -> dict[str, Any]:
    """What a run left, by name, however it ended: bound names, inputs changed in place, generators that went on.

    Args:
        session: The connection, for blobs.
        view: The run's final view.
        code: The person's functions and classes here.
        known: The nodes of the inputs, numbered when first needed.

    Raises:
        CannotCross: It holds an instance of a class that is not defined here.
    """
    payload = _payload(session, view)
    table = known()
    unpacked = unpack(payload, session.blobs, code, known=table)
    apply_updates(unpacked.updates, table)
    after = (view.get("effects") or {}).get("rng_after")
    if after:
        from mlstudio_lab.calling.ambient import set_rng_state

        set_rng_state(after)
    return _named(unpacked.values, view)


def decode(session: Session, view: Mapping[str, Any]) -> dict[str, Any]:
    """A finished run's outputs by name, in a process that has not its inputs.

    Raises:
        CannotCross: An output is an instance of a class that is not defined here.
        Exception: What the run ended with, when it did not succeed.
    """
    raise_if_not_succeeded(session, view)
    return _named(unpack(_payload(session, view), session.blobs, code_here()).values, view)


def _payload(session: Session, view: Mapping[str, Any]) -> Payload:
    found = view.get("outputs")
    if found is None:
        found = session.transport.get(f"/runs/{view['id']}/result")
    return Payload.from_json(found)


def _named(values: Mapping[str, Any], view: Mapping[str, Any]) -> dict[str, Any]:
    if "bound" in values:
        return {**values["bound"], **({DELETED: values["deleted"]} if values.get("deleted") else {})}
    return dict(values)


def code_here() -> CodeRefs:
    """The person's functions and classes in this process's `__main__`, when that is a notebook."""
    import sys

    main = sys.modules.get("__main__")
    if main is None or "get_ipython" not in vars(main):
        return NoCode()
    from mlstudio_lab.calling.code import LoadedCode

    return LoadedCode(vars(main), (), lambda name: None, dict)

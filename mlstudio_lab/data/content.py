"""Content digests: what a value is, whatever process, hash seed or memory layout it is met in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlstudio_lab.core.digest import Digester, digest
from mlstudio_lab.core.errors import CannotCross
from mlstudio_lab.data.code_refs import CodeRefs
from mlstudio_lab.data.naming import is_code
from mlstudio_lab.data.schema import described
from mlstudio_lab.data.shapes import SCALARS, shape_of
from mlstudio_lab.data.walk import FIRST, ByContent, Walk
from mlstudio_lab.wire.task import Value


def digest_values(values: Mapping[str, object], code: CodeRefs) -> dict[str, Value]:
    """What is known of each named value, with a digest of its content.

    One walk over all values: a list, object or frame that is met again, under the same or another name, counts as the
    same thing and not as an equal one. Names are walked in sorted order, so their order in the mapping does not matter.
    A value that cannot be digested gets the digest "" and a summary saying why; it is never guessed.

    Example:
        >>> from mlstudio_lab.data.code_refs import NoCode
        >>> found = digest_values({"a": 1, "b": True}, NoCode())
        >>> found["a"].digest != found["b"].digest
        True
    """
    walk = Walk(ByContent(code))
    digests: dict[str, tuple[str, str, str]] = {}
    for name in sorted(values):
        try:
            digests[name] = (*_digest(walk, name, values[name]), "")
        except CannotCross as error:
            walk.forget_last_root()
            digests[name] = ("", "", error.message)
    found = {}
    for name, value in values.items():
        known = describe(value)
        known.digest, known.content, why = digests[name]
        if why:
            known.summary = f"{known.summary}: {why}"
        found[name] = known
    return found


def digest_value(value: object, code: CodeRefs) -> str:
    """The content digest of one value on its own.

    Raises:
        CannotCross: It cannot be digested.

    Example:
        >>> from mlstudio_lab.data.code_refs import NoCode
        >>> digest_value([1], NoCode()) == digest_value((1,), NoCode())
        False
    """
    return _digest(Walk(ByContent(code)), "", value)[0]


def _digest(walk: Walk, name: str, value: Any) -> tuple[str, str]:
    content, is_frame = "", False
    root, bodies = walk.root(name, value)
    fresh = len(walk.nodes)
    if type(value) not in SCALARS and not is_code(value):
        shape = shape_of(value)
        is_frame = shape.content is not None and root == FIRST
        if shape.content is not None and not shape.children:
            content = shape.content()
            if root == FIRST and (shape.memory is None or not walk.is_alias(shape.memory)):
                if shape.memory is not None:
                    walk.look(fresh - 1, shape.memory)
                # A frame or array on its own is named by its content alone, so that it is recognised wherever it turns up.
                return (digest("lazy", content) if shape.head else content), content
    digester = Digester("value")
    digester.add(root)
    for body in bodies:
        digester.add_buffer(body)
    found = digester.hex()
    # A frame of dates or decimals: Python objects in it, but nothing that could be shared.
    return found, found if is_frame and not content and len(walk.nodes) == fresh else content


def describe(value: object) -> Value:
    """What is known of a value without reading its content.

    Example:
        >>> describe([1, 2]).summary
        'list of 2'
    """
    return described(value)

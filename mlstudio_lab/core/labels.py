"""Data classification: what a column's label is, and how labels move along column edges.

A label is one sensitivity and any number of category tags. Labels form a join-semilattice: `join` is commutative,
associative and idempotent, and `join_over` is monotone, so a label only ever grows downstream. A column that nobody has
classified is `UNCLASSIFIED`, which counts as more sensitive than anything that has been; no rule here lowers it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

from mlstudio_lab.core.edges import Edge
from mlstudio_lab.core.errors import BadInput, near_matches

Follows = Literal["direct", "indirect"]

SENSITIVITIES: Final = ("public", "internal", "confidential", "restricted", "unclassified")
"""Least to most restrictive; `unclassified` says that nobody has decided yet and therefore stands last."""

_RANK: Final = {name: rank for rank, name in enumerate(SENSITIVITIES)}
_TAG: Final = re.compile(r"[a-z0-9][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)*")


@dataclass(frozen=True, slots=True)
class Label:
    """What is known about how sensitive a column is.

    Attributes:
        sensitivity: One of `SENSITIVITIES`.
        tags: Categories, such as `pii.email`; a tag says its parents too (`pii.email` is `pii`).

    Raises:
        BadInput: An unknown sensitivity or a tag that cannot be one.

    Example:
        >>> Label("internal").join(Label("confidential", frozenset({"pii"}))).to_json()
        {'sensitivity': 'confidential', 'tags': ['pii']}
    """

    sensitivity: str
    tags: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.sensitivity not in _RANK:
            raise BadInput(
                f"no sensitivity is called {self.sensitivity!r}, expected one of {', '.join(SENSITIVITIES)}",
                subject=self.sensitivity,
                hint=near_matches(self.sensitivity, SENSITIVITIES),
            )
        for tag in self.tags:
            if not _TAG.fullmatch(tag):
                raise BadInput(
                    f"{tag!r} cannot be a tag, expected words in lower case joined by dots",
                    subject=tag,
                    hint="write it like pii.email",
                )

    @classmethod
    def parse(cls, words: Iterable[str], taxonomy: Taxonomy | None = None) -> Self:
        """The label a person wrote as a list of words: at most one sensitivity, any number of tags.

        Without a sensitivity the label stays `unclassified`: a category alone decides nothing about who may read.

        Args:
            words: Such as `["confidential", "pii.email"]`.
            taxonomy: The categories that exist; the built-in ones when None.

        Raises:
            BadInput: Two sensitivities, or a word that is neither a sensitivity nor in the taxonomy.

        Example:
            >>> Label.parse(["confidential", "pii.email"]).sensitivity
            'confidential'
        """
        taxonomy = taxonomy or DEFAULT_TAXONOMY
        given = list(dict.fromkeys(word.strip().lower() for word in words))
        sensitivities = [word for word in given if word in _RANK]
        if len(sensitivities) > 1:
            raise BadInput(
                f"a label has one sensitivity, not {len(sensitivities)}",
                subject=", ".join(sensitivities),
                hint=f"keep {max(sensitivities, key=_RANK.__getitem__)}",
            )
        tags = frozenset(word for word in given if word not in _RANK)
        for tag in sorted(tags):
            taxonomy.entry(tag)
        return cls(sensitivities[0] if sensitivities else "unclassified", tags)

    def join(self, other: Label) -> Label:
        """The least label that covers both: the higher sensitivity and all tags.

        Example:
            >>> PUBLIC.join(UNCLASSIFIED) == UNCLASSIFIED
            True
        """
        if self is other:
            return self
        return Label(max(self.sensitivity, other.sensitivity, key=_RANK.__getitem__), self.tags | other.tags)

    def covers(self, other: Label) -> bool:
        """Whether this label is at least as restrictive as the other.

        Example:
            >>> UNCLASSIFIED.covers(Label("restricted"))
            True
        """
        return _RANK[self.sensitivity] >= _RANK[other.sensitivity] and self.tags >= other.tags

    def has(self, tag: str) -> bool:
        """Whether the label carries a tag or one below it.

        Example:
            >>> Label("internal", frozenset({"pii.email"})).has("pii")
            True
        """
        return any(own == tag or own.startswith(f"{tag}.") for own in self.tags)

    @property
    def is_unclassified(self) -> bool:
        """Whether nobody has decided about the column's sensitivity."""
        return self.sensitivity == "unclassified"

    def words(self) -> list[str]:
        """The label as `parse` reads it.

        Example:
            >>> Label("internal", frozenset({"pii"})).words()
            ['internal', 'pii']
        """
        return [self.sensitivity, *sorted(self.tags)]

    def to_json(self) -> dict[str, Any]:
        """The label as plain JSON values."""
        return {"sensitivity": self.sensitivity, "tags": sorted(self.tags)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Self:
        """The label that `to_json` wrote; None is unclassified.

        Raises:
            BadInput: Something else than a label.
        """
        if data is None:
            return cls("unclassified")
        try:
            return cls(str(data["sensitivity"]), frozenset(map(str, data["tags"])))
        except (KeyError, TypeError) as error:
            raise BadInput("a stored label has a sensitivity and tags", subject="label", hint="see Label.to_json") from error


PUBLIC: Final = Label("public")
"""The least label; joining it changes nothing."""

UNCLASSIFIED: Final = Label("unclassified")
"""The label of a column nobody has classified: more restrictive than any that has been."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a taxonomy says about one tag or sensitivity.

    Attributes:
        follows: `direct` when it moves along direct and opaque edges only, `indirect` when along indirect ones too.
        about: One line for people.
    """

    follows: Follows = "direct"
    about: str = ""


_BUILT_IN: Final[Mapping[str, Entry]] = {
    "public": Entry(about="may be shown to anybody"),
    "internal": Entry(about="for people of this organisation"),
    "confidential": Entry(about="for people who need it for their work"),
    "restricted": Entry(about="for named people"),
    # Nobody knows what an unclassified column is: it may be something that follows indirect edges.
    "unclassified": Entry("indirect", "nobody has decided yet"),
    "pii": Entry(about="identifies or singles out a person"),
    "pii.name": Entry(about="a person's name"),
    "pii.email": Entry(about="an e-mail address"),
    "pii.phone": Entry(about="a telephone number"),
    "pii.address": Entry(about="a postal address or an exact place"),
    "pii.id": Entry(about="a number given to one person"),
    "pii.device": Entry(about="an address or number of a person's device or vehicle"),
    "phi": Entry("indirect", "health; choosing rows by it tells it"),
    "protected": Entry("indirect", "a legally protected trait; choosing rows by it may discriminate"),
    "financial": Entry(about="accounts, cards, income, payments"),
    "credential": Entry(about="secrets that open something"),
    "location": Entry(about="where somebody or something was"),
    "licensed": Entry("indirect", "data under a licence that binds what is derived"),
}


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """The categories that exist and how each moves.

    Attributes:
        entries: Tag or sensitivity -> entry. A tag below a known one (`pii.passport`) exists too and moves like its
            nearest known parent.

    Example:
        >>> DEFAULT_TAXONOMY.follows("pii.passport")
        'direct'
    """

    entries: Mapping[str, Entry] = field(default_factory=lambda: dict(_BUILT_IN))

    def entry(self, tag: str) -> Entry:
        """What is said about a tag or its nearest parent.

        Raises:
            BadInput: Neither the tag nor a parent is known.
        """
        name = tag
        while name:
            if name in self.entries:
                return self.entries[name]
            name = name.rpartition(".")[0]
        raise BadInput(
            f"the taxonomy has no tag {tag!r}",
            subject=tag,
            hint=near_matches(tag, self.entries) or "add it to the taxonomy",
        )

    def follows(self, tag: str) -> Follows:
        """How far a tag moves; one that the taxonomy does not know moves along every edge."""
        try:
            return self.entry(tag).follows
        except BadInput:
            return "indirect"

    def carried(self, label: Label) -> Label:
        """The part of a label that moves along an indirect edge.

        Of the sensitivity it is the highest step not above the label's own that follows indirect edges, so that a more
        restrictive label never carries less.
        """
        rank = _RANK[label.sensitivity]
        steps = [name for name in SENSITIVITIES[: rank + 1] if name in self.entries and self.entries[name].follows == "indirect"]
        tags = frozenset(tag for tag in label.tags if self.follows(tag) == "indirect")
        return Label(steps[-1] if steps else "public", tags)

    def to_json(self) -> dict[str, dict[str, str]]:
        """The taxonomy as plain JSON values."""
        return {name: {"follows": entry.follows, "about": entry.about} for name, entry in self.entries.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The built-in taxonomy with a file's entries added or replaced.

        Args:
            data: Tag -> {"follows": "direct" | "indirect", "about": one line}; both may be left out.

        Raises:
            BadInput: An entry that is no table, a name that cannot be a tag, or another `follows`.
        """
        entries = dict(_BUILT_IN)
        for name, given in data.items():
            if not _TAG.fullmatch(name) or not isinstance(given, Mapping):
                raise BadInput(f"{name!r} cannot be a tag of a taxonomy", subject=name, hint="write it like pii.email")
            follows = given.get("follows", "direct")
            if follows not in ("direct", "indirect"):
                raise BadInput(f"{name} follows direct or indirect edges", subject=name, hint='write follows = "indirect"')
            entries[name] = Entry(follows, str(given.get("about", "")))
        return cls(entries)


DEFAULT_TAXONOMY: Final = Taxonomy()
"""The taxonomy of a home that has none of its own."""


def join_over(
    edges: Iterable[Edge],
    labels_of_input: Mapping[tuple[str, str], Label | None],
    taxonomy: Taxonomy = DEFAULT_TAXONOMY,
) -> dict[tuple[str, str], Label]:
    """The labels that a run's outputs inherit: (output, column) -> label, for every output column that has an edge.

    Direct and opaque edges carry the whole label, indirect ones only what the taxonomy lets follow them. An input column
    without a label, or not mentioned at all, is unclassified. An output column without an edge depends on no input.

    Args:
        edges: The run's edges.
        labels_of_input: (input, column) -> label, None for unclassified.
        taxonomy: How each tag moves.

    Example:
        >>> edge = Edge("return", "n", "people", "email", "direct", "IDENTITY")
        >>> join_over([edge], {("people", "email"): Label.parse(["restricted", "pii.email"])})[("return", "n")].words()
        ['restricted', 'pii.email']
    """
    joined: dict[tuple[str, str], Label] = {}
    carried: dict[tuple[str, str], Label] = {}
    for edge in edges:
        source = (edge.input, edge.input_column)
        label = labels_of_input.get(source) or UNCLASSIFIED
        if edge.kind == "indirect":
            if source not in carried:
                carried[source] = taxonomy.carried(label)
            label = carried[source]
        target = (edge.output, edge.output_column)
        known = joined.get(target)
        joined[target] = label if known is None else known if known.covers(label) else known.join(label)
    return joined


def grown(before: Mapping[str, Any] | None, arriving: Label) -> dict[str, Any]:
    """What is stored of a column once one more label has arrived for it: tags and decided sensitivities only grow.

    That nobody had decided yet gives way to a decision, and comes back without making an earlier decision forgotten:
    `decided` keeps the highest one while the column counts as unclassified.

    Args:
        before: What this function gave last time, None for nothing.
        arriving: The label that arrives over edges now.

    Example:
        >>> once = grown(None, Label("restricted"))
        >>> again = grown(grown(once, UNCLASSIFIED), Label("internal", frozenset({"pii"})))
        >>> again
        {'sensitivity': 'restricted', 'tags': ['pii']}
    """
    old = Label.from_json(before) if before is not None else PUBLIC
    decisions = [str((before or {}).get("decided", "")), old.sensitivity, arriving.sensitivity]
    decided = max((word for word in decisions if word in _RANK and word != "unclassified"), key=_RANK.__getitem__, default="")
    tags = old.tags | arriving.tags
    if not arriving.is_unclassified:
        return Label(decided, tags).to_json()
    return Label("unclassified", tags).to_json() | ({"decided": decided} if decided not in ("", "public") else {})

"""Versions as the engine uses them: resolved from what people type, digested once, kept at hand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from mlstudio_lab.core.bundle import Bundle
from mlstudio_lab.core.code_digest import code_digest, code_tree
from mlstudio_lab.core.errors import BadInput, Conflict, NotFound, near_matches
from mlstudio_lab.core.names import Name, Ref
from mlstudio_lab.engine.model import Code, Plan
from mlstudio_lab.ledger import modules, tags
from mlstudio_lab.ledger.connection import Connection
from mlstudio_lab.ledger.ledger import Ledger
from mlstudio_lab.ledger.tags import ANY

DEV: Final = "dev"
DEFAULT_TAGS: Final = ("latestAlpha", "latest")
"""What a bare name means after the person's own `dev`, in this order."""

_MOST_CODES: Final = 512
_MOST_NUMBERS: Final = 20_000


class Versions:
    """Bundles, their digests and numbers; loop-bound memory over the ledger.

    Args:
        ledger: Where versions are kept.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._codes: OrderedDict[str, Code] = OrderedDict()
        self._numbers: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._dev: dict[tuple[str, str], int] = {}
        self._kinds: dict[str, str] = {}

    def received(self, body: Mapping[str, Any], version: str) -> Code:
        """The code of a bundle somebody sent; every digest is computed here.

        Raises:
            BadInput: Not a bundle, not Python, or not the version it is said to be.
        """
        if version and (known := self._codes.get(version)) is not None:
            return known
        bundle = Bundle.from_json(body)
        code = self._known(bundle.id, bundle)
        if version and version != code.id:
            raise BadInput(f"the bundle sent is {code.id[:12]}, not {version[:12]}", subject="bundle", hint="send the version's own source")
        return code

    def by_id(self, name: Name, version: str) -> tuple[int, Code] | None:
        """Number and code of a stored version; None when this module has none of that id."""
        number = self._numbers.get((str(name), version))
        code = self._codes.get(version)
        if number is not None and code is not None:
            return number, code
        row = self._ledger.read(lambda c: modules.get_version(c, str(name), id=version))
        return None if row is None else self._row(row)

    def number(self, name: str, version: str) -> int:
        """The number of a stored version, 0 when there is none."""
        known = self._numbers.get((name, version))
        if known is not None:
            return known
        row = self._ledger.read(lambda c: modules.get_version(c, name, id=version))
        return 0 if row is None else self._row(row)[0]

    def by_id_with(self, c: Connection, name: str, version: str) -> tuple[int, str]:
        """Number and kind of a stored version, inside a transaction; (0, "") when there is none."""
        if (name, version) not in self._numbers or name not in self._kinds:
            row = modules.get_version(c, name, id=version)
            if row is None:
                return 0, ""
            self._row(row)
        return self._numbers[name, version], self._kinds[name]

    def resolve(self, ref: Ref, actor: str) -> tuple[int, Code]:
        """Number and code of what a reference means to a person.

        Raises:
            NotFound: No such module, version or tag; the hint has near matches.
        """
        name = str(ref.name)

        def find(c: Connection) -> modules.VersionRow | None:
            if ref.number:
                return modules.get_version(c, name, number=ref.number)
            if ref.digest:
                return modules.get_version(c, name, prefix=ref.digest)
            wanted = [(ref.tag, actor if ref.tag == DEV else "")] if ref.tag else [(DEV, actor), *((t, "") for t in DEFAULT_TAGS)]
            for tag, owner in wanted:
                if (found := tags.get_tag(c, name, tag, owner)) is not None:
                    return modules.get_version(c, name, id=found.version_id)
            return None

        row = self._ledger.read(find)
        if row is None:
            raise self._ledger.read(lambda c: _not_found(c, ref))
        return self._row(row)

    def check_kind(self, name: Name, kind: str) -> None:
        """Refuses to let a module change its kind.

        Raises:
            Conflict: The module is of another kind.
        """
        known = self._kinds.get(str(name))
        if known is None:
            rows = self._ledger.read(lambda c: modules.list_versions(c, str(name), limit=1))
            if not rows:
                return
            known = self._kinds[str(name)] = rows[0].kind
        if known != kind:
            raise Conflict(
                f"{name} is a {known} module and this source is a {kind}",
                subject=str(name),
                hint=f"make the source a {known} again, or give it another name",
            )

    def check_known(self, name: Name) -> None:
        """Refuses a name that is no module.

        Raises:
            NotFound: With near matches.
        """
        if str(name) not in self._kinds and not self._ledger.read(lambda c: modules.list_versions(c, str(name), limit=1)):
            raise self._ledger.read(lambda c: _not_found(c, Ref(name)))

    def dev(self, name: str, actor: str) -> int:
        """The number of a person's `dev` version, 0 when there is none."""
        known = self._dev.get((name, actor))
        if known is None:
            row = self._ledger.read(lambda c: tags.get_tag(c, name, DEV, actor))
            known = self._dev[name, actor] = row.number if row else 0
        return known

    def store(self, c: Connection, plan: Plan, at: datetime) -> None:
        """Writes a plan's version and moves its sender's `dev` forward, in the transaction that records its run."""
        name, actor = str(plan.name), plan.caller.actor
        if not plan.number:
            row, _ = modules.put_version(
                c, name=name, bundle=plan.code.bundle, code_digest=plan.code.digest, actor=actor, at=at, bundle_id=plan.code.id
            )
            plan.number = row.number
        if plan.request.get("tag_dev", True):
            before = tags.get_tag(c, name, DEV, actor)
            if before is None or before.number < plan.number:
                tags.move_tag(c, name, DEV, actor, plan.code.id, ANY, actor, at)
                plan.moved_dev = True
            elif before.number > plan.number:
                plan.dev_newer = before.number

    def stored(self, plan: Plan) -> None:
        """Remembers what `store` wrote, once it is durable."""
        self._numbers[str(plan.name), plan.code.id] = plan.number
        self._kinds[str(plan.name)] = plan.code.bundle.kind
        if plan.moved_dev:
            key = (str(plan.name), plan.caller.actor)
            self._dev[key] = max(self._dev.get(key, 0), plan.number)

    def forget_dev(self, name: str, actor: str) -> None:
        """Reads a person's `dev` anew next time; somebody moved it by hand."""
        self._dev.pop((name, actor), None)

    def _row(self, row: modules.VersionRow) -> tuple[int, Code]:
        assert row.bundle is not None
        self._numbers[row.name, row.id] = row.number
        self._kinds[row.name] = row.kind
        while len(self._numbers) > _MOST_NUMBERS:
            self._numbers.popitem(last=False)
        return row.number, self._known(row.id, row.bundle)

    def _known(self, version: str, bundle: Bundle) -> Code:
        code = self._codes.get(version)
        if code is None:
            try:
                own = bundle.main.name
                tree = {"main" if unit == own else unit: found for unit, found in code_tree(bundle).items()}
                code = Code(bundle, version, code_digest(bundle), tree, bundle.lock.digest)
            except SyntaxError as error:
                raise BadInput(
                    f"the source is not Python: {error.msg} at line {error.lineno}",
                    subject="bundle",
                    hint="correct the line and run it again",
                ) from error
            self._codes[version] = code
            while len(self._codes) > _MOST_CODES:
                self._codes.popitem(last=False)
        else:
            self._codes.move_to_end(version)
        return code


def _not_found(c: Connection, ref: Ref) -> NotFound:
    name = str(ref.name)
    known = modules.module_names(c)
    if name not in known:
        return NotFound(f"no module {name}", subject=name, hint=near_matches(name, known) or "mlstudio module list shows what there is")
    if not (ref.tag or ref.number or ref.digest):
        return NotFound(f"{name} has no pushed version", subject=name, hint=f"name one: {name}@v1, or push it")
    shared = [row.tag for row in tags.list_tags(c, name)]
    hint = near_matches(ref.tag, shared) if ref.tag else ""
    return NotFound(
        f"{name} has no version {str(ref).partition('@')[2]}", subject=str(ref), hint=hint or f"mlstudio module show {name} lists them"
    )

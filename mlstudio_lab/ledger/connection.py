"""One open transaction, and statements that SQLAlchemy writes once and SQLite runs many times."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

Row = tuple[Any, ...]

_DIALECT: Final = sqlite_dialect.dialect(paramstyle="named")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Statement:
    """A SQLAlchemy Core statement, compiled to text when first used and never again.

    SQLAlchemy's own execution costs 60 us and more a statement, which is most of a memo hit's budget; the text it
    compiles, run by the driver, costs 5 us.
    """

    __slots__ = ("_fixed", "_make", "_sql")

    def __init__(self, make: Callable[[], ClauseElement]) -> None:
        self._make = make
        self._sql = ""
        self._fixed: dict[str, Any] = {}

    @property
    def sql(self) -> str:
        """The statement's text, with named parameters."""
        if not self._sql:
            compiled = cast(SQLCompiler, self._make().compile(dialect=_DIALECT))
            # Constants written in Core become parameters of their own, beside those that are still to be given.
            self._fixed = {name: bound.effective_value for bound, name in compiled.bind_names.items() if not bound.required}
            self._sql = compiled.string
        return self._sql

    def bind(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The given parameters together with the statement's own constants."""
        return {**self._fixed, **given} if self._fixed else given


class Connection:
    """One connection to the ledger inside a transaction; what every row function takes first.

    Args:
        raw: The driver's connection.
        next_number: Gives the next run number; on a reading connection it refuses.
    """

    __slots__ = ("next_number", "raw")

    def __init__(self, raw: sqlite3.Connection, next_number: Callable[[], int]) -> None:
        self.raw = raw
        self.next_number = next_number

    def one(self, statement: Statement, /, **given: Any) -> Row | None:
        """The first row of the answer, or None."""
        sql = statement.sql
        return cast("Row | None", self.raw.execute(sql, statement.bind(given)).fetchone())

    def all(self, statement: Statement, /, **given: Any) -> list[Row]:
        """Every row of the answer."""
        sql = statement.sql
        return self.raw.execute(sql, statement.bind(given)).fetchall()

    def each(self, statement: Statement, /, **given: Any) -> Iterator[Row]:
        """The answer's rows one by one, for answers too long to hold."""
        sql = statement.sql
        return iter(self.raw.execute(sql, statement.bind(given)))

    def run(self, statement: Statement, /, **given: Any) -> sqlite3.Cursor:
        """Executes a statement that changes something; the cursor has `rowcount` and `lastrowid`."""
        sql = statement.sql
        return self.raw.execute(sql, statement.bind(given))


def listed(name: str) -> Select[Any]:
    """In a statement, the values of a parameter given as a JSON list: one statement serves lists of every length."""
    return select(func.json_each(bindparam(name)).table_valued("value").c.value)


def to_micros(at: datetime) -> int:
    """A moment as whole microseconds since 1970 in UTC, the form in which the ledger keeps time.

    Raises:
        ValueError: The moment has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError("a moment in the ledger needs a time zone")
    return (at - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The aware moment that `to_micros` wrote."""
    return _EPOCH + timedelta(microseconds=micros)


def maybe_moment(micros: int | None) -> datetime | None:
    """As `from_micros`, None staying None."""
    return None if micros is None else _EPOCH + timedelta(microseconds=micros)


def to_text(value: Any) -> str | None:
    """A JSON value as compact text; None stays None, so that absence is NULL."""
    return None if value is None else json.dumps(value, separators=(",", ":"))


def from_text(text: str | None) -> Any:
    """The JSON value that `to_text` wrote."""
    return None if text is None else json.loads(text)

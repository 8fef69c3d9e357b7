"""One transaction, as the statements of the store see it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from taskq.errors import StoreError
from taskq.stores.sql.dialects import Cursor, Dialect

Row = tuple[Any, ...]

_LISTED = 256


class Tx:
    """A cursor in an open transaction, the store's time in it, and the dialect.

    :param now: the store's clock, read once the transaction had begun.
    """

    __slots__ = ("_cursor", "dialect", "now")

    def __init__(self, cursor: Cursor, dialect: Dialect, now: float) -> None:
        self._cursor = cursor
        self.dialect = dialect
        self.now = now

    def rows(self, sql: str, args: Sequence[object] = ()) -> list[Row]:
        self._cursor.execute(sql, args)
        found: list[Row] = self._cursor.fetchall()
        return found

    def row(self, sql: str, args: Sequence[object] = ()) -> Row | None:
        rows = self.rows(sql, args)
        return rows[0] if rows else None

    def run(self, sql: str, args: Sequence[object] = ()) -> int:
        """Execute, and say how many rows were changed."""
        self._cursor.execute(sql, args)
        count: int = self._cursor.rowcount
        return count

    def many(self, sql: str, args: Sequence[Sequence[object]]) -> None:
        if args:
            self._cursor.executemany(sql, args)

    def among(self, sql: str, values: Iterable[object], *first: object) -> list[Row]:
        """The rows of a query whose ``IN ($)`` lists the values, after other parameters.

        The list is filled up by repeating, so that there are few statements to prepare.
        """
        found: list[Row] = []
        for part in _parts(values, _LISTED):
            size = 4
            while size < len(part):
                size *= 4
            part += [part[-1]] * (size - len(part))
            found += self.rows(sql.replace("$", ", ".join("?" * size)), [*first, *part])
        return found

    def numbers(self, count: int) -> int:
        """The first of so many new arrival numbers."""
        row = self.row(
            "UPDATE taskq_numbers SET value = value + ? WHERE name = 'arrivals' RETURNING value",
            (count,),
        )
        if row is None:
            raise StoreError("the row 'arrivals' of the table taskq_numbers is gone")
        last: int = row[0]
        return last - count + 1


def _parts(values: Iterable[object], size: int) -> Iterator[list[object]]:
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part

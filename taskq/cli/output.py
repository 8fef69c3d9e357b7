"""What the commands print: tables, times, JSON. Cut to a terminal's width, whole elsewhere.

Names, arguments and errors come from others: whatever could steer a terminal is escaped.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import click

from taskq.job import State

GAP = "  "

COLOURS: Mapping[str, str] = {
    State.SCHEDULED: "magenta",
    State.READY: "cyan",
    State.RUNNING: "blue",
    State.RETRYING: "yellow",
    State.SUCCEEDED: "green",
    State.FAILED: "red",
    State.CANCELLED: "bright_black",
    State.EXPIRED: "bright_black",
}


# -- text ---------------------------------------------------------------------------------
def on_terminal() -> bool:
    """True if somebody reads standard output as it comes."""
    return sys.stdout.isatty()


def clean(text: str) -> str:
    """One line, in which whatever is not printable is escaped."""
    text = " ".join(text.split()) if not text.isprintable() else text
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def clean_lines(text: str) -> list[str]:
    """As `clean`, keeping lines and their indentation."""
    lines = []
    for line in text.splitlines():
        body = line.lstrip(" ")
        lines.append(" " * (len(line) - len(body)) + clean(body))
    return lines


def width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def cut(text: str, columns: int) -> str:
    """The text, or its beginning and an ellipsis if it is wider."""
    if width(text) <= columns:
        return text
    room = max(columns - 1, 0)
    text = text[:room]
    while width(text) > room:
        text = text[:-1]
    return text + "…"


def hint(text: str) -> None:
    """Advice for a person; nothing when no person reads."""
    if on_terminal():
        click.secho(text, err=True, dim=True)


def arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """``(7, name='x')``"""
    parts = [repr(plain(value)) for value in args]
    parts += [f"{name}={plain(value)!r}" for name, value in kwargs.items()]
    return clean(f"({', '.join(parts)})")


# -- time -----------------------------------------------------------------------------------
def span(seconds: float) -> str:
    """A duration to one or two figures: ``0.4 s``, ``12 s``, ``5 min``, ``3 h``, ``12 d``."""
    if seconds < 0.95:
        return f"{max(seconds, 0.0):.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86400:,.0f} d"


def ago(then: datetime | None, now: datetime) -> str:
    """``3 s ago``, ``in 5 min``; empty for None."""
    if then is None:
        return ""
    seconds = (now - then).total_seconds()
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"


def utc_now() -> datetime:
    return datetime.now(UTC)


def local(then: datetime) -> str:
    """``2026-05-01 12:00:03 +02:00``"""
    try:
        here = then.astimezone()
    except OverflowError:  # the end of time, in a zone that is past it
        here = then
    return here.isoformat(" ", "seconds").replace("+", " +")


# -- JSON -----------------------------------------------------------------------------------
def print_json(value: object) -> None:
    """One document, in ASCII: nothing in it can steer a terminal or fail to be encoded."""
    click.echo(json.dumps(plain(value), indent=2, allow_nan=False))


def plain(value: object) -> Any:
    """A value as what JSON has; what it has no form for becomes its text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int | float):
        return value if isinstance(value, int) or math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    return str(value)


# -- tables ----------------------------------------------------------------------------------
class Cell(NamedTuple):
    """A text with its look."""

    text: str
    colour: str | None = None
    dim: bool = False

    def styled(self) -> str:
        if self.text and (self.colour or self.dim):
            return click.style(self.text, fg=self.colour, dim=self.dim or None)
        return self.text


def state_cell(state: State) -> Cell:
    return Cell(state.value, COLOURS[state])


def number(value: int, colour: str | None = None) -> Cell:
    """With thousands separated; a zero steps back."""
    return Cell(f"{value:,}", colour if value else None, dim=not value)


@dataclass(slots=True)
class Column:
    """A column of a table.

    :ivar least: the width down to which it may be cut; None: never.
    :ivar drop: left out where there is no room for it, those with lower numbers first;
        0: never.
    """

    title: str
    right: bool = False
    least: int | None = None
    drop: int = 0


class Table:
    """Rows under titles, aligned; on a terminal cut to its width."""

    def __init__(self, *columns: Column) -> None:
        self._columns = list(columns)
        self._rows: list[list[Cell]] = []

    def add(self, *cells: Cell | str) -> None:
        row = [cell if isinstance(cell, Cell) else Cell(cell) for cell in cells]
        self._rows.append([cell._replace(text=clean(cell.text)) for cell in row])

    def show(self) -> None:
        room = shutil.get_terminal_size().columns if on_terminal() else None
        shown, widths = self._layout(room)
        titles = [Cell(column.title, dim=True) for column in self._columns]
        for row in [titles, *self._rows]:
            cells = [self._cell(row[at], self._columns[at], widths[at]) for at in shown]
            click.echo(GAP.join(cells).rstrip())

    def _layout(self, room: int | None) -> tuple[list[int], list[int]]:
        """Which columns are shown, and how wide each is."""
        widths = [
            max([width(column.title), *(width(row[at].text) for row in self._rows)])
            for at, column in enumerate(self._columns)
        ]
        shown = list(range(len(widths)))
        if room is None:
            return shown, widths
        least = [
            natural
            if column.least is None
            else min(natural, max(column.least, width(column.title)))
            for column, natural in zip(self._columns, widths, strict=True)
        ]
        dispensable = [at for at in shown if self._columns[at].drop]
        for at in sorted(dispensable, key=lambda at: self._columns[at].drop):
            if _total(shown, least) > room:
                shown.remove(at)
        # The widest that may be cut gives way first, so short ones stay whole.
        while _total(shown, widths) > room:
            wide = [at for at in shown if widths[at] > least[at]]
            if not wide:
                break
            widths[max(wide, key=lambda at: widths[at])] -= 1
        return shown, widths

    @staticmethod
    def _cell(cell: Cell, column: Column, columns: int) -> str:
        text = cut(cell.text, columns)
        padding = " " * (columns - width(text))
        styled = cell._replace(text=text).styled()
        return padding + styled if column.right else styled + padding


def _total(shown: Sequence[int], widths: Sequence[int]) -> int:
    return sum(widths[at] for at in shown) + len(GAP) * (len(shown) - 1)


def fields(rows: Iterable[tuple[str, Cell | str]]) -> str:
    """Names and values, one a line; an empty value is left out."""
    kept = [(name, cell if isinstance(cell, Cell) else Cell(cell)) for name, cell in rows]
    kept = [(name, cell) for name, cell in kept if cell.text]
    longest = max((len(name) for name, _ in kept), default=0)
    lines = []
    for name, cell in kept:
        title = Cell(name, dim=True).styled() + " " * (longest - len(name))
        lines.append(f"{GAP}{title}{GAP}{cell._replace(text=clean(cell.text)).styled()}")
    return "\n".join(lines)

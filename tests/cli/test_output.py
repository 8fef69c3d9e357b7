"""How tables, times and other people's texts are printed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import click
import pytest
from click.testing import CliRunner

from taskq.cli import output
from taskq.cli.output import Cell, Column, Table, ago, arguments, clean, cut, plain, span, width

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"), (0, "0.0 s"), (0.44, "0.4 s"), (0.95, "1 s"), (12.4, "12 s"),
        (99.4, "99 s"), (100, "2 min"), (3600, "60 min"), (5400, "90 min"), (6000, "2 h"),
        (86400, "24 h"), (172800, "2 d"), (86400 * 5000, "5,000 d"),
    ],
)  # fmt: skip
def test_span(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_ago() -> None:
    assert ago(NOW - timedelta(seconds=3), NOW) == "3 s ago"
    assert ago(NOW + timedelta(minutes=5), NOW) == "in 5 min"
    assert ago(None, NOW) == ""


def test_the_end_of_time_is_a_time_too() -> None:
    assert output.local(datetime.max.replace(tzinfo=UTC)).startswith("9999-12-31")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("bell\x07, C1 \x9b", "bell\\x07, C1 \\x9b"),
        ("right-to-left \u202e", "right-to-left \\u202e"),
        ("half \ud800", "half \\ud800"),
        ("grün 日本", "grün 日本"),
    ],
)
def test_what_could_steer_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_width_counts_columns() -> None:
    assert width("abc") == 3
    assert width("日本") == 4
    assert width("e\u0301") == 1
    assert cut("日本語", 5) == "日本…"
    assert cut("abcdef", 4) == "abc…"
    assert cut("abcd", 4) == "abcd"


def test_plain_values_are_json() -> None:
    value = {
        1: [Decimal("1.5"), float("nan"), {2, }, (3,)],
        "when": NOW,
        "half": "\ud800",
        "bytes": b"x",
    }  # fmt: skip
    text = json.dumps(plain(value), allow_nan=False)
    assert json.loads(text) == {
        "1": ["1.5", "nan", [2], [3]],
        "when": "2026-05-01T12:00:00+00:00",
        "half": "\ud800",
        "bytes": "b'x'",
    }
    assert text.isascii()


def test_arguments() -> None:
    assert arguments((7, "x"), {"when": NOW}) == "(7, 'x', when='2026-05-01T12:00:00+00:00')"


def shown(table: Table, columns: int | None) -> list[str]:
    """The table's lines on a terminal of a width, or in a pipe."""

    @click.command()
    def show() -> None:
        table.show()

    patch = pytest.MonkeyPatch()
    with patch.context() as changed:
        changed.setattr(output, "on_terminal", lambda: columns is not None)
        changed.setenv("COLUMNS", str(columns or 20))
        result = CliRunner().invoke(show)
    assert result.exit_code == 0, result.exception
    return result.stdout.splitlines()


def a_table() -> Table:
    table = Table(
        Column("ID"),
        Column("COUNT", right=True),
        Column("NAME", least=6),
        Column("WHAT", least=8, drop=1),
    )
    table.add("1", Cell("1,000", "red"), "shop.tasks.send", "a rather long text")
    table.add("22", "5", "日本", "")
    return table


def test_a_table_is_aligned_and_whole_where_nobody_reads() -> None:
    assert shown(a_table(), None) == [
        "ID  COUNT  NAME             WHAT",
        "1   1,000  shop.tasks.send  a rather long text",
        "22      5  日本",
    ]


def test_a_table_is_cut_to_the_terminal_its_widest_column_first() -> None:
    lines = shown(a_table(), 40)
    assert lines == [
        "ID  COUNT  NAME           WHAT",
        "1   1,000  shop.tasks.s…  a rather long…",
        "22      5  日本",
    ]
    assert max(width(line) for line in lines) <= 40


def test_what_is_optional_goes_before_a_line_breaks() -> None:
    assert shown(a_table(), 20) == [
        "ID  COUNT  NAME",
        "1   1,000  shop.tas…",
        "22      5  日本",
    ]

"""Turns what was measured into tables, verdicts and an honest list of losses."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from benchmarks.plan import MEASURES, OURS, Figure, Results, Row


def number(value: float) -> str:
    """Three significant digits, whole above a hundred."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:#.3g}" if value >= 1 else f"{value:.2f}"


def median(row: Row, key: str) -> float | None:
    values = row.values(key).values()
    return statistics.median(values) if values else None


def _spread(row: Row, key: str) -> str:
    values = row.values(key).values()
    return f"{number(min(values))} - {number(max(values))}" if len(values) > 1 else ""


class Ratio(NamedTuple):
    """taskq : peer, each round for itself (the machine's speed drifts less within a round)."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        many = f" ({self.low:.2f} - {self.high:.2f})" if self.low != self.high else ""
        return f"{self.median:.2f}{many}"


def ratio(ours: Row, theirs: Row, key: str) -> Ratio | None:
    mine, other = ours.values(key), theirs.values(key)
    found = [mine[at] / other[at] for at in mine if other.get(at)]
    return Ratio(statistics.median(found), min(found), max(found)) if found else None


class Board:
    """The rows of a run, asked for by name."""

    def __init__(self, results: Results) -> None:
        self.results = results

    def ours(self, measure: str) -> Row | None:
        """taskq as it is shipped, on Redis: the first of its rows."""
        return next(
            (
                row
                for row in self.results.rows.get(measure, [])
                if row.case.peer.name == OURS and row.case.peer.store == "redis"
            ),
            None,
        )

    def best(self, measure: str, figure: Figure, peers: Iterable[str]) -> Row | None:
        """The best row of some peers, whatever its settings."""
        found = [
            (value, row)
            for row in self.results.rows.get(measure, [])
            if row.case.peer.name in peers
            if (value := median(row, figure.key)) is not None
        ]
        if not found:
            return None
        pick: Callable[..., tuple[float, Row]] = max if figure.more_is_better else min
        return pick(found, key=lambda pair: pair[0])[1]

    def peers(self) -> list[str]:
        names = (row.case.peer.name for row in self.results.all_rows())
        return [name for name in dict.fromkeys(names) if name != OURS]


# -- tables ----------------------------------------------------------------------------------


def tables(results: Results) -> str:
    board = Board(results)
    blocks = []
    for measure in MEASURES:
        rows = results.rows.get(measure.name, [])
        for table in measure.tables if rows else ():
            blocks.append(_table(table.title, table.figures, rows, board.ours(measure.name)))
    return "\n\n".join(blocks)


def _table(heading: str, figures: tuple[Figure, ...], rows: list[Row], ours: Row | None) -> str:
    main = figures[-1]
    direction = "more" if main.more_is_better else "less"
    several = any(len(row.rounds) > 1 for row in rows)
    width = max(len(row.name) for row in rows) + 2
    head = "".join(
        f"{f.title:>12}{'min - max':>18}" if several else f"{f.title:>12}" for f in figures
    )
    lines = [f"{heading}  ({direction} is better)", f"  {'':<{width}}{head}   taskq : it"]
    for row in rows:
        line = f"  {row.name:<{width}}"
        if not row.rounds:
            reason = f"failed, {row.failures[-1]}" if row.failures else "not measured"
            lines.append(f"{line}  {reason}")
            continue
        values = [median(row, figure.key) for figure in figures]
        if values[-1] is None:  # a store that doesn't have it
            continue
        for figure, value in zip(figures, values, strict=True):
            line += f"{'-' if value is None else number(value):>12}"
            line += f"{_spread(row, figure.key):>18}" if several else ""
        lines.append(f"{line}   {_compared(row, ours, main)}".rstrip())
    return "\n".join(lines)


def _compared(row: Row, ours: Row | None, figure: Figure) -> str:
    failed = f"  [{len(row.failures)} failed]" if row.failures else ""
    if ours is None or row is ours or row.case.peer.name == OURS:
        return failed
    found = ratio(ours, row, figure.key)
    if found is None:
        return failed
    loses = found.median < 1 if figure.more_is_better else found.median > 1
    return f"{number(found.median):>6} : 1{'  loses' if loses else ''}{failed}"


# -- goals ------------------------------------------------------------------------------------


class Verdict(NamedTuple):
    goal: str
    met: bool | None
    """None: not measured."""
    text: str


def _figure(measure: str, key: str) -> Figure:
    return next(
        figure
        for entry in MEASURES
        if entry.name == measure
        for table in entry.tables
        for figure in table.figures
        if figure.key == key
    )


def _against(
    board: Board, goal: str, measure: str, key: str, peers: list[str], factor: float
) -> Verdict:
    """taskq's figure is to be at least (or at most) ``factor`` times that of the best."""
    figure = _figure(measure, key)
    ours, theirs = board.ours(measure), board.best(measure, figure, peers)
    found = ratio(ours, theirs, key) if ours and theirs else None
    if not (ours and theirs and found):
        return Verdict(goal, None, "not measured")
    met = found.median >= factor if figure.more_is_better else found.median < factor
    mine, other = median(ours, key) or 0, median(theirs, key) or 0
    return Verdict(
        goal,
        met,
        f"{number(mine)} against {number(other)} {figure.title} of {theirs.name}; "
        f"taskq : it = {found}",
    )


def verdicts(results: Results) -> list[Verdict]:
    board = Board(results)
    peers = board.peers()
    return [
        _against(board, "Drain at least 5 times Celery's", "drain", "rate", ["celery"], 5),
        _against(board, "One enqueue no slower than the fastest", "enqueue", "rate", peers, 1),
        _against(
            board, "Latency p99 to the start below the best", "latency", "start p99", peers, 1
        ),
        _against(
            board, "Latency p99 to the result below the best", "latency", "result p99", peers, 1
        ),
        _idle(board),
        _against(board, "Memory below Celery's", "memory", "MiB", ["celery"], 1),
    ]


def _idle(board: Board) -> Verdict:
    goal = "Idle worker under 2 Redis commands a second"
    ours = board.ours("idle")
    value = median(ours, "commands") if ours else None
    if value is None:
        return Verdict(goal, None, "not measured")
    sent = (median(ours, "reads") if ours else None) or 0
    text = f"{number(value)} commands/s, those inside scripts too, by {number(sent)} requests/s"
    return Verdict(goal, value < 2, text)


def goals(results: Results) -> str:
    words = {True: "met   ", False: "MISSED", None: "  -   "}
    lines = ["Goals  (taskq as shipped, each peer at its best setting)"]
    for verdict in verdicts(results):
        lines += [f"  {words[verdict.met]}  {verdict.goal}", f"          {verdict.text}"]
    return "\n".join(lines)


def losses(results: Results) -> str:
    """Every figure in which a peer at its best setting is better than taskq."""
    board = Board(results)
    lines = []
    for measure in MEASURES:
        ours = board.ours(measure.name)
        for figure in (f for table in measure.tables for f in table.figures):
            if figure.key == "processes" or ours is None:
                continue
            for peer in board.peers():
                theirs = board.best(measure.name, figure, [peer])
                if theirs and (text := _loss(ours, theirs, figure)):
                    lines.append(f"  {measure.name:<8} {text}")
    heading = "Where taskq loses  (to a peer at its best setting)"
    return "\n".join([heading, *(lines or ["  nowhere, in what was measured"])])


def _loss(ours: Row, theirs: Row, figure: Figure) -> str:
    key = figure.key
    mine, other = median(ours, key), median(theirs, key)
    if mine is None or other is None:
        return ""
    found = ratio(ours, theirs, key)
    # Without a ratio the peer's figure is 0.
    worse = mine > other if found is None else (found.median < 1) == figure.more_is_better
    if not worse or mine == other:
        return ""
    low, high = sorted([ours.values(key), theirs.values(key)], key=lambda v: min(v.values()))
    near = len(low) > 1 and max(low.values()) >= min(high.values())
    return (
        f"{figure.key}: {number(mine)} against {number(other)} of {theirs.name}"
        f"{f'; taskq : it = {found}' if found else ''}{'  (ranges overlap)' if near else ''}"
    )


# -- machine and noise ------------------------------------------------------------------------


def noise(results: Results) -> str:
    times = [time for row in results.all_rows() for time in row.calibrations]
    if not times:
        return ""
    low, middle, high = min(times), statistics.median(times), max(times)
    text = (
        f"A fixed loop took {low:.1f} ms at best, {middle:.1f} in the median, {high:.1f} at worst"
    )
    if middle > 1.25 * low:
        text += ": the machine was NOT quiet, read the ratios rather than the figures"
    return text + "."


def as_json(results: Results) -> list[dict[str, Any]]:
    return [
        {
            "measure": row.case.measure,
            "peer": row.case.peer.name,
            "store": row.case.peer.store,
            "setting": row.case.setting,
            "command": row.case.started.command if row.case.started else "",
            "rounds": row.rounds,
            "failures": row.failures,
            "calibration_ms": row.calibrations,
        }
        for row in results.all_rows()
    ]

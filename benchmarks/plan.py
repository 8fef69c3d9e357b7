"""What there is to measure, in which order, and what the tables show of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks import measures
from benchmarks.environment import calibrate
from benchmarks.measures import Bench, Case, Failed
from benchmarks.peers.base import Peer, Worker

OURS = "taskq"


class Figure(NamedTuple):
    """A column of a table."""

    key: str
    title: str
    more_is_better: bool = False


class Table(NamedTuple):
    """Some figures of a measure; the last column is the one that is compared."""

    title: str
    figures: tuple[Figure, ...]


class Measure(NamedTuple):
    name: str
    settings: Callable[[Peer], Iterable[str | Worker]]
    """What to measure of a peer: settings of its client, or workers."""
    run: Callable[[Bench, Case], dict[str, float]] | None
    """None: all cases at once, by ``measures.idle``."""
    tables: tuple[Table, ...]


RATE = (Figure("rate", "jobs/s", more_is_better=True),)


def _processes_of_its_own(peer: Peer) -> Iterable[Worker]:
    return () if peer.store == "memory" else peer.serve


MEASURES = (
    Measure(
        "enqueue",
        lambda peer: peer.enqueue_settings,
        measures.enqueue,
        (Table("Enqueue one job a call", RATE),),
    ),
    Measure(
        "bulk",
        lambda peer: peer.bulk_settings,
        measures.bulk,
        (Table("Enqueue 1,000 jobs a call (peers without such a call: none)", RATE),),
    ),
    Measure(
        "drain",
        lambda peer: peer.drain,
        measures.drain,
        (Table("Drain of no-op jobs", RATE),),
    ),
    Measure(
        "sleep",
        lambda peer: peer.sleep,
        measures.sleep,
        (Table("Drain of jobs that sleep 10 ms, 50 at a time (5,000 jobs/s at best)", RATE),),
    ),
    Measure(
        "latency",
        lambda peer: peer.serve,
        measures.latency,
        (
            Table(
                "Latency on an idle queue: enqueue to start",
                (Figure("start p50", "p50 ms"), Figure("start p99", "p99 ms")),
            ),
            Table(
                "Latency on an idle queue: enqueue to the result's arrival",
                (Figure("result p50", "p50 ms"), Figure("result p99", "p99 ms")),
            ),
        ),
    ),
    Measure(
        "idle",
        _processes_of_its_own,
        None,
        (
            Table("Idle worker: CPU of all its processes", (Figure("cpu ms", "ms/s"),)),
            Table(
                "Idle worker: requests to Redis, and commands with those inside scripts",
                (Figure("reads", "requests/s"), Figure("commands", "commands/s")),
            ),
        ),
    ),
    Measure(
        "memory",
        _processes_of_its_own,
        measures.memory,
        (
            Table(
                "Memory of a worker, all its processes (PSS)",
                (Figure("processes", "processes"), Figure("MiB", "MiB")),
            ),
        ),
    ),
    Measure(
        "import",
        lambda peer: ("",) if peer.module_with_a_task else (),
        measures.imports,
        (Table("Import of a module with one task", (Figure("ms", "ms"),)),),
    ),
)


@dataclass
class Row:
    """What the rounds found of one case."""

    case: Case
    rounds: dict[int, dict[str, float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    calibrations: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.case.peer.label} {self.case.setting}".strip()

    def values(self, key: str) -> dict[int, float]:
        return {at: figures[key] for at, figures in self.rounds.items() if key in figures}


def _case(measure: str, peer: Peer, setting: str | Worker) -> Case:
    if isinstance(setting, str):
        return Case(measure, peer, setting)
    return Case(measure, peer, setting.setting, setting)


class Results:
    """All rows, in the order in which they are shown."""

    def __init__(self, peers: list[Peer], names: list[str]) -> None:
        # taskq first.
        ordered = sorted(peers, key=lambda peer: peer.name != OURS)
        self.rows = {
            measure.name: [
                Row(_case(measure.name, peer, setting))
                for peer in ordered
                for setting in measure.settings(peer)
            ]
            for measure in MEASURES
            if measure.name in names
        }

    def all_rows(self) -> list[Row]:
        return [row for rows in self.rows.values() for row in rows]


def run(bench: Bench, results: Results, rounds: int) -> None:
    """Measure round by round: every row once, in each second round from the last to the first,
    so that what the machine does meanwhile falls on all of them alike."""
    total = rounds * len(results.all_rows())
    done = 0
    begin = time.monotonic()

    def say(rows: int, what: str) -> None:
        nonlocal done
        done += rows
        spent = time.monotonic() - begin
        print(f"[{done}/{total} {spent:.0f} s] {what}", file=sys.stderr, flush=True)

    for at in range(1, rounds + 1):
        for measure in MEASURES:
            rows = results.rows.get(measure.name, [])
            rows = rows if at % 2 else rows[::-1]
            if measure.run:
                for row in rows:
                    found = _one(bench, measure.run, row, at)
                    say(1, f"round {at} {measure.name} {row.name}: {found}")
            elif rows:
                _together(bench, rows, at)
                say(len(rows), f"round {at} {measure.name}, all at once")


def _one(
    bench: Bench, measure: Callable[[Bench, Case], dict[str, float]], row: Row, at: int
) -> str:
    row.calibrations.append(calibrate())
    try:
        row.rounds[at] = figures = measure(bench, row.case)
    except Failed as failure:
        row.failures.append(f"round {at}: {failure}")
        return f"failed: {failure}"
    return ", ".join(f"{key} {value:,.4g}" for key, value in figures.items())


def _together(bench: Bench, rows: list[Row], at: int) -> None:
    calibration = calibrate()
    for row, figures in zip(rows, measures.idle(bench, [row.case for row in rows]), strict=True):
        row.calibrations.append(calibration)
        if "failed" in figures:
            row.failures.append(f"round {at}: the worker did not stay")
        else:
            row.rounds[at] = figures

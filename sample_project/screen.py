"""How the shop shows its jobs in a terminal, or as plain lines anywhere else."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from taskq import JobHandle, JobInfo, State

WIDTH = 100
LEAST_WIDTH = 60
"""Columns that a terminal needs for the table that is drawn anew."""
NAME, ABOUT, STATE = 14, 12, 9
"""Columns of a job's task, of what it is about, and of its state."""

LOOKS = {
    State.SCHEDULED: ("◷", "magenta"),
    State.READY: ("·", "cyan"),
    State.RUNNING: ("▶", "blue"),
    State.RETRYING: ("↻", "yellow"),
    State.SUCCEEDED: ("✓", "green"),
    State.FAILED: ("✗", "red"),
    State.CANCELLED: ("–", "bright_black"),
    State.EXPIRED: ("–", "bright_black"),
}


@dataclass
class Watched:
    """A job that the shop enqueued, and what was last known of it."""

    about: str
    job: JobHandle[Any]
    info: JobInfo

    @classmethod
    def of(cls, about: str, job: JobHandle[Any]) -> Watched:
        return cls(about, job, job.info())

    @property
    def name(self) -> str:
        return self.info.task.rpartition(".")[2]

    @property
    def ended(self) -> bool:
        return self.info.state.ended

    def look(self) -> None:
        """Ask the store, unless nothing can have changed."""
        if not self.ended:
            self.info = self.job.info()

    def seconds(self) -> float:
        """How long it took, from the enqueue to its end."""
        assert self.info.enqueued_at is not None
        assert self.info.ended_at is not None
        return (self.info.ended_at - self.info.enqueued_at).total_seconds()

    def now(self) -> str:
        """What it does at the moment."""
        info, state = self.info, self.info.state
        if self.ended:
            return self.came_of_it()
        if state is State.RETRYING and info.errors:
            return f"attempt {info.attempt} failed: {info.errors[-1].message}"
        if state is State.SCHEDULED and not info.progress:
            return "for later"
        return _bar(info) if info.progress else ""

    def came_of_it(self) -> str:
        if self.info.state is State.SUCCEEDED:
            return str(self.job.result())
        return self.info.errors[-1].message if self.info.errors else ""


def _bar(info: JobInfo) -> str:
    assert info.progress is not None
    done: float = info.progress["done"]
    total: float = info.progress.get("total") or 1.0
    full = int(20 * done / total)
    text = info.progress.get("text", "")
    return f"{'█' * full}{'░' * (20 - full)} {done:g}/{total:g} {text}"


class Screen:
    """Shows jobs while they run: a table that is drawn anew, or lines that tell what changed."""

    def __init__(self, jobs: Sequence[Watched]) -> None:
        size = shutil.get_terminal_size((WIDTH, 24))
        self._jobs = jobs
        self._width = min(size.columns, WIDTH)
        colours = click.get_current_context().color is not False
        roomy = size.lines > len(jobs) + 2 and size.columns >= LEAST_WIDTH
        self._redraws = colours and roomy and sys.stdout.isatty()
        self._drawn = 0
        self._started = time.monotonic()
        self._told: dict[str, tuple[State, int]] = {}

    def show(self) -> bool:
        """Look at the jobs and show what is known now; True when all have ended."""
        for job in self._jobs:
            job.look()
        if self._redraws:
            self._draw()
        else:
            self._tell()
        return all(job.ended for job in self._jobs)

    def _draw(self) -> None:
        lines = "".join(f"  {self._line(job)}\x1b[K\n" for job in self._jobs)
        # In one piece, over what is there: nothing flickers.
        click.echo(f"\x1b[{self._drawn}A{lines}" if self._drawn else lines, nl=False)
        self._drawn = len(self._jobs)

    def _tell(self) -> None:
        for job in self._jobs:
            news = (job.info.state, job.info.attempt)
            if news[0] is not State.READY and self._told.get(job.job.id) != news:
                self._told[job.job.id] = news
                click.echo(f"  {time.monotonic() - self._started:5.1f} s  {self._line(job)}")

    def end(self) -> None:
        """Make place for what comes next: take the table away again; lines stay."""
        click.echo(f"\x1b[{self._drawn}A\x1b[J" if self._drawn else "\n", nl=False)

    def _line(self, job: Watched) -> str:
        mark, colour = LOOKS[job.info.state]
        room = self._width - (NAME + ABOUT + STATE + 10) - (0 if self._redraws else 9)
        head = f"{_fit(job.name, NAME)}  {click.style(_fit(job.about, ABOUT), dim=True)}"
        now = _cut(job.now(), room)
        state = _fit(job.info.state.value, STATE if now else 0)
        return f"{head}  {click.style(f'{mark} {state}', fg=colour)}  {now}".rstrip()


def summary(jobs: Sequence[Watched]) -> list[str]:
    """The table of what happened."""
    room = min(shutil.get_terminal_size((WIDTH, 24)).columns, WIDTH) - (NAME + ABOUT + STATE + 31)
    titles = (
        f"{'job':{NAME}}  {'about':{ABOUT}}  {'state':{STATE + 2}}  {'attempts':>8}  {'took':>5}"
    )
    lines = [click.style(f"{titles}  what came of it", bold=True)]
    for job in jobs:
        mark, colour = LOOKS[job.info.state]
        state = click.style(f"{mark} {_fit(job.info.state.value, STATE)}", fg=colour)
        took = f"{job.seconds():4.1f}s" if job.ended else "     "
        lines.append(
            f"{_fit(job.name, NAME)}  {click.style(_fit(job.about, ABOUT), dim=True)}  {state}  "
            f"{job.info.attempt:8}  {took}  {_cut(job.came_of_it(), room)}"
        )
    return lines


def _fit(text: str, columns: int) -> str:
    return f"{_cut(text, columns):{columns}}" if columns else text


def _cut(text: str, columns: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= columns else f"{text[: max(columns - 1, 0)]}…"

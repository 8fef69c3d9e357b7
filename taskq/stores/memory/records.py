"""The records of a memory store, and heaps of them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from heapq import heapify, heappop, heappush
from operator import attrgetter

from taskq.job import LANES, Claim, Job, Lane, Lock, State, WorkerInfo

NEVER = float("inf")
_fields_of_job = attrgetter(*(each.name for each in fields(Job)))


@dataclass(slots=True, eq=False)
class Stored(Job):
    """A job as the store keeps it."""

    order: int = 0
    """The number of its enqueue."""
    place: int = 0
    """The number of its arrival: among the ready jobs, or among the ended ones."""
    stamp: int = 0
    """New whenever the job moves, so that older entries of it in a pile are known as stale."""
    lock: Lock | None = None
    lock_until: float = NEVER

    @property
    def kept_until(self) -> float:
        """When the record of an ended job is to go."""
        keep = self.keep_failed if self.state is State.FAILED else self.keep
        return (self.ended_at or 0.0) + keep

    def snapshot(self) -> Job:
        job = Job(*_fields_of_job(self))
        job.errors = list(self.errors)
        job.log = list(self.log)
        return job

    def claim(self, now: float, ran: bool = False) -> Claim:
        return Claim(
            self.id,
            self.task,
            self.payload,
            self.queue,
            self.lane,
            self.priority,
            self.attempts,
            self.claims,
            self.deaths,
            self.enqueued_at,
            self.due_at,
            self.expires_at,
            self.deadline,
            self.checkpoint,
            now,
            ran,
        )


class Pile:
    """A heap of jobs, each under the stamp that it had when it was put in.

    An entry whose job moved on is stale. It is dropped when it comes to the top, or when
    the stale ones are more than half of all: taking a job out of the middle costs O(1),
    and what was taken out does not pile up.
    """

    __slots__ = ("_entries", "_live")

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, int, Stored]] = []
        self._live = 0

    def push(self, rank: float, number: int, job: Stored) -> None:
        heappush(self._entries, (rank, number, job.stamp, job))
        self._live += 1

    def first(self) -> Stored | None:
        entries = self._entries
        while entries:
            _, _, stamp, job = entries[0]
            if job.stamp == stamp:
                return job
            heappop(entries)
        return None

    def pop(self) -> Stored | None:
        job = self.first()
        if job is not None:
            heappop(self._entries)
            self._live -= 1
        return job

    def left(self) -> None:
        """One job of the pile moved on, and has its new stamp."""
        self._live -= 1
        if len(self._entries) > 2 * self._live + 100:
            self._entries = [entry for entry in self._entries if entry[3].stamp == entry[2]]
            heapify(self._entries)


class Queue:
    __slots__ = ("counts", "paused", "ready", "used")

    def __init__(self) -> None:
        self.counts = dict.fromkeys(State, 0)
        self.paused = False
        self.ready: dict[Lane, Pile] = {lane: Pile() for lane in LANES}
        self.used = False
        """It had a job once."""


@dataclass(slots=True, eq=False)
class Lease:
    info: WorkerInfo
    ttl: float
    until: float
    ended: bool = False
    woken: bool = False
    jobs: dict[str, Stored] = field(default_factory=dict)
    running: frozenset[str] = frozenset()
    """What the last renewal said was started."""
    number: int = -1
    """That of the last call that found jobs, and what it found: claims numbers, and ``ran``."""
    batch: list[tuple[Stored, int, bool]] = field(default_factory=list)

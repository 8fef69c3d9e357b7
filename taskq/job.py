"""The values that cross the seam between the application, the store and the worker.

Durations are in seconds, instants in seconds since the epoch (UTC), both as floats;
a store may round them up to the millisecond. No value here knows a store or a task.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple

Lane = Literal["thread", "loop"]
LANES: tuple[Lane, Lane] = ("thread", "loop")

MIN_PRIORITY, MAX_PRIORITY = -100, 100

MAX_SECONDS = 100 * 366 * 86400.0
"""The longest duration, a century: a longer one is a mistake of unit, or means None."""


class State(StrEnum):
    """Where a job stands. A job is in exactly one state."""

    SCHEDULED = "scheduled"
    READY = "ready"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def ended(self) -> bool:
        """True when nothing more will happen to the job by itself."""
        return self in ENDED


ENDED = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.EXPIRED})
WAITING = frozenset({State.SCHEDULED, State.READY, State.RETRYING})


class Moment(NamedTuple):
    """An instant, told either as such or as a duration that the store adds to its own clock."""

    seconds: float
    absolute: bool = False

    def at(self, now: float) -> float:
        return self.seconds if self.absolute else now + self.seconds


class Lock(NamedTuple):
    """The lock of a unique job: at most one job that has not ended holds a key.

    It ends with the job (or with its first claim, if ``until_start``), or ``ttl``
    seconds after the enqueue, whichever is first.
    """

    key: str
    ttl: float | None = None
    until_start: bool = False
    on_duplicate: Literal["return", "raise", "replace"] = "return"


@dataclass(slots=True)
class NewJob:
    """A job as it is handed to ``Store.enqueue``."""

    id: str
    task: str
    payload: bytes
    queue: str = "default"
    lane: Lane = "thread"
    priority: int = 0
    due: Moment | None = None
    """None: now. A moment that is not in the future means now too."""
    expires: float | None = None
    """Seconds after the due time within which the first start has to come."""
    deadline: Moment | None = None
    keep: float = 3600.0
    """Seconds to keep the record if the job succeeded, expired or was cancelled; 0: not at all."""
    keep_failed: float = 30 * 86400.0
    """Seconds to keep the record when the job failed; 0: not at all."""
    lock: Lock | None = None


class Enqueued(NamedTuple):
    """What became of one job of an enqueue.

    ``id`` is the job to look at: for "duplicate" and "busy" the one that holds the
    unique key, else the job's own (for "replaced": that of the job replaced).

    * created: stored.
    * exists: a job of this id is there already; nothing was written.
    * duplicate: the unique key is held; nothing was written.
    * replaced: the holder was overwritten (``on_duplicate="replace"``).
    * busy: the holder runs, so it could not be replaced; nothing was written.
    """

    id: str
    status: Literal["created", "exists", "duplicate", "replaced", "busy"]


@dataclass(slots=True)
class Job:
    """A stored job as it is now: a snapshot."""

    id: str
    task: str
    payload: bytes
    queue: str
    lane: Lane
    priority: int
    state: State
    attempts: int = 0
    """Runs that counted, so far ended. The run that goes on is number ``attempts + 1``."""
    claims: int = 0
    """How often the job was claimed; with the lease's id it is the fencing token."""
    deaths: int = 0
    """How many workers in a row died while they ran it."""
    enqueued_at: float = 0.0
    due_at: float = 0.0
    """When it was, or will next be, due."""
    started_at: float | None = None
    """When the last claim was made."""
    ended_at: float | None = None
    expires_at: float | None = None
    """None once it has started."""
    deadline: float | None = None
    keep: float = 0.0
    keep_failed: float = 0.0
    unique_key: str | None = None
    lease: str | None = None
    """The lease that holds it, or held it last."""
    cancel_requested: bool = False
    result: bytes | None = None
    errors: list[bytes] = field(default_factory=list)
    """What the failed attempts left, oldest first; at most the last ``MAX_ERRORS``."""
    progress: bytes | None = None
    checkpoint: bytes | None = None
    log: list[bytes] = field(default_factory=list)
    """Lines that the task wrote, oldest first; at most the last ``MAX_LOG``."""


MAX_ERRORS = 25
MAX_LOG = 200


@dataclass(slots=True)
class Claim:
    """A job held under a lease. (lease, claims) is its fencing token."""

    id: str
    task: str
    payload: bytes
    queue: str
    lane: Lane
    priority: int
    attempts: int
    claims: int
    deaths: int
    enqueued_at: float
    due_at: float
    expires_at: float | None
    deadline: float | None
    checkpoint: bytes | None
    now: float
    """The store's clock when the claim was made; workers' clocks don't matter."""
    ran: bool = False
    """From ``reclaim``: the lost worker had started to run it, as far as is known."""


class Claimed(NamedTuple):
    """What a claim found."""

    claims: list[Claim]
    next_due: float | None = None
    """Seconds until the next scheduled or retrying job of any queue is due (0 or less:
    one is due now and waits to be promoted); None when there is none."""


@dataclass(slots=True)
class Outcome:
    """What became of a claim; the one way out of running.

    ``state`` is where the job goes: an ended state, RETRYING or SCHEDULED (due after
    ``delay``; RETRYING with delay 0 or less becomes ready at once), or READY (given
    back to the head of its queue).
    """

    claim: Claim
    state: State
    delay: float = 0.0
    attempts: int = 0
    """The new number of runs that counted."""
    deaths: int = 0
    started: bool = True
    """The task's function was entered, so ``expires`` no longer holds."""
    result: bytes | None = None
    error: bytes | None = None
    """Appended to the job's errors."""
    priority: int | None = None
    payload: bytes | None = None
    """Arguments changed by the task."""


Finished = Literal["done", "cancelled", "already", "lost"]
"""What a finish answers for each outcome: written; written, but as cancelled because the
job had been asked to stop; this token had written before; this token no longer holds."""


@dataclass(slots=True)
class Note:
    """What a running task says of itself. None: unchanged."""

    progress: bytes | None = None
    checkpoint: bytes | None = None
    payload: bytes | None = None
    log: Sequence[bytes] = ()
    """Lines to append."""


@dataclass(slots=True)
class WorkerInfo:
    """One worker process, as it describes itself."""

    host: str
    pid: int
    queues: Sequence[str] = ()
    concurrency: int = 0
    async_concurrency: int = 0
    started_at: float = 0.0
    version: str = ""
    lease: str = ""
    """Filled in by the store."""
    running: int = 0
    """Jobs it holds; filled in by the store."""
    seen_at: float = 0.0
    """Its last renewal; filled in by the store."""


class Lapsed(NamedTuple):
    """A lease that was not renewed in time, or was ended, and may hold jobs."""

    lease: str
    ended: bool
    """Known to be dead (ended by its supervisor, or already being reclaimed)."""


class Promoted(NamedTuple):
    """How many jobs became ready, and seconds until the next one is due (None: none waits)."""

    moved: int
    next_due: float | None


class Page(NamedTuple):
    """Some jobs in a stable order; ``cursor`` asks for the next ones, None: there are none."""

    jobs: list[Job]
    cursor: str | None


@dataclass(slots=True)
class QueueStats:
    """One queue: jobs by state, whether it is paused, and the age of its oldest ready job."""

    queue: str
    counts: dict[State, int]
    paused: bool = False
    oldest_ready: float | None = None
    """Seconds that the first ready job has been waiting; None when none is ready."""


_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """A new UUIDv7 (RFC 9562, section 5.7) as text.

    Ids of one process sort in the order in which they were made, also within one
    millisecond: the 12 bits after the time hold its fraction (method 3 of section 6.2),
    and a time that did not move on is counted up.
    """
    global _last
    # Sub-millisecond ticks of 1/4096 ms, so the time and its fraction are one number.
    now = time.time_ns() * 4096 // 1_000_000
    with _lock:
        if now <= _last:
            now = _last + 1
        _last = now
    head = ((now >> 12) << 16 | 0x7000 | now & 0xFFF).to_bytes(8, "big")
    tail = bytearray(os.urandom(8))
    tail[0] = tail[0] & 0x3F | 0x80
    digits = (head + tail).hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _after_fork() -> None:
    # A lock that another thread held at the fork would stay held for ever in the child.
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

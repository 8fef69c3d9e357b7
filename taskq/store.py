"""The Store protocol: the contract between taskq and whatever keeps its jobs.

Three ideas carry it. Everything is a batch: one job is a batch of one. There is one door
into running (`claim`, `reclaim`) and one out of it (`finish`). The lease belongs to the
worker process and its jobs hang on it, so renewing is one small write however many jobs
run; and a worker whose lease was taken can change nothing.

What every store promises (``taskq.testing.conformance`` checks each line on each store):

* A job is in exactly one state. Only `claim` and `reclaim` put it into running, only
  `finish` takes it out.
* Each job of a batch is handled atomically and judged by itself.
* A write under a token (lease id, claims) that no longer holds changes nothing and says so.
* `claim` and `reclaim` take a number from one rising series per lease, one call in flight.
  The last number again gives the jobs of that call that are still held, so a lost reply
  loses no job. A call that found nothing does not use its number up: the same number
  may be sent again and then claims anew.
* A job keeps its arrival number. Given back (finished as READY) it goes to the head again;
  promoted, requeued and replaced jobs, and retries without delay, arrive anew. Jobs promoted
  together arrive by due time, those of one instant in the order in which they were enqueued.
  Within a queue and a lane, ready jobs are claimed by priority, highest first, equal ones in
  order of arrival.
* Time is the store's own, or that of the clock given to its constructor. No method takes "now".
* StoreUnavailable is the only error to repeat, and repeating is safe: enqueue is idempotent
  by id, claim by number, finish by token.
* Payloads, results, errors and notes are opaque bytes. A store never imports a task, never
  decodes, never decides whether to retry.
* Stored bytes that are not a job (written by somebody else, cut off, of another version) never
  stop the jobs behind them: the store sets them aside as failed, with the raw bytes as payload,
  ``MALFORMED`` as the task's name and the reason as the error, and goes on.

All methods may be called from several threads. A store object must not be used across a fork
by both sides: after a fork the child's first use makes connections of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from taskq.job import (
    Claim,
    Claimed,
    Enqueued,
    Finished,
    Job,
    Lane,
    Lapsed,
    NewJob,
    Note,
    Outcome,
    Page,
    Promoted,
    QueueStats,
    State,
    WorkerInfo,
)

MALFORMED = "taskq.malformed"
"""The task name of an entry that was set aside because it could not be read."""


@runtime_checkable
class Store(Protocol):
    """Where jobs live. One implementation a backend; mechanism only, no policy."""

    url: str
    """Where it is, without any password: for people."""
    shared: bool
    """Other processes see the same jobs (False: memory)."""
    transactional: bool
    """``enqueue`` and ``finish`` can write in a transaction of the caller's."""
    blocking: bool
    """``claim`` and ``wait`` are woken by the backend, rather than looking again and again."""

    # -- producing ------------------------------------------------------------------
    def enqueue(self, jobs: Sequence[NewJob], *, connection: Any = None) -> list[Enqueued]:
        """Store jobs as READY, or SCHEDULED when they are due later; answers in the same order.

        Ids of one batch are told apart as if they came one after the other. A batch may be
        of any size (the store cuts it into calls of its own); on StoreUnavailable ``ids``
        names the jobs not known to be stored.

        :param connection: an open connection of the store's own database: the rows are
            written in the caller's transaction. NotSupported if not ``transactional``.
        """
        ...

    # -- a worker's lease ---------------------------------------------------------------
    def open(self, worker: WorkerInfo, ttl: float) -> str:
        """A new lease, for ``ttl`` seconds from now; its id is never used again."""
        ...

    def renew(self, lease: str, running: Sequence[str] = ()) -> list[str] | None:
        """Hold the lease for another ``ttl``; the ids of its jobs that are asked to stop.

        None: the lease is lost (unknown, ended, or reclaimed by others), and stays so; renew
        never makes a lease. A lease that lapsed, but which nobody has reclaimed, is renewed.

        :param running: the ids of the jobs that the process has started and not yet ended;
            remembered for ``Claim.ran`` of a later reclaim.
        """
        ...

    def end(self, lease: str) -> None:
        """End a lease for good: its jobs may be reclaimed at once, its holder can write nothing.

        A lease without jobs is forgotten. Nothing happens if it is not known.
        """
        ...

    def claim(
        self,
        lease: str,
        number: int,
        queues: Sequence[str],
        limits: Mapping[Lane, int],
        wait: float = 0.0,
    ) -> Claimed:
        """Take READY jobs and make them RUNNING under the lease.

        Queues are tried in the order given; paused ones give nothing. Up to ``limits[lane]``
        jobs of each lane (absent: none). Releases a lock that is held ``until_start``.

        :param wait: seconds to wait for a first job if there is none. Returns early, without
            a job, after ``wake``, or when something about the next due job may have changed.
        :raises LeaseLost: the lease is not known or was ended.
        """
        ...

    def wake(self, lease: str) -> None:
        """Let a ``claim`` of this lease that waits return soon; from any thread."""
        ...

    def finish(
        self, lease: str, outcomes: Sequence[Outcome], *, connection: Any = None
    ) -> list[Finished]:
        """Write what became of claims: the only way out of running. Answers in the same order.

        An ended state frees the unique key, keeps the record for the job's ``keep`` or
        ``keep_failed`` (0: deletes it), and wakes those who ``wait`` for the job. A job that
        was asked to stop ends CANCELLED, whatever the outcome says, unless it SUCCEEDED.

        :param connection: as for ``enqueue``.
        """
        ...

    def note(self, lease: str, claim: Claim, note: Note) -> bool:
        """Write progress, log lines, checkpoint or new arguments of a running job.

        False: the token no longer holds, and nothing was written.
        """
        ...

    # -- upkeep: any worker may do it, doing it twice is harmless --------------------------
    def promote(self, limit: int = 1000) -> Promoted:
        """Make READY the SCHEDULED and RETRYING jobs that are due; at most ``limit`` of them."""
        ...

    def lapsed(self) -> list[Lapsed]:
        """The leases that have lapsed or were ended."""
        ...

    def reclaim(self, lease: str, number: int, dead: Sequence[str], limit: int) -> list[Claim]:
        """Take over running jobs of ``dead`` leases under one's own; the caller finishes them.

        It does not run them. A lease in ``dead`` that is neither lapsed nor ended is left
        alone. The first reclaim of a lease ends it for good, also for jobs not yet taken; when
        its last job is taken it is forgotten. ``number`` is of the same series as claim's.

        :raises LeaseLost: as ``claim``.
        """
        ...

    def prune(self, limit: int = 1000) -> int:
        """Delete ended jobs whose time is up, the oldest of too many (the store's
        ``max_ended`` of each state), and other leftovers; how many jobs went."""
        ...

    # -- reading ---------------------------------------------------------------------
    def get(self, ids: Sequence[str]) -> list[Job | None]:
        """The jobs, in the order asked, None where there is none."""
        ...

    def wait(self, ids: Sequence[str], timeout: float) -> list[Job | None]:
        """As ``get``, after one of the jobs has ended (or is not there), or after ``timeout``
        seconds."""
        ...

    def browse(
        self,
        *,
        queue: str | None = None,
        state: State | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """One page of jobs. Order: ended ones newest first, others oldest first. A job that stays
        as it is while one pages is given exactly once. ValueError for a cursor not its own."""
        ...

    def stats(self, queues: Sequence[str] | None = None) -> list[QueueStats]:
        """Per queue that ever had a job (or those asked for), sorted by name."""
        ...

    def workers(self) -> list[WorkerInfo]:
        """The workers whose lease has not lapsed."""
        ...

    # -- control ---------------------------------------------------------------------
    def cancel(self, ids: Sequence[str]) -> list[Literal["cancelled", "asked", "ended", "missing"]]:
        """Waiting jobs become CANCELLED at once; running ones are asked to stop."""
        ...

    def requeue(
        self, ids: Sequence[str]
    ) -> list[Literal["requeued", "running", "ready", "refused", "missing"]]:
        """Make READY now: SCHEDULED and RETRYING jobs, and ended ones (those with attempts and
        deaths 0 again, without result, expiry and deadline). Errors so far stay.

        "refused": ended, and another job holds its unique key by now.
        """
        ...

    def delete(self, ids: Sequence[str]) -> list[Literal["deleted", "running", "missing"]]:
        """Forget jobs that are not running; frees their unique keys."""
        ...

    def pause(self, queue: str, paused: bool = True) -> None:
        """Stop claims from a queue, or allow them again; enqueue goes on. Survives restarts."""
        ...

    # -- shared locks and counters --------------------------------------------------------
    def acquire(self, key: str, owner: str, *, ttl: float, slots: int = 1) -> bool:
        """Hold one of ``slots`` places of a lock for ``ttl`` seconds; its holder renews by calling
        again. False: all places are taken."""
        ...

    def release(self, key: str, owner: str) -> None:
        """Give the place back; nothing happens if it was not held."""
        ...

    def tally(self, key: str, ttl: float, amount: int = 1) -> int:
        """Add to a counter that vanishes ``ttl`` seconds after its first count; its new value."""
        ...

    # -- life -----------------------------------------------------------------------
    def ping(self) -> None:
        """One round trip. Makes what has to be made first (tables); says what is wrong with it.

        :raises StoreUnavailable: not reached. :raises SchemaError: of another version.
        """
        ...

    def close(self) -> None:
        """Release connections; the store may be used again afterwards."""
        ...


class AsyncStore(Protocol):
    """The client's verbs for asyncio, for stores that have them (``store.aio``).

    They share everything with their sync twins but the sending."""

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]: ...

    async def get(self, ids: Sequence[str]) -> list[Job | None]: ...

    async def wait(self, ids: Sequence[str], timeout: float) -> list[Job | None]: ...

    async def cancel(
        self, ids: Sequence[str]
    ) -> list[Literal["cancelled", "asked", "ended", "missing"]]: ...

    async def close(self) -> None: ...

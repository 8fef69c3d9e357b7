"""The memory store: jobs live in this process and go with it.

For tests, for trying things out, and as the plainest reading of the contract: one lock
around dictionaries and heaps. Nothing costs more than O(log n) a job but `browse`, which
looks at every job.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from taskq.clock import Clock, SystemClock
from taskq.errors import ConfigError, LeaseLost, NotSupported
from taskq.job import (
    ENDED,
    MAX_ERRORS,
    MAX_LOG,
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
from taskq.stores.memory.ledger import Ledger, read_cursor, write_cursor
from taskq.stores.memory.locks import Locks
from taskq.stores.memory.records import Lease, Stored
from taskq.stores.memory.waits import LeapingClock, MemoryAio, Waits, any_over


class MemoryStore:
    """Keeps jobs in this process, for as long as the store object lives.

    :param url: ``memory://``; two stores never share anything, whatever their URLs.
    :param clock: where the time comes from.
    :param max_ended: how many ended jobs of each state `prune` leaves.
    """

    shared = False
    transactional = False
    blocking = True

    def __init__(
        self, url: str = "memory://", *, clock: Clock | None = None, max_ended: int = 100_000
    ) -> None:
        if max_ended < 0:
            raise ConfigError(f"max_ended is a number of jobs, 0 or more, not {max_ended}")
        self.url = url
        self._clock = clock or SystemClock()
        self._max_ended = max_ended
        self._mutex = threading.Lock()
        self._news = threading.Condition(self._mutex)
        """Told when a claim that waits should look again."""
        self._waits = Waits(self._mutex)
        self._ledger = Ledger(self._news.notify_all, self._waits.tell)
        self._locks = Locks()
        self._leases: dict[str, Lease] = {}
        self.aio = MemoryAio(self, self._waits)
        if isinstance(self._clock, LeapingClock):
            self._clock.listen(self._travelled)

    # -- producing ------------------------------------------------------------------
    def enqueue(self, jobs: Sequence[NewJob], *, connection: Any = None) -> list[Enqueued]:
        if connection is not None:
            raise NotSupported(
                "the memory store can't write in a transaction of yours; the SQL stores can"
            )
        with self._mutex:
            now = self._clock.now()
            return [self._enqueue(job, now) for job in jobs]

    def _enqueue(self, new: NewJob, now: float) -> Enqueued:
        if new.id in self._ledger.jobs:
            return Enqueued(new.id, "exists")
        holder = None if new.lock is None else self._ledger.holder(new.lock.key, now)
        if holder is None:
            self._ledger.create(new, now)
            return Enqueued(new.id, "created")
        if new.lock is None or new.lock.on_duplicate != "replace":
            return Enqueued(holder.id, "duplicate")
        if holder.state is State.RUNNING:
            return Enqueued(holder.id, "busy")
        self._ledger.leave(holder)
        holder.attempts = holder.deaths = 0
        # They belong to the arguments that are overwritten.
        holder.progress = holder.checkpoint = None
        self._ledger.write(holder, new, now)
        return Enqueued(holder.id, "replaced")

    # -- a worker's lease ---------------------------------------------------------------
    def open(self, worker: WorkerInfo, ttl: float) -> str:
        lease = uuid.uuid4().hex
        with self._mutex:
            now = self._clock.now()
            info = replace(worker, queues=tuple(worker.queues), lease=lease, seen_at=now)
            self._leases[lease] = Lease(info, ttl, now + ttl)
        return lease

    def renew(self, lease: str, running: Sequence[str] = ()) -> list[str] | None:
        with self._mutex:
            holder = self._leases.get(lease)
            if holder is None or holder.ended:
                return None
            now = self._clock.now()
            holder.until = now + holder.ttl
            holder.info.seen_at = now
            holder.running = frozenset(running)
            return [job.id for job in holder.jobs.values() if job.cancel_requested]

    def end(self, lease: str) -> None:
        with self._mutex:
            holder = self._leases.get(lease)
            if holder is None:
                return
            holder.ended = True
            if not holder.jobs:
                del self._leases[lease]
            self._news.notify_all()

    def claim(
        self,
        lease: str,
        number: int,
        queues: Sequence[str],
        limits: Mapping[Lane, int],
        wait: float = 0.0,
    ) -> Claimed:
        until = self._waits.ticks() + wait
        with self._mutex:
            seen = self._ledger.due_changes
            while True:
                holder = self._living(lease)
                now = self._clock.now()
                if number <= holder.number:
                    return Claimed(self._again(lease, holder, number), self._ledger.next_due(now))
                claims = self._take(lease, holder, queues, limits, now)
                next_due = self._ledger.next_due(now)
                if claims:
                    holder.number = number
                    return Claimed(claims, next_due)
                left = until - self._waits.ticks()
                if next_due is not None:
                    left = min(left, next_due)
                if left <= 0 or holder.woken or self._ledger.due_changes != seen:
                    holder.woken = False
                    return Claimed([], next_due)
                self._news.wait(min(left, threading.TIMEOUT_MAX))

    def _take(
        self,
        lease: str,
        holder: Lease,
        queues: Sequence[str],
        limits: Mapping[Lane, int],
        now: float,
    ) -> list[Claim]:
        claims: list[Claim] = []
        batch: list[tuple[Stored, int, bool]] = []
        wanted = dict(limits)
        for name in queues:
            queue = self._ledger.queues.get(name)
            if queue is None or queue.paused:
                continue
            for lane in wanted:
                pile = queue.ready[lane]
                while wanted[lane] > 0 and (job := pile.pop()) is not None:
                    wanted[lane] -= 1
                    self._ledger.hold(job, lease, holder, now)
                    if job.lock is not None and job.lock.until_start:
                        self._ledger.release(job)
                    claims.append(job.claim(now))
                    batch.append((job, job.claims, False))
        if batch:
            holder.batch = batch
        return claims

    def _again(self, lease: str, holder: Lease, number: int) -> list[Claim]:
        """What the last numbered call found and the lease still holds; an older call: nothing."""
        if number < holder.number:
            return []
        return [
            job.claim(job.started_at or 0.0, ran)
            for job, claims, ran in holder.batch
            if job.state is State.RUNNING and job.lease == lease and job.claims == claims
        ]

    def wake(self, lease: str) -> None:
        with self._mutex:
            holder = self._leases.get(lease)
            if holder is not None:
                holder.woken = True
                self._news.notify_all()

    def finish(
        self, lease: str, outcomes: Sequence[Outcome], *, connection: Any = None
    ) -> list[Finished]:
        if connection is not None:
            raise NotSupported(
                "the memory store can't write in a transaction of yours; the SQL stores can"
            )
        for outcome in outcomes:
            if outcome.state is State.RUNNING:
                raise ValueError("an outcome takes a job out of running")
        with self._mutex:
            now = self._clock.now()
            return [self._finish(lease, outcome, now) for outcome in outcomes]

    def _finish(self, lease: str, outcome: Outcome, now: float) -> Finished:
        job = self._ledger.jobs.get(outcome.claim.id)
        holder = self._leases.get(lease)
        alive = holder is not None and not holder.ended
        if job is None:
            # Nobody else ends a job of a lease that lives: this token did, and the record
            # was not kept.
            return "already" if alive else "lost"
        if job.lease != lease or job.claims != outcome.claim.claims:
            return "lost"
        if job.state is not State.RUNNING:
            return "already"
        if holder is None or not alive:
            return "lost"
        del holder.jobs[job.id]
        self._ledger.leave(job)
        job.attempts, job.deaths = outcome.attempts, outcome.deaths
        if outcome.started:
            job.expires_at = None
        if outcome.error is not None:
            job.errors.append(outcome.error)
            del job.errors[:-MAX_ERRORS]
        if outcome.priority is not None:
            job.priority = outcome.priority
        if outcome.payload is not None:
            job.payload = outcome.payload
        state = outcome.state
        if job.cancel_requested and state is not State.SUCCEEDED:
            self._ledger.end(job, State.CANCELLED, now)
            return "cancelled"
        if state in ENDED:
            job.result = outcome.result
            self._ledger.end(job, state, now)
        elif state is State.READY:
            self._ledger.arrive(job, job.place)
        elif state is State.RETRYING and outcome.delay <= 0:
            job.due_at = now
            self._ledger.arrive(job)
        else:
            job.due_at = now + max(outcome.delay, 0.0)
            self._ledger.schedule(job, state)
        return "done"

    def note(self, lease: str, claim: Claim, note: Note) -> bool:
        with self._mutex:
            holder = self._leases.get(lease)
            job = None if holder is None or holder.ended else holder.jobs.get(claim.id)
            if job is None or job.claims != claim.claims:
                return False
            if note.progress is not None:
                job.progress = note.progress
            if note.checkpoint is not None:
                job.checkpoint = note.checkpoint
            if note.payload is not None:
                job.payload = note.payload
            if note.log:
                job.log.extend(note.log)
                del job.log[:-MAX_LOG]
            return True

    # -- upkeep -----------------------------------------------------------------------
    def promote(self, limit: int = 1000) -> Promoted:
        with self._mutex:
            now = self._clock.now()
            moved = 0
            while moved < limit:
                job = self._ledger.due.first()
                if job is None or job.due_at > now:
                    break
                self._ledger.leave(job)
                self._ledger.arrive(job)
                moved += 1
            return Promoted(moved, self._ledger.next_due(now))

    def lapsed(self) -> list[Lapsed]:
        with self._mutex:
            now = self._clock.now()
            return [
                Lapsed(lease, holder.ended)
                for lease, holder in self._leases.items()
                if holder.ended or holder.until <= now
            ]

    def reclaim(self, lease: str, number: int, dead: Sequence[str], limit: int) -> list[Claim]:
        with self._mutex:
            holder = self._living(lease)
            if number <= holder.number:
                return self._again(lease, holder, number)
            now = self._clock.now()
            claims: list[Claim] = []
            batch: list[tuple[Stored, int, bool]] = []
            for other in dead:
                loser = self._leases.get(other)
                if loser is None or other == lease or not (loser.ended or loser.until <= now):
                    continue
                loser.ended = True
                while loser.jobs and len(claims) < limit:
                    id = next(iter(loser.jobs))
                    job = loser.jobs.pop(id)
                    ran = id in loser.running
                    self._ledger.hold(job, lease, holder, now)
                    claims.append(job.claim(now, ran))
                    batch.append((job, job.claims, ran))
                if not loser.jobs:
                    del self._leases[other]
            if claims:
                holder.number, holder.batch = number, batch
            # A claim of a lease that ended here may be waiting.
            self._news.notify_all()
            return claims

    def prune(self, limit: int = 1000) -> int:
        with self._mutex:
            now = self._clock.now()
            self._locks.prune(now)
            gone = 0
            while gone < limit:
                job = self._ledger.kept.first()
                if job is None or job.kept_until > now:
                    break
                self._ledger.forget(job)
                gone += 1
            for ended in self._ledger.ended.values():
                while gone < limit and len(ended) > self._max_ended:
                    self._ledger.forget(next(iter(ended.values())))
                    gone += 1
            return gone

    # -- reading ---------------------------------------------------------------------
    def get(self, ids: Sequence[str]) -> list[Job | None]:
        with self._mutex:
            return [self._ledger.get(id) for id in ids]

    def wait(self, ids: Sequence[str], timeout: float) -> list[Job | None]:
        until = self._waits.ticks() + timeout
        told = threading.Event()
        with self._waits.told(ids, told.set):
            while not any_over(jobs := self.get(ids)):
                left = until - self._waits.ticks()
                if left <= 0:
                    break
                told.wait(min(left, threading.TIMEOUT_MAX))
                told.clear()
        return jobs

    def browse(
        self,
        *,
        queue: str | None = None,
        state: State | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        after = None if cursor is None else read_cursor(cursor)
        limit = max(limit, 1)
        with self._mutex:
            rows = self._ledger.browse(queue, state, limit + 1, after)
            jobs = [job.snapshot() for job in rows[:limit]]
            more = len(rows) > limit
            return Page(jobs, write_cursor(rows[limit - 1]) if more else None)

    def stats(self, queues: Sequence[str] | None = None) -> list[QueueStats]:
        with self._mutex:
            now = self._clock.now()
            if queues is None:
                names = {name for name, queue in self._ledger.queues.items() if queue.used}
            else:
                names = set(queues)
            return [self._ledger.stats(name, now) for name in sorted(names)]

    def workers(self) -> list[WorkerInfo]:
        with self._mutex:
            now = self._clock.now()
            return [
                replace(holder.info, running=len(holder.jobs))
                for holder in self._leases.values()
                if not holder.ended and holder.until > now
            ]

    # -- control ---------------------------------------------------------------------
    def cancel(self, ids: Sequence[str]) -> list[Literal["cancelled", "asked", "ended", "missing"]]:
        with self._mutex:
            now = self._clock.now()
            return [self._cancel(id, now) for id in ids]

    def _cancel(self, id: str, now: float) -> Literal["cancelled", "asked", "ended", "missing"]:
        job = self._ledger.jobs.get(id)
        if job is None:
            return "missing"
        if job.state in ENDED:
            return "ended"
        job.cancel_requested = True
        if job.state is State.RUNNING:
            return "asked"
        self._ledger.leave(job)
        self._ledger.end(job, State.CANCELLED, now)
        return "cancelled"

    def requeue(
        self, ids: Sequence[str]
    ) -> list[Literal["requeued", "running", "ready", "refused", "missing"]]:
        with self._mutex:
            now = self._clock.now()
            return [self._requeue(id, now) for id in ids]

    def _requeue(
        self, id: str, now: float
    ) -> Literal["requeued", "running", "ready", "refused", "missing"]:
        job = self._ledger.jobs.get(id)
        if job is None:
            return "missing"
        if job.state is State.RUNNING:
            return "running"
        if job.state is State.READY:
            return "ready"
        if job.state in ENDED:
            if job.lock is not None and self._ledger.holder(job.lock.key, now) is not None:
                return "refused"
            self._ledger.leave(job)
            self._ledger.take_lock(job, job.lock, now)
            job.attempts = job.deaths = 0
            job.cancel_requested = False
            job.result = job.ended_at = job.expires_at = job.deadline = None
        else:
            self._ledger.leave(job)
        job.due_at = now
        self._ledger.arrive(job)
        return "requeued"

    def delete(self, ids: Sequence[str]) -> list[Literal["deleted", "running", "missing"]]:
        with self._mutex:
            return [self._delete(id) for id in ids]

    def _delete(self, id: str) -> Literal["deleted", "running", "missing"]:
        job = self._ledger.jobs.get(id)
        if job is None:
            return "missing"
        if job.state is State.RUNNING:
            return "running"
        self._ledger.forget(job)
        return "deleted"

    def pause(self, queue: str, paused: bool = True) -> None:
        with self._mutex:
            self._ledger.queue(queue).paused = paused
            self._news.notify_all()

    # -- shared locks and counters --------------------------------------------------------
    def acquire(self, key: str, owner: str, *, ttl: float, slots: int = 1) -> bool:
        with self._mutex:
            return self._locks.acquire(key, owner, ttl, slots, self._clock.now())

    def release(self, key: str, owner: str) -> None:
        with self._mutex:
            self._locks.release(key, owner)

    def tally(self, key: str, ttl: float, amount: int = 1) -> int:
        with self._mutex:
            return self._locks.tally(key, ttl, amount, self._clock.now())

    # -- life -----------------------------------------------------------------------
    def ping(self) -> None:
        """Nothing to reach, and nothing to make."""

    def close(self) -> None:
        """Nothing to release: the jobs live as long as the object."""

    def _living(self, lease: str) -> Lease:
        holder = self._leases.get(lease)
        if holder is None or holder.ended:
            raise LeaseLost(f"lease {lease} is not known or was ended")
        return holder

    def _travelled(self, seconds: float) -> None:
        with self._mutex:
            self._ledger.due_changes += 1
            self._news.notify_all()
            self._waits.travelled(seconds)

"""The jobs of a memory store: where each one is, and its moves."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable
from heapq import nsmallest

from taskq.job import ENDED, Job, Lock, NewJob, QueueStats, State
from taskq.stores.memory.records import NEVER, Lease, Pile, Queue, Stored


class Ledger:
    """Every job, each in one state. Whoever uses it holds the store's mutex.

    :param news: called when a job has arrived, or another one is the next one due.
    :param over: called with the id of a job that has ended or gone.
    """

    def __init__(self, news: Callable[[], None], over: Callable[[str], None]) -> None:
        self._news = news
        self._over = over
        self._numbers = itertools.count(1)
        self.jobs: dict[str, Stored] = {}
        self.queues: dict[str, Queue] = {}
        self.due = Pile()
        """Scheduled and retrying jobs, by due time."""
        self.due_changes = 0
        """Raised when another job became the next one due."""
        self.kept = Pile()
        """Ended jobs, by the time when they are to go."""
        self.ended: dict[State, OrderedDict[str, Stored]] = {s: OrderedDict() for s in ENDED}
        """Ended jobs in the order in which they ended."""
        self._unique: dict[str, Stored] = {}

    def get(self, id: str) -> Job | None:
        job = self.jobs.get(id)
        return None if job is None else job.snapshot()

    def create(self, new: NewJob, now: float) -> None:
        job = Stored(
            new.id,
            new.task,
            new.payload,
            new.queue,
            new.lane,
            new.priority,
            State.READY,
            enqueued_at=now,
            order=next(self._numbers),
        )
        self.jobs[new.id] = job
        self.write(job, new, now)

    def write(self, job: Stored, new: NewJob, now: float) -> None:
        """Put a job that is in no state where its new description says."""
        job.task, job.payload = new.task, new.payload
        job.queue, job.lane, job.priority = new.queue, new.lane, new.priority
        job.keep, job.keep_failed = new.keep, new.keep_failed
        job.due_at = now if new.due is None else max(new.due.at(now), now)
        job.expires_at = None if new.expires is None else job.due_at + new.expires
        job.deadline = None if new.deadline is None else new.deadline.at(now)
        self.take_lock(job, new.lock, now)
        self.queue(new.queue).used = True
        if job.due_at > now:
            self.schedule(job, State.SCHEDULED)
        else:
            self.arrive(job)

    def queue(self, name: str) -> Queue:
        queue = self.queues.get(name)
        if queue is None:
            queue = self.queues[name] = Queue()
        return queue

    def arrive(self, job: Stored, place: int | None = None) -> None:
        """Make a job that is in no state READY: anew, or at the place it had."""
        queue = self.queues[job.queue]
        job.state = State.READY
        job.place = next(self._numbers) if place is None else place
        job.stamp = next(self._numbers)
        queue.counts[State.READY] += 1
        queue.ready[job.lane].push(-job.priority, job.place, job)
        self._news()

    def schedule(self, job: Stored, state: State) -> None:
        """Make a job that is in no state SCHEDULED or RETRYING."""
        job.state = state
        job.stamp = next(self._numbers)
        self.queues[job.queue].counts[state] += 1
        self.due.push(job.due_at, job.order, job)
        if self.due.first() is job:
            self.due_changes += 1
            self._news()

    def hold(self, job: Stored, lease: str, holder: Lease, now: float) -> None:
        """Make a job RUNNING that was taken out of its pile, or of another lease."""
        counts = self.queues[job.queue].counts
        counts[job.state] -= 1
        counts[State.RUNNING] += 1
        job.state = State.RUNNING
        job.lease = lease
        job.claims += 1
        job.started_at = now
        holder.jobs[job.id] = job

    def end(self, job: Stored, state: State, now: float) -> None:
        """End a job that is in no state; keep its record, or not."""
        self.release(job)
        job.state = state
        job.ended_at = now
        if job.kept_until > now:
            self.queues[job.queue].counts[state] += 1
            job.place = next(self._numbers)
            job.stamp = next(self._numbers)
            self.ended[state][job.id] = job
            self.kept.push(job.kept_until, job.place, job)
        else:
            del self.jobs[job.id]
        self._over(job.id)

    def leave(self, job: Stored) -> None:
        """Take a job out of its state; it is in none afterwards. (A running one is in its
        lease too.)"""
        state = job.state
        queue = self.queues[job.queue]
        queue.counts[state] -= 1
        if state is State.RUNNING:
            return
        job.stamp = next(self._numbers)
        if state is State.READY:
            queue.ready[job.lane].left()
        elif state in ENDED:
            del self.ended[state][job.id]
            self.kept.left()
        else:
            self.due.left()

    def forget(self, job: Stored) -> None:
        self.leave(job)
        self.release(job)
        del self.jobs[job.id]
        self._over(job.id)

    def next_due(self, now: float) -> float | None:
        job = self.due.first()
        return None if job is None else job.due_at - now

    # -- reading ---------------------------------------------------------------------
    def browse(
        self, queue: str | None, state: State | None, limit: int, after: Rank | None
    ) -> list[Stored]:
        """The first jobs that come after a rank."""
        pool: Iterable[Stored] = self.jobs.values()
        if state is not None and state.ended:
            pool = self.ended[state].values()
        return nsmallest(
            limit,
            (
                job
                for job in pool
                if (queue is None or job.queue == queue)
                and (state is None or job.state is state)
                and (after is None or _rank(job) > after)
            ),
            key=_rank,
        )

    def stats(self, name: str, now: float) -> QueueStats:
        queue = self.queues.get(name)
        if queue is None:
            return QueueStats(name, dict.fromkeys(State, 0))
        heads = [job for pile in queue.ready.values() if (job := pile.first()) is not None]
        waited = max((max(now - job.due_at, 0.0) for job in heads), default=None)
        return QueueStats(name, dict(queue.counts), queue.paused, waited)

    # -- unique keys ------------------------------------------------------------------
    def holder(self, key: str, now: float) -> Stored | None:
        job = self._unique.get(key)
        return None if job is None or job.lock_until <= now else job

    def take_lock(self, job: Stored, lock: Lock | None, now: float) -> None:
        job.lock = lock
        job.unique_key = None if lock is None else lock.key
        if lock is not None:
            job.lock_until = NEVER if lock.ttl is None else now + lock.ttl
            self._unique[lock.key] = job

    def release(self, job: Stored) -> None:
        if job.lock is not None and self._unique.get(job.lock.key) is job:
            del self._unique[job.lock.key]


Rank = tuple[int, int]
"""Where a job stands among all that are browsed."""


def _rank(job: Stored) -> Rank:
    return (1, -job.place) if job.state in ENDED else (0, job.order)


def write_cursor(job: Stored) -> str:
    """What asks for the jobs after this one."""
    group, number = _rank(job)
    return f"{group}:{number}"


def read_cursor(cursor: str) -> Rank:
    group, _, number = cursor.partition(":")
    try:
        return int(group), int(number)
    except ValueError:
        raise ValueError(f"not a cursor of this store: {cursor!r}") from None

"""What a store should do, as plainly as it can be said: a list of jobs, looked through each time.

Answers that the contract leaves open are given as sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskq.errors import LeaseLost
from taskq.job import (
    LANES,
    MAX_ERRORS,
    MAX_LOG,
    WAITING,
    Claim,
    Job,
    Lane,
    Lock,
    NewJob,
    Note,
    Outcome,
    State,
)

NEVER = float("inf")


@dataclass
class Record:
    job: Job
    order: int
    """The number of its enqueue."""
    arrival: int = 0
    end: int = 0
    lock: Lock | None = None
    holds: bool = False
    lock_until: float = NEVER


@dataclass
class Lease:
    ttl: float
    until: float
    ended: bool = False
    running: frozenset[str] = frozenset()
    number: int = -1
    batch: list[tuple[str, int, bool]] = field(default_factory=list)


class Model:
    def __init__(self, now: float, max_ended: int) -> None:
        self.now = now
        self.max_ended = max_ended
        self.records: dict[str, Record] = {}
        self.leases: dict[str, Lease] = {}
        self.queues: set[str] = set()
        self.paused: set[str] = set()
        self.owners: dict[str, dict[str, float]] = {}
        self.tallies: dict[str, tuple[int, float]] = {}
        self._number = 0

    def number(self) -> int:
        self._number += 1
        return self._number

    # -- looking -----------------------------------------------------------------------
    def job(self, id: str) -> Job | None:
        record = self.records.get(id)
        return None if record is None else record.job

    def held(self, lease: str) -> list[str]:
        return [
            id
            for id, record in self.records.items()
            if record.job.state is State.RUNNING and record.job.lease == lease
        ]

    def alive(self, lease: str) -> bool:
        return lease in self.leases and not self.leases[lease].ended

    def lapsed(self, lease: str) -> bool:
        return self.leases[lease].ended or self.leases[lease].until <= self.now

    def holder(self, key: str) -> Record | None:
        for record in self.records.values():
            if record.lock is not None and record.lock.key == key and record.holds:
                if record.lock_until > self.now:
                    return record
                record.holds = False
        return None

    def next_due(self) -> float | None:
        dues = [record.job.due_at for record in self._due()]
        return min(dues) - self.now if dues else None

    def _due(self) -> list[Record]:
        return [
            record
            for record in self.records.values()
            if record.job.state in (State.SCHEDULED, State.RETRYING)
        ]

    def ready(self, queue: str, lane: Lane) -> list[str]:
        records = [
            record
            for record in self.records.values()
            if record.job.state is State.READY
            and (record.job.queue, record.job.lane) == (queue, lane)
        ]
        records.sort(key=lambda record: (-record.job.priority, record.arrival))
        return [record.job.id for record in records]

    def browse(self, queue: str | None, state: State) -> list[str]:
        records = [
            record
            for record in self.records.values()
            if record.job.state is state and queue in (None, record.job.queue)
        ]
        if state.ended:
            records.sort(key=lambda record: -record.end)
        return [record.job.id for record in records]

    def counts(self, queue: str) -> dict[State, int]:
        jobs = [record.job for record in self.records.values() if record.job.queue == queue]
        return {state: sum(1 for job in jobs if job.state is state) for state in State}

    # -- producing ---------------------------------------------------------------------
    def enqueue(self, new: NewJob) -> tuple[str, str]:
        if new.id in self.records:
            return new.id, "exists"
        holder = self.holder(new.lock.key) if new.lock is not None else None
        if new.lock is not None and holder is not None:
            if new.lock.on_duplicate != "replace":
                return holder.job.id, "duplicate"
            if holder.job.state is State.RUNNING:
                return holder.job.id, "busy"
            holder.job.attempts = holder.job.deaths = 0
            holder.job.progress = holder.job.checkpoint = None
            self._write(holder, new)
            return holder.job.id, "replaced"
        job = Job(new.id, "", b"", "", "thread", 0, State.READY, enqueued_at=self.now)
        self.records[new.id] = Record(job, self.number())
        self._write(self.records[new.id], new)
        return new.id, "created"

    def _write(self, record: Record, new: NewJob) -> None:
        job = record.job
        job.task, job.payload, job.queue = new.task, new.payload, new.queue
        job.lane, job.priority = new.lane, new.priority
        job.keep, job.keep_failed = new.keep, new.keep_failed
        due = self.now if new.due is None else max(self.now, new.due.at(self.now))
        job.due_at = due
        job.expires_at = None if new.expires is None else due + new.expires
        job.deadline = None if new.deadline is None else new.deadline.at(self.now)
        record.lock = new.lock
        self._lock(record)
        self.queues.add(new.queue)
        if due > self.now:
            job.state = State.SCHEDULED
        else:
            self._arrive(record)

    def _lock(self, record: Record) -> None:
        lock = record.lock
        record.holds = lock is not None
        record.job.unique_key = None if lock is None else lock.key
        if lock is not None:
            record.lock_until = NEVER if lock.ttl is None else self.now + lock.ttl

    def _arrive(self, record: Record) -> None:
        record.job.state = State.READY
        record.arrival = self.number()

    def _end(self, record: Record, state: State) -> None:
        job = record.job
        job.state, job.ended_at = state, self.now
        record.end = self.number()
        record.holds = False
        if (job.keep_failed if state is State.FAILED else job.keep) <= 0:
            del self.records[job.id]

    # -- leases ------------------------------------------------------------------------
    def open(self, lease: str, ttl: float) -> None:
        assert lease not in self.leases
        self.leases[lease] = Lease(ttl, self.now + ttl)

    def renew(self, lease: str, running: Sequence[str]) -> set[str] | None:
        if not self.alive(lease):
            return None
        self.leases[lease].until = self.now + self.leases[lease].ttl
        self.leases[lease].running = frozenset(running)
        return {id for id in self.held(lease) if self.records[id].job.cancel_requested}

    def end(self, lease: str) -> None:
        if lease in self.leases:
            self.leases[lease].ended = True
            self._forget(lease)

    def _forget(self, lease: str) -> None:
        if not self.held(lease):
            del self.leases[lease]

    def _hold(self, record: Record, lease: str) -> None:
        job = record.job
        job.state, job.lease, job.started_at = State.RUNNING, lease, self.now
        job.claims += 1

    def again(self, lease: str, number: int) -> list[tuple[str, int, bool]] | None:
        """What a call of an old number finds; None if the number is new."""
        if not self.alive(lease):
            raise LeaseLost(lease)
        holder = self.leases[lease]
        if number > holder.number:
            return None
        if number < holder.number:
            return []
        return [
            (id, claims, ran)
            for id, claims, ran in holder.batch
            if id in self.held(lease) and self.records[id].job.claims == claims
        ]

    def claim(
        self, lease: str, number: int, queues: Sequence[str], limits: Mapping[Lane, int]
    ) -> dict[Lane, list[tuple[str, int]]]:
        """The claims of each lane, in their order."""
        again = self.again(lease, number)
        if again is None:
            again = []
            for lane in LANES:
                ids = [
                    id
                    for queue in queues
                    if queue not in self.paused
                    for id in self.ready(queue, lane)
                ]
                for id in ids[: limits.get(lane, 0)]:
                    record = self.records[id]
                    self._hold(record, lease)
                    if record.lock is not None and record.lock.until_start:
                        record.holds = False
                    again.append((id, record.job.claims, False))
            if again:
                self.leases[lease].number, self.leases[lease].batch = number, again
        return {
            lane: [(id, claims) for id, claims, _ in again if self.records[id].job.lane == lane]
            for lane in LANES
        }

    def reclaim(
        self, lease: str, number: int, dead: str, limit: int, found: Sequence[Claim]
    ) -> list[tuple[str, int, bool]]:
        """What should have been found, given that which jobs a limit leaves is the store's."""
        again = self.again(lease, number)
        if again is not None:
            return again
        if dead == lease or dead not in self.leases or not self.lapsed(dead):
            return []
        held = self.held(dead)
        taken = [claim.id for claim in found]
        assert set(taken) <= set(held)
        assert len(taken) == len(set(taken)) == min(limit, len(held))
        batch = []
        for id in taken:
            self._hold(self.records[id], lease)
            ran = id in self.leases[dead].running
            batch.append((id, self.records[id].job.claims, ran))
        self.leases[dead].ended = True
        self._forget(dead)
        if batch:
            self.leases[lease].number, self.leases[lease].batch = number, batch
        return batch

    # -- finishing ---------------------------------------------------------------------
    def holds(self, lease: str, claim: Claim) -> bool:
        job = self.job(claim.id)
        return (
            self.alive(lease)
            and job is not None
            and job.state is State.RUNNING
            and (job.lease, job.claims) == (lease, claim.claims)
        )

    def finish(self, lease: str, outcome: Outcome, owner: str) -> set[str]:
        """What may be answered. ``owner`` is the lease that the claim was made under."""
        record = self.records.get(outcome.claim.id)
        if not self.holds(lease, outcome.claim):
            if lease != owner:
                # Somebody else's token; told apart only while the record is there.
                return {"lost"} if record is not None else {"lost", "already"}
            if record is None:
                return {"already"} if self.alive(lease) else {"lost"}
            same = (record.job.lease, record.job.claims) == (lease, outcome.claim.claims)
            if same:
                return {"lost"} if record.job.state is State.RUNNING else {"already"}
            return {"already", "lost"} if self.alive(lease) else {"lost"}
        assert record is not None
        job = record.job
        job.attempts, job.deaths = outcome.attempts, outcome.deaths
        if outcome.started:
            job.expires_at = None
        if outcome.error is not None:
            job.errors = [*job.errors, outcome.error][-MAX_ERRORS:]
        if outcome.priority is not None:
            job.priority = outcome.priority
        if outcome.payload is not None:
            job.payload = outcome.payload
        if job.cancel_requested and outcome.state is not State.SUCCEEDED:
            self._end(record, State.CANCELLED)
            return {"cancelled"}
        if outcome.state.ended:
            job.result = outcome.result
            self._end(record, outcome.state)
        elif outcome.state is State.READY:
            job.state = State.READY
        elif outcome.state is State.RETRYING and outcome.delay <= 0:
            job.due_at = self.now
            self._arrive(record)
        else:
            job.state, job.due_at = outcome.state, self.now + outcome.delay
        return {"done"}

    def note(self, lease: str, claim: Claim, note: Note) -> bool:
        if not self.holds(lease, claim):
            return False
        job = self.records[claim.id].job
        if note.progress is not None:
            job.progress = note.progress
        if note.checkpoint is not None:
            job.checkpoint = note.checkpoint
        if note.payload is not None:
            job.payload = note.payload
        job.log = [*job.log, *note.log][-MAX_LOG:]
        return True

    # -- upkeep ------------------------------------------------------------------------
    def promote(self, limit: int) -> int:
        due = [record for record in self._due() if record.job.due_at <= self.now]
        due.sort(key=lambda record: (record.job.due_at, record.order))
        for record in due[:limit]:
            self._arrive(record)
        return len(due[:limit])

    def prune(self, limit: int) -> int:
        """Only with a limit that is not reached: the order of the two reasons is the store's."""
        gone = []
        for id, record in self.records.items():
            job = record.job
            if job.ended_at is not None:
                keep = job.keep_failed if job.state is State.FAILED else job.keep
                if job.ended_at + keep <= self.now:
                    gone.append(id)
        for id in gone:
            del self.records[id]
        for state in State:
            if state.ended:
                for id in self.browse(None, state)[self.max_ended :]:
                    gone.append(id)
                    del self.records[id]
        assert len(gone) < limit
        return len(gone)

    # -- control -----------------------------------------------------------------------
    def cancel(self, id: str) -> str:
        record = self.records.get(id)
        if record is None:
            return "missing"
        if record.job.state.ended:
            return "ended"
        record.job.cancel_requested = True
        if record.job.state in WAITING:
            self._end(record, State.CANCELLED)
            return "cancelled"
        return "asked"

    def requeue(self, id: str) -> str:
        record = self.records.get(id)
        if record is None:
            return "missing"
        job = record.job
        if job.state in (State.RUNNING, State.READY):
            return job.state.value
        if job.state.ended:
            if record.lock is not None and self.holder(record.lock.key) is not None:
                return "refused"
            self._lock(record)
            job.attempts = job.deaths = 0
            job.cancel_requested = False
            job.result = job.ended_at = job.expires_at = job.deadline = None
        job.due_at = self.now
        self._arrive(record)
        return "requeued"

    def delete(self, id: str) -> str:
        record = self.records.get(id)
        if record is None:
            return "missing"
        if record.job.state is State.RUNNING:
            return "running"
        del self.records[id]
        return "deleted"

    # -- locks and counters ------------------------------------------------------------
    def acquire(self, key: str, owner: str, ttl: float, slots: int) -> bool:
        owners = self.owners.setdefault(key, {})
        for each in [each for each, until in owners.items() if until <= self.now]:
            del owners[each]
        if owner not in owners and len(owners) >= slots:
            return False
        owners[owner] = self.now + ttl
        return True

    def release(self, key: str, owner: str) -> None:
        self.owners.get(key, {}).pop(owner, None)

    def tally(self, key: str, ttl: float, amount: int) -> int:
        value, until = self.tallies.get(key, (0, -NEVER))
        if until <= self.now:
            value, until = 0, self.now + ttl
        self.tallies[key] = value + amount, until
        return value + amount


def told(job: Job | None) -> dict[str, Any] | None:
    """What a job tells, to be compared."""
    if job is None:
        return None
    names = [name for name in Job.__dataclass_fields__ if name != "expires_at"]
    seen = {name: getattr(job, name) for name in names}
    if job.state is not State.RUNNING:
        # While it runs for the first time it may be told or not.
        seen["expires_at"] = job.expires_at
    return seen

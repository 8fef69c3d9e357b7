"""Enqueue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from taskq.job import Enqueued, NewJob, State
from taskq.stores.sql.tx import Tx

_NEW_JOB = (
    "INSERT INTO taskq_jobs (num, seq, id, task, queue, lane, priority, state, enqueued, due, "
    "expires, deadline, keep, keep_failed, unique_key, locked, lock_until, lock_ttl, until_start) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_NEW_BODY = "INSERT INTO taskq_bodies (num, payload) VALUES (?, ?)"

_REPLACE = (
    "UPDATE taskq_jobs SET seq = ?, task = ?, queue = ?, lane = ?, priority = ?, state = ?, "
    "due = ?, expires = ?, deadline = ?, keep = ?, keep_failed = ?, locked = 1, lock_until = ?, "
    "lock_ttl = ?, until_start = ?, attempts = 0, deaths = 0, progress = NULL, checkpoint = NULL "
    "WHERE num = ?"
)


class Plan(NamedTuple):
    """When a new job is due, and what follows from it."""

    state: State
    due: float
    expires: float | None
    deadline: float | None

    @classmethod
    def of(cls, job: NewJob, now: float) -> Plan:
        due = now if job.due is None else job.due.at(now)
        later = due > now
        due = due if later else now
        return cls(
            State.SCHEDULED if later else State.READY,
            due,
            None if job.expires is None else due + job.expires,
            None if job.deadline is None else job.deadline.at(now),
        )


def enqueue(tx: Tx, jobs: Sequence[NewJob]) -> list[Enqueued]:
    first = tx.numbers(len(jobs))
    there = {
        id for (id,) in tx.among("SELECT id FROM taskq_jobs WHERE id IN ($)", [j.id for j in jobs])
    }
    answers: list[Enqueued] = []
    rows: list[tuple[Any, ...]] = []
    bodies: list[tuple[int, bytes]] = []
    queues: set[str] = set()

    def write() -> None:
        tx.many(_NEW_JOB, rows)
        tx.many(_NEW_BODY, bodies)
        rows.clear()
        bodies.clear()

    for number, job in enumerate(jobs, first):
        if job.id in there:
            answers.append(Enqueued(job.id, "exists"))
            continue
        if job.lock is not None:
            write()  # an earlier job of this batch may hold the key
            held = _contend(tx, number, job)
            if held is not None:
                answers.append(held)
                if held.status == "replaced":
                    queues.add(job.queue)
                continue
        rows.append(_row(number, job, tx.now))
        bodies.append((number, job.payload))
        there.add(job.id)
        queues.add(job.queue)
        answers.append(Enqueued(job.id, "created"))
    write()
    tx.many(tx.dialect.know_queue, [(queue,) for queue in sorted(queues)])
    return answers


def _row(number: int, job: NewJob, now: float) -> tuple[Any, ...]:
    plan = Plan.of(job, now)
    key, ttl, until_start = (None, None, False) if job.lock is None else job.lock[:3]
    return (
        number,
        number,
        job.id,
        job.task,
        job.queue,
        job.lane,
        job.priority,
        plan.state.value,
        now,
        plan.due,
        plan.expires,
        plan.deadline,
        job.keep,
        job.keep_failed,
        key,
        int(key is not None),
        None if ttl is None else now + ttl,
        ttl,
        int(until_start),
    )


def _contend(tx: Tx, number: int, job: NewJob) -> Enqueued | None:
    """What becomes of a job whose unique key another one holds; None if none does."""
    if job.lock is None:
        return None
    key, ttl, until_start, on_duplicate = job.lock
    holder = tx.row(
        "SELECT num, id, state, lock_until FROM taskq_jobs WHERE unique_key = ? AND locked = 1",
        (key,),
    )
    if holder is None:
        return None
    num, id, state, lock_until = holder
    if lock_until is not None and lock_until <= tx.now:
        tx.run("UPDATE taskq_jobs SET locked = 0 WHERE num = ?", (num,))
        return None
    if on_duplicate != "replace":
        return Enqueued(id, "duplicate")
    if state == State.RUNNING:
        return Enqueued(id, "busy")
    plan = Plan.of(job, tx.now)
    tx.run(
        _REPLACE,
        (
            number,
            job.task,
            job.queue,
            job.lane,
            job.priority,
            plan.state.value,
            plan.due,
            plan.expires,
            plan.deadline,
            job.keep,
            job.keep_failed,
            None if ttl is None else tx.now + ttl,
            ttl,
            int(until_start),
            num,
        ),
    )
    tx.run("UPDATE taskq_bodies SET payload = ? WHERE num = ?", (job.payload, num))
    return Enqueued(id, "replaced")


def free_key(tx: Tx, key: str) -> bool:
    """True if no job holds the key; a lock whose time is up is taken away."""
    row = tx.row(
        "SELECT num, lock_until FROM taskq_jobs WHERE unique_key = ? AND locked = 1", (key,)
    )
    if row is None:
        return True
    num, until = row
    if until is None or until > tx.now:
        return False
    tx.run("UPDATE taskq_jobs SET locked = 0 WHERE num = ?", (num,))
    return True

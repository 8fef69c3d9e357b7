"""Cancel, requeue, delete and pause; shared locks and counters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from taskq.job import ENDED, State
from taskq.stores.sql.odd import set_aside
from taskq.stores.sql.producing import free_key
from taskq.stores.sql.rows import STATES, forget
from taskq.stores.sql.tx import Tx

T = TypeVar("T")


def _each(tx: Tx, ids: Sequence[str], act: Callable[[Tx, int, State], T], missing: T) -> list[T]:
    """Do something with each job, one after the other."""
    answers: list[T] = []
    for id in ids:
        row = tx.row("SELECT num, state FROM taskq_jobs WHERE id = ?", (id,))
        if row is None:
            answers.append(missing)
            continue
        num, state = row
        if state not in STATES:
            set_aside(tx, [num])
            state = State.FAILED
        answers.append(act(tx, num, State(state)))
    return answers


Cancelled = Literal["cancelled", "asked", "ended", "missing"]


def cancel(tx: Tx, ids: Sequence[str]) -> list[Cancelled]:
    return _each(tx, ids, _cancel, "missing")


def _cancel(tx: Tx, num: int, state: State) -> Cancelled:
    if state in ENDED:
        return "ended"
    tx.run("UPDATE taskq_jobs SET cancel = 1 WHERE num = ?", (num,))
    if state is State.RUNNING:
        return "asked"
    ((keep,),) = tx.rows("SELECT keep FROM taskq_jobs WHERE num = ?", (num,))
    if keep <= 0:
        forget(tx, [num])
    else:
        tx.run(
            "UPDATE taskq_jobs SET state = 'cancelled', seq = ?, ended = ?, gone = ?, locked = 0 "
            "WHERE num = ?",
            (tx.numbers(1), tx.now, tx.now + keep, num),
        )
    return "cancelled"


Requeued = Literal["requeued", "running", "ready", "refused", "missing"]


def requeue(tx: Tx, ids: Sequence[str]) -> list[Requeued]:
    return _each(tx, ids, _requeue, "missing")


def _requeue(tx: Tx, num: int, state: State) -> Requeued:
    if state is State.RUNNING:
        return "running"
    if state is State.READY:
        return "ready"
    if state in ENDED:
        ((key, ttl),) = tx.rows("SELECT unique_key, lock_ttl FROM taskq_jobs WHERE num = ?", (num,))
        if key is not None and not free_key(tx, key):
            return "refused"
        tx.run(
            "UPDATE taskq_jobs SET locked = ?, lock_until = ?, attempts = 0, deaths = 0, "
            "cancel = 0, result = NULL, ended = NULL, gone = NULL, expires = NULL, "
            "deadline = NULL, state = 'ready', seq = ?, due = ? WHERE num = ?",
            (
                int(key is not None),
                None if ttl is None else tx.now + ttl,
                tx.numbers(1),
                tx.now,
                num,
            ),
        )
    else:
        tx.run(
            "UPDATE taskq_jobs SET state = 'ready', seq = ?, due = ? WHERE num = ?",
            (tx.numbers(1), tx.now, num),
        )
    return "requeued"


Deleted = Literal["deleted", "running", "missing"]


def delete(tx: Tx, ids: Sequence[str]) -> list[Deleted]:
    return _each(tx, ids, _delete, "missing")


def _delete(tx: Tx, num: int, state: State) -> Deleted:
    if state is State.RUNNING:
        return "running"
    forget(tx, [num])
    return "deleted"


def pause(tx: Tx, queue: str, paused: bool) -> None:
    if not tx.run("UPDATE taskq_queues SET paused = ? WHERE name = ?", (int(paused), queue)):
        tx.run("INSERT INTO taskq_queues (name, paused) VALUES (?, ?)", (queue, int(paused)))


# -- shared locks and counters ------------------------------------------------------------
def acquire(tx: Tx, key: str, owner: str, ttl: float, slots: int) -> bool:
    tx.run("DELETE FROM taskq_locks WHERE key = ? AND until <= ?", (key, tx.now))
    until = tx.now + ttl
    if tx.run("UPDATE taskq_locks SET until = ? WHERE key = ? AND owner = ?", (until, key, owner)):
        return True
    ((held,),) = tx.rows("SELECT count(*) FROM taskq_locks WHERE key = ?", (key,))
    if held >= slots:
        return False
    tx.run("INSERT INTO taskq_locks (key, owner, until) VALUES (?, ?, ?)", (key, owner, until))
    return True


def all_taken(tx: Tx, key: str, owner: str, slots: int) -> bool:
    """A look before ``acquire``: True if others hold all the places."""
    owners = {
        name
        for (name,) in tx.rows(
            "SELECT owner FROM taskq_locks WHERE key = ? AND until > ?", (key, tx.now)
        )
    }
    return owner not in owners and len(owners) >= slots


def release(tx: Tx, key: str, owner: str) -> None:
    tx.run("DELETE FROM taskq_locks WHERE key = ? AND owner = ?", (key, owner))


def tally(tx: Tx, key: str, ttl: float, amount: int) -> int:
    row = tx.row("SELECT value FROM taskq_tallies WHERE key = ? AND until > ?", (key, tx.now))
    if row is None:
        tx.run("DELETE FROM taskq_tallies WHERE key = ?", (key,))
        tx.run(
            "INSERT INTO taskq_tallies (key, value, until) VALUES (?, ?, ?)",
            (key, amount, tx.now + ttl),
        )
        return amount
    value: int = row[0] + amount
    tx.run("UPDATE taskq_tallies SET value = ? WHERE key = ?", (value, key))
    return value

"""Promote and prune."""

from __future__ import annotations

from taskq.job import ENDED, Promoted
from taskq.stores.sql.odd import look_for_strays, set_aside, strays
from taskq.stores.sql.rows import forget, next_due
from taskq.stores.sql.tx import Tx

EMPTY_LEASE = 3600.0
"""Seconds after which a lapsed lease without jobs is forgotten."""


def anything_due(tx: Tx) -> Promoted:
    """A look before ``promote``; ``moved`` is 0."""
    look_for_strays(tx)
    return Promoted(0, next_due(tx))


def promote(tx: Tx, limit: int) -> Promoted:
    due = tx.rows(
        "SELECT num FROM taskq_jobs WHERE state IN ('scheduled', 'retrying') AND due <= ? "
        "ORDER BY due, num LIMIT ?",
        (tx.now, limit),
    )
    first = tx.numbers(len(due))
    tx.many(
        "UPDATE taskq_jobs SET state = 'ready', seq = ? WHERE num = ?",
        [(number, num) for number, (num,) in enumerate(due, first)],
    )
    return Promoted(len(due), next_due(tx))


def prune(tx: Tx, limit: int, max_ended: int) -> int:
    set_aside(tx, strays(tx))
    nums = [
        num
        for (num,) in tx.rows(
            "SELECT num FROM taskq_jobs WHERE gone IS NOT NULL AND gone <= ? ORDER BY gone LIMIT ?",
            (tx.now, limit),
        )
    ]
    forget(tx, nums)
    gone = len(nums)
    for state in ENDED:
        surplus = min(_count(tx, state.value) - max_ended, limit - gone)
        if surplus > 0:
            nums = [
                num
                for (num,) in tx.rows(
                    "SELECT num FROM taskq_jobs WHERE state = ? AND ended IS NOT NULL "
                    "ORDER BY seq LIMIT ?",
                    (state.value, surplus),
                )
            ]
            forget(tx, nums)
            gone += len(nums)
    tx.run("DELETE FROM taskq_locks WHERE until <= ?", (tx.now,))
    tx.run("DELETE FROM taskq_tallies WHERE until <= ?", (tx.now,))
    tx.run(
        "DELETE FROM taskq_leases WHERE until <= ? AND NOT EXISTS (SELECT 1 FROM taskq_jobs "
        "WHERE lease = taskq_leases.id AND state = 'running')",
        (tx.now - EMPTY_LEASE,),
    )
    return gone


def _count(tx: Tx, state: str) -> int:
    ((count,),) = tx.rows(
        "SELECT count(*) FROM taskq_jobs WHERE state = ? AND ended IS NOT NULL", (state,)
    )
    found: int = count
    return found

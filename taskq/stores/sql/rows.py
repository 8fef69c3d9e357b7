"""Rows and the values made of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from types import NoneType

from taskq.job import LANES, MAX_ERRORS, MAX_LOG, Claim, Job, State
from taskq.stores.sql.tx import Row, Tx

JOB = """
SELECT job.num, job.id, job.task, body.payload, job.queue, job.lane, job.priority, job.state,
    job.attempts, job.claims, job.deaths, job.enqueued, job.due, job.started, job.ended,
    job.expires, job.deadline, job.keep, job.keep_failed, job.unique_key, job.lease, job.cancel,
    job.result, job.progress, job.checkpoint
FROM taskq_jobs AS job LEFT JOIN taskq_bodies AS body ON body.num = job.num
WHERE job."""
JOB_BY_ID = JOB + "id IN ($)"
JOB_BY_NUM = JOB + "num IN ($)"

CLAIM_AGAIN = """
SELECT job.seq, job.num, job.id, job.task, body.payload, job.queue, job.lane, job.priority,
    job.attempts, job.claims, job.deaths, job.enqueued, job.due, job.expires, job.deadline,
    job.checkpoint, job.started, job.ran
FROM taskq_jobs AS job LEFT JOIN taskq_bodies AS body ON body.num = job.num
WHERE job.lease = ? AND job.call = ? AND job.state = 'running'
"""
"""The columns are those that ``Dialect.claim`` returns."""


# SQLite returns a float without a fraction as an int where it returns what it has updated.
_CLAIM_TYPES = frozenset(
    (int, int, str, str, bytes, str, str, int, int, int, int, *times, checkpoint, started, int)
    for *times, checkpoint, started in product(
        (float, int),
        (float, int),
        (float, int, NoneType),
        (float, int, NoneType),
        (bytes, NoneType),
        (float, int),
    )
)
_TEXT, _BYTES, _TIME = (str, NoneType), (bytes, NoneType), (float, NoneType)
_JOB_TYPES = (
    *((int,), (str,), (str,), (bytes,), (str,), (str,), (int,), (str,)),
    *((int,), (int,), (int,), (float,), (float,), _TIME, _TIME, _TIME, _TIME, (float,), (float,)),
    *(_TEXT, _TEXT, (int,), _BYTES, _BYTES, _BYTES),
)
STATES = frozenset(state.value for state in State)


def whole_claim(row: Row) -> bool:
    """False if a claimed row is no job."""
    return tuple(map(type, row)) in _CLAIM_TYPES


def claim_of(row: Row) -> Claim:
    claim = Claim(*row[2:17])
    claim.enqueued_at, claim.due_at, claim.now = float(row[11]), float(row[12]), float(row[16])
    claim.expires_at = None if row[13] is None else float(row[13])
    claim.deadline = None if row[14] is None else float(row[14])
    claim.ran = bool(row[17])
    return claim


def whole_job(row: Row) -> bool:
    """False if a row of ``JOB`` is no job."""
    return (
        all(type(value) in types for value, types in zip(row, _JOB_TYPES, strict=True))
        and row[5] in LANES
        and row[7] in STATES
    )


def job_of(row: Row) -> Job:
    job = Job(*row[1:21])
    job.state = State(row[7])
    job.cancel_requested = bool(row[21])
    job.result, job.progress, job.checkpoint = row[22:25]
    return job


def add_lines(tx: Tx, num: int, kind: str, lines: Sequence[bytes]) -> None:
    """Append errors or log lines; only the last ones stay."""
    keep = MAX_ERRORS if kind == "error" else MAX_LOG
    ((last,),) = tx.rows(
        "SELECT coalesce(max(place), 0) FROM taskq_lines WHERE num = ? AND kind = ?", (num, kind)
    )
    first = last + 1 + max(len(lines) - keep, 0)
    tx.many(
        "INSERT INTO taskq_lines (num, kind, place, line) VALUES (?, ?, ?, ?)",
        [(num, kind, place, line) for place, line in enumerate(lines[-keep:], first)],
    )
    if last + len(lines) > keep:
        tx.run(
            "DELETE FROM taskq_lines WHERE num = ? AND kind = ? AND place <= ?",
            (num, kind, last + len(lines) - keep),
        )


def forget(tx: Tx, nums: Sequence[int]) -> None:
    """Delete jobs and what belongs to them."""
    args = [(num,) for num in nums]
    tx.many("DELETE FROM taskq_jobs WHERE num = ?", args)
    tx.many("DELETE FROM taskq_bodies WHERE num = ?", args)
    tx.many("DELETE FROM taskq_lines WHERE num = ?", args)


def first_due(tx: Tx) -> float | None:
    """When the next scheduled or retrying job is due."""
    row = tx.row(
        # Compared with infinity, which a time that is no number is not less than.
        "SELECT due FROM taskq_jobs WHERE state IN ('scheduled', 'retrying') AND due <= 9e999 "
        "ORDER BY due LIMIT 1"
    )
    return None if row is None else row[0]


def next_due(tx: Tx) -> float | None:
    """Seconds until the next scheduled or retrying job is due."""
    due = first_due(tx)
    return None if due is None else due - tx.now

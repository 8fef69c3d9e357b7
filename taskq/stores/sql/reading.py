"""Get, browse and count."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import merge

from taskq.job import ENDED, Job, Page, QueueStats, State
from taskq.stores.sql.odd import Odd, look_for_strays
from taskq.stores.sql.rows import JOB_BY_ID, JOB_BY_NUM, job_of, whole_job
from taskq.stores.sql.tx import Row, Tx


def get(tx: Tx, ids: Sequence[str]) -> list[Job | None]:
    jobs = _jobs(tx, tx.among(JOB_BY_ID, dict.fromkeys(ids)))
    found = {job.id: job for job in jobs.values()}
    return [found.get(id) for id in ids]


def any_over(tx: Tx, ids: Sequence[str]) -> bool:
    """True if one of the jobs has ended or is not there, or none was asked for."""
    ids = list(dict.fromkeys(ids))
    going = tx.among("SELECT id FROM taskq_jobs WHERE ended IS NULL AND id IN ($)", ids)
    return not ids or len(going) < len(ids)


def _jobs(tx: Tx, rows: Sequence[Row]) -> dict[int, Job]:
    """By their numbers."""
    bad = [row[0] for row in rows if not whole_job(row)]
    if bad:
        raise Odd(bad)
    jobs = {row[0]: job_of(row) for row in rows}
    for num, kind, line in tx.among(
        "SELECT num, kind, line FROM taskq_lines WHERE num IN ($) ORDER BY num, kind, place", jobs
    ):
        lines = jobs[num].errors if kind == "error" else jobs[num].log
        lines.append(line if isinstance(line, bytes) else str(line).encode())
    return jobs


# -- browse -------------------------------------------------------------------------------
Rank = tuple[int, int]
"""Where a job stands among all: those that have not ended by the number of their enqueue,
behind them the ended ones, the last to end first."""

_LIVE = (
    "SELECT num, num FROM taskq_jobs WHERE state = ? AND queue = ? AND ended IS NULL AND num > ? "
    "ORDER BY num LIMIT ?"
)
_ENDED = (
    "SELECT seq, num FROM taskq_jobs WHERE state = ? AND ended IS NOT NULL AND seq < ? "
    "ORDER BY seq DESC LIMIT ?"
)
_ENDED_OF_QUEUE = (
    "SELECT seq, num FROM taskq_jobs WHERE state = ? AND ended IS NOT NULL AND seq < ? "
    "AND queue = ? ORDER BY seq DESC LIMIT ?"
)
_BEFORE_ALL, _AFTER_ALL = -1, 2**63 - 1


def read_cursor(cursor: str | None) -> Rank:
    """The rank after which a page begins."""
    if cursor is None:
        return 0, _BEFORE_ALL
    group, _, number = cursor.partition("-")
    if group not in ("0", "1") or not (number.isascii() and number.isdigit() and len(number) < 19):
        raise ValueError(f"not a cursor of this store: {cursor!r}")
    return int(group), int(number)


def browse(tx: Tx, queue: str | None, state: State | None, limit: int, after: Rank) -> Page:
    look_for_strays(tx)
    group, number = after
    states = list(State) if state is None else [state]
    found: list[Row] = []
    if group == 0:
        live = [each.value for each in states if each not in ENDED]
        found = _live(tx, live, queue, number, limit + 1)
    rest = limit + 1 - len(found)
    over = [each.value for each in states if each in ENDED]
    if rest and over:
        found += _over(tx, over, queue, number if group else _AFTER_ALL, rest)
    jobs = _jobs(tx, tx.among(JOB_BY_NUM, [num for _, _, num in found[:limit]]))
    page = [jobs[num] for _, _, num in found[:limit]]
    cursor = f"{found[limit - 1][0]}-{found[limit - 1][1]}" if len(found) > limit else None
    return Page(page, cursor)


def _live(tx: Tx, states: list[str], queue: str | None, after: int, limit: int) -> list[Row]:
    queues = _names(tx) if queue is None else [queue]
    parts = [tx.rows(_LIVE, (state, name, after, limit)) for state in states for name in queues]
    return [(0, *row) for row in list(merge(*parts))[:limit]]


def _over(tx: Tx, states: list[str], queue: str | None, before: int, limit: int) -> list[Row]:
    if queue is None:
        parts = [tx.rows(_ENDED, (state, before, limit)) for state in states]
    else:
        parts = [tx.rows(_ENDED_OF_QUEUE, (state, before, queue, limit)) for state in states]
    return [(1, *row) for row in list(merge(*parts, reverse=True))[:limit]]


def _names(tx: Tx) -> list[str]:
    return [name for (name,) in tx.rows("SELECT name FROM taskq_queues WHERE used = 1")]


# -- statistics ---------------------------------------------------------------------------
_READY = (
    "SELECT queue, 'ready', count(*), min(due) FROM taskq_jobs WHERE state = 'ready' GROUP BY queue"
)
_OTHERS = (
    "SELECT queue, state, count(*), NULL FROM taskq_jobs WHERE ended IS NULL "
    "AND state IN ('scheduled', 'running', 'retrying') GROUP BY state, queue"
)
_OVER = (
    "SELECT queue, state, count(*), NULL FROM taskq_jobs WHERE ended IS NOT NULL "
    "AND state IN ('succeeded', 'failed', 'cancelled', 'expired') GROUP BY state, queue"
)


def stats(tx: Tx, queues: Sequence[str] | None) -> list[QueueStats]:
    look_for_strays(tx)
    known = {
        name: (paused, used)
        for name, paused, used in tx.rows("SELECT name, paused, used FROM taskq_queues")
    }
    wanted = {name for name, (_, used) in known.items() if used} if queues is None else set(queues)
    found = {
        name: QueueStats(name, dict.fromkeys(State, 0), bool(known.get(name, (0, 0))[0]))
        for name in sorted(wanted)
    }
    for sql in (_READY, _OTHERS, _OVER):
        for queue, state, count, due in tx.rows(sql):
            if queue in found:
                found[queue].counts[State(state)] = count
                if isinstance(due, float):
                    found[queue].oldest_ready = max(tx.now - due, 0.0)
    return list(found.values())

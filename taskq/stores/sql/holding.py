"""Leases, and the jobs that hang on them: claim, reclaim, note."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from taskq.errors import LeaseLost
from taskq.job import Claim, Claimed, Lane, Lapsed, Note, State, WorkerInfo
from taskq.stores.sql.odd import look_for_strays, set_aside
from taskq.stores.sql.rows import CLAIM_AGAIN, add_lines, claim_of, first_due, next_due, whole_claim
from taskq.stores.sql.tx import Row, Tx


def open_lease(tx: Tx, worker: WorkerInfo, ttl: float) -> str:
    lease = uuid.uuid4().hex
    info = {
        "host": worker.host,
        "pid": worker.pid,
        "queues": list(worker.queues),
        "concurrency": worker.concurrency,
        "async_concurrency": worker.async_concurrency,
        "started_at": worker.started_at,
        "version": worker.version,
    }
    tx.run(
        "INSERT INTO taskq_leases (id, ttl, until, seen, worker) VALUES (?, ?, ?, ?, ?)",
        (lease, ttl, tx.now + ttl, tx.now, json.dumps(info)),
    )
    return lease


def renew(tx: Tx, lease: str, running: Sequence[str]) -> list[str] | None:
    held = tx.run(
        "UPDATE taskq_leases SET until = ? + ttl, seen = ?, running = ? WHERE id = ? AND ended = 0",
        (tx.now, tx.now, json.dumps(list(running)), lease),
    )
    if not held:
        return None
    return [
        id
        for (id,) in tx.rows(
            "SELECT id FROM taskq_jobs WHERE lease = ? AND state = 'running' AND cancel = 1",
            (lease,),
        )
    ]


def end_lease(tx: Tx, lease: str) -> None:
    tx.run("UPDATE taskq_leases SET ended = 1 WHERE id = ?", (lease,))
    _forget_if_empty(tx, lease)


def _forget_if_empty(tx: Tx, lease: str) -> None:
    tx.run(
        "DELETE FROM taskq_leases WHERE id = ? AND NOT EXISTS "
        "(SELECT 1 FROM taskq_jobs WHERE lease = ? AND state = 'running')",
        (lease, lease),
    )


def workers(tx: Tx) -> list[WorkerInfo]:
    found = []
    for lease, seen, text, running in tx.rows(
        "SELECT id, seen, worker, (SELECT count(*) FROM taskq_jobs "
        "WHERE lease = taskq_leases.id AND state = 'running') "
        "FROM taskq_leases WHERE ended = 0 AND until > ?",
        (tx.now,),
    ):
        info = json.loads(text)
        info["queues"] = tuple(info["queues"])
        found.append(WorkerInfo(**info, lease=lease, running=running, seen_at=seen))
    return found


def alive(tx: Tx, lease: str) -> bool:
    return tx.row("SELECT 1 FROM taskq_leases WHERE id = ? AND ended = 0", (lease,)) is not None


def _last_call(tx: Tx, lease: str) -> int:
    """The last number of a lease that found jobs."""
    row = tx.row("SELECT call FROM taskq_leases WHERE id = ? AND ended = 0", (lease,))
    if row is None:
        raise LeaseLost(f"lease {lease} is not known or was ended")
    last: int = row[0]
    return last


# -- claim ------------------------------------------------------------------------------
class Call(NamedTuple):
    """What a claim asks for."""

    lease: str
    number: int
    queues: Sequence[str]
    limits: Mapping[Lane, int]


class Glance(NamedTuple):
    """What a look before a claim has seen; it takes no lock that keeps others from writing."""

    again: list[Claim] | None
    """The number was used before: the jobs of that call that are still held."""
    ready: bool
    due: float | None
    """When the next job is due."""
    next_due: float | None
    """Seconds until then."""


def glance(tx: Tx, call: Call) -> Glance:
    last = _last_call(tx, call.lease)
    due = first_due(tx)
    wait = None if due is None else due - tx.now
    if call.number <= last:
        again = _again(tx, call.lease, call.number) if call.number == last else []
        return Glance(again, False, due, wait)
    ready = _any_ready(tx, call.queues, call.limits)
    if not ready:
        look_for_strays(tx)
    return Glance(None, ready, due, wait)


def _any_ready(tx: Tx, queues: Sequence[str], limits: Mapping[Lane, int]) -> bool:
    paused = _paused(tx)
    return any(
        limit > 0
        and tx.row(
            "SELECT 1 FROM taskq_jobs WHERE state = 'ready' AND queue = ? AND lane = ? LIMIT 1",
            (queue, lane),
        )
        for queue in queues
        if queue not in paused
        for lane, limit in limits.items()
    )


def _paused(tx: Tx) -> set[str]:
    return {name for (name,) in tx.rows("SELECT name FROM taskq_queues WHERE paused = 1")}


def claim(tx: Tx, call: Call) -> Claimed:
    """Take ready jobs; the number is one that was not used before."""
    lease, number, queues, limits = call
    _last_call(tx, lease)
    paused = _paused(tx)
    left = dict(limits)
    claims: list[Claim] = []
    for queue in queues:
        if queue in paused:
            continue
        for lane in left:
            while left[lane] > 0:
                rows, malformed = _take(tx, (lease, number, tx.now, queue, lane, left[lane]))
                claims += map(claim_of, rows)
                left[lane] -= len(rows)
                if not malformed:
                    break
    if claims:
        tx.run("UPDATE taskq_leases SET call = ? WHERE id = ?", (number, lease))
    return Claimed(claims, next_due(tx))


def _take(tx: Tx, args: tuple[Any, ...]) -> tuple[list[Row], bool]:
    """Claim, and set aside what turns out to be no job; True if there was any."""
    rows = tx.rows(tx.dialect.claim, args)
    whole = [row for row in rows if whole_claim(row)]
    whole.sort(key=_arrival)
    if len(whole) == len(rows):
        return whole, False
    set_aside(tx, [row[1] for row in rows if not whole_claim(row)])
    return whole, True


def _again(tx: Tx, lease: str, number: int) -> list[Claim]:
    rows = [row for row in tx.rows(CLAIM_AGAIN, (lease, number)) if whole_claim(row)]
    return [claim_of(row) for row in sorted(rows, key=_arrival)]


def _arrival(row: Row) -> tuple[int, int]:
    return -row[7], row[0]


# -- reclaim ----------------------------------------------------------------------------
def lapsed(tx: Tx) -> list[Lapsed]:
    found = [
        Lapsed(lease, bool(ended))
        for lease, ended in tx.rows(
            "SELECT id, ended FROM taskq_leases WHERE ended = 1 OR until <= ?", (tx.now,)
        )
    ]
    # A lease whose row was lost still has its jobs.
    found += [
        Lapsed(lease, True)
        for (lease,) in tx.rows(
            "SELECT DISTINCT lease FROM taskq_jobs WHERE state = 'running' AND NOT EXISTS "
            "(SELECT 1 FROM taskq_leases WHERE id = lease)"
        )
    ]
    return found


def reclaim(tx: Tx, lease: str, number: int, dead: Sequence[str], limit: int) -> list[Claim]:
    last = _last_call(tx, lease)
    if number <= last:
        return _again(tx, lease, number) if number == last else []
    claims: list[Claim] = []
    for other in dict.fromkeys(dead):
        if other == lease:
            continue
        row = tx.row("SELECT ended, until, running FROM taskq_leases WHERE id = ?", (other,))
        ended, until, running = (1, tx.now, "[]") if row is None else row
        if not ended and until > tx.now:
            continue
        tx.run("UPDATE taskq_leases SET ended = 1 WHERE id = ?", (other,))
        claims += _take_over(tx, lease, number, other, running, limit - len(claims))
        _forget_if_empty(tx, other)
    if claims:
        tx.run("UPDATE taskq_leases SET call = ? WHERE id = ?", (number, lease))
    return claims


def _take_over(
    tx: Tx, lease: str, number: int, other: str, running: str, limit: int
) -> list[Claim]:
    held = tx.rows(
        "SELECT num, id FROM taskq_jobs WHERE state = 'running' AND lease = ? ORDER BY num LIMIT ?",
        (other, max(limit, 0)),
    )
    ran = set(json.loads(running))
    tx.many(
        "UPDATE taskq_jobs SET lease = ?, call = ?, started = ?, claims = claims + 1, ran = ? "
        "WHERE num = ?",
        [(lease, number, tx.now, int(id in ran), num) for num, id in held],
    )
    rows = tx.among(CLAIM_AGAIN + "AND job.num IN ($)", [num for num, _ in held], lease, number)
    set_aside(tx, [row[1] for row in rows if not whole_claim(row)])
    return [claim_of(row) for row in rows if whole_claim(row)]


def note(tx: Tx, lease: str, claim: Claim, note: Note) -> bool:
    row = tx.row(
        "SELECT num FROM taskq_jobs WHERE id = ? AND lease = ? AND claims = ? AND state = ?",
        (claim.id, lease, claim.claims, State.RUNNING.value),
    )
    if row is None or not alive(tx, lease):
        return False
    num: int = row[0]
    if note.progress is not None or note.checkpoint is not None:
        tx.run(
            "UPDATE taskq_jobs SET progress = coalesce(?, progress), "
            "checkpoint = coalesce(?, checkpoint) WHERE num = ?",
            (note.progress, note.checkpoint, num),
        )
    if note.payload is not None:
        tx.run("UPDATE taskq_bodies SET payload = ? WHERE num = ?", (note.payload, num))
    if note.log:
        add_lines(tx, num, "log", note.log)
    return True

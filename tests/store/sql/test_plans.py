"""No statement looks at every job."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from taskq.job import Lock, Moment, Note, Outcome, State
from taskq.stores.sql import SQLite, SqlStore
from taskq.testing.clock import TravelClock
from tests.store.sql.tools import claim, new, succeed, worker

FULL_SCAN = re.compile(r"SCAN (taskq_jobs|job|taskq_bodies|body|taskq_lines)\b(?! USING)")


def test_every_statement_uses_an_index(path: Path, clock: TravelClock) -> None:
    seen: set[str] = set()

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, check_same_thread=False)
        connection.set_trace_callback(seen.add)
        return connection

    store = SqlStore(connect, SQLite(), clock=clock, max_ended=1)
    store.ping()
    seen.clear()
    use_every_verb(store, clock)
    store.close()
    statements = [each for each in seen if re.match(r"\s*(SELECT|UPDATE|DELETE|INSERT)", each)]
    plans: dict[str, list[str]] = {}
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
            plans[statement] = [row[3] for row in rows]
    bad = {sql: plan for sql, plan in plans.items() if any(map(FULL_SCAN.search, plan))}
    assert bad == {}
    (take,) = {tuple(plan) for sql, plan in plans.items() if "priority DESC" in sql}
    assert "taskq_jobs_ready (queue=? AND lane=?)" in " ".join(take)
    assert "TEMP B-TREE FOR ORDER BY" not in " ".join(take)
    for verb in (
        "taskq_jobs_due",
        "taskq_jobs_held",
        "taskq_jobs_gone",
        "taskq_jobs_live",
        "taskq_jobs_ended",
        "taskq_jobs_lock",
    ):
        assert any(verb in line for plan in plans.values() for line in plan), verb


def use_every_verb(store: SqlStore, clock: TravelClock) -> None:
    store.enqueue([new("a", lock=Lock("key")), new("b"), new("c"), new("d"), new("e", keep=0)])
    replace = Lock("key", on_duplicate="replace")
    store.enqueue([new("z", lock=replace), new("later", due=Moment(5.0)), new("f"), new("g")])
    lease, dead = worker(store), worker(store)
    store.renew(lease, ["a"])
    claims = claim(store, lease, limit=4)
    claim(store, lease, limit=4)
    store.note(lease, claims[0], Note(b"p", b"c", b"[]", [b"line"]))
    assert succeed(store, lease, claims[:2]) == ["done", "done"]
    outcomes = [
        Outcome(claims[2], State.RETRYING, delay=5.0, error=b"e"),
        Outcome(claims[3], State.FAILED, error=b"e"),
    ]
    assert store.finish(lease, outcomes) == ["done", "done"]
    claim(store, dead, limit=1)
    store.end(dead)
    store.lapsed()
    assert len(store.reclaim(lease, 2, [dead], 10)) == 1
    store.end("unknown")
    clock.travel(10)
    assert store.promote().moved == 2
    store.wait(["b", "f"], 0.0)
    for queue in (None, "default"):
        for state in (None, *State):
            page = store.browse(queue=queue, state=state, limit=1)
            store.browse(queue=queue, state=state, limit=1, cursor=page.cursor)
    store.stats()
    store.workers()
    store.cancel(["f"])
    store.requeue(["f"])
    store.delete(["g"])
    store.pause("default")
    store.pause("default", False)
    store.acquire("lock", "me", ttl=1.0)
    store.release("lock", "me")
    store.tally("count", 1.0)
    store.tally("count", 1.0)
    store.prune()
    clock.travel(4000)
    store.prune()

"""Rows that somebody wrote by hand."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from taskq.job import State
from taskq.store import MALFORMED
from taskq.stores.sql import SqlStore
from taskq.testing.clock import TravelClock
from tests.store.sql.tools import claim, look, new, worker

DAY = 86400.0


def write(path: Path, sql: str, *args: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql, args)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("state = 'bogus'", "state is 'bogus'"),
        ("state = 'aaa'", "state is 'aaa'"),
        ("state = 'zzz'", "state is 'zzz'"),
        ("state = NULL", "state is None"),
        ("state = 5", "state is '5'"),
        ("state = x'00ff'", "state is b"),
        ("state = 'succeeded'", "ended is None"),
        ("state = 'running', started = 1.0", "lease is None"),
        ("state = 'running', lease = x'00', started = 1.0", "lease is b"),
        ("lane = 'fiber'", "lane is 'fiber'"),
        ("lane = 'threads'", "lane is 'threads'"),
        ("lane = NULL", "lane is None"),
        ("lane = x'00'", "lane is b"),
        ("queue = NULL", "queue is None"),
        ("queue = x'ff'", "queue is b"),
        ("task = NULL", "task is None"),
        ("task = CAST(x'ff' AS TEXT)", "task is b"),
        ("id = CAST(x'ff' AS TEXT)", "id is b"),
        ("id = x'00'", "id is b"),
        ("priority = 'high'", "priority is 'high'"),
        ("priority = NULL", "priority is None"),
        ("priority = 0.5", "priority is 0.5"),
        ("attempts = NULL", "attempts is None"),
        ("claims = NULL", "claims is None"),
        ("due = 'soon'", "due is 'soon'"),
        ("enqueued = NULL", "enqueued is None"),
        ("expires = 'never'", "expires is 'never'"),
        ("checkpoint = 'half'", "checkpoint is 'half'"),
        ("state = 'scheduled', due = NULL", "due is None"),
        ("state = 'retrying', due = 'soon'", "due is 'soon'"),
        ("state = 'retrying', due = x'00'", "due is b"),
    ],
)
def test_a_row_that_is_no_job_is_set_aside_and_those_behind_it_run(
    store: SqlStore, clock: TravelClock, path: Path, change: str, reason: str
) -> None:
    store.enqueue([new("a"), new("b", payload=b"raw"), new("c")])
    write(path, f"UPDATE taskq_jobs SET {change} WHERE id = 'b'")
    lease = worker(store)
    found = [each.id for number in range(1, 5) for each in claim(store, lease, number, limit=1)]
    assert found == ["a", "c"]
    store.promote()
    (job,) = store.browse(state=State.FAILED).jobs
    assert (job.task, job.payload) == (MALFORMED, b"raw")
    (error,) = job.errors
    assert reason in error.decode()
    assert job.id == ("b" if not change.startswith("id") else job.id)
    assert look(store, job.id) == job
    assert job.ended_at == clock.now()
    (stats,) = [each for each in store.stats() if each.queue == "default"]
    assert stats.counts[State.RUNNING] == 2
    clock.travel(31 * DAY)
    assert store.prune() == 1


def test_a_body_that_is_missing_or_no_bytes(store: SqlStore, path: Path) -> None:
    store.enqueue([new("a"), new("b"), new("c"), new("d")])
    body = "WHERE num = (SELECT num FROM taskq_jobs WHERE id = ?)"
    write(path, f"DELETE FROM taskq_bodies {body}", "a")
    write(path, f"UPDATE taskq_bodies SET payload = 'text' {body}", "b")
    write(path, f"UPDATE taskq_bodies SET payload = 5 {body}", "c")
    assert [each.id for each in claim(store, worker(store), limit=1)] == ["d"]
    a, b, c = (look(store, id) for id in "abc")
    assert {a.task, b.task, c.task} == {MALFORMED}
    assert {a.state, b.state, c.state} == {State.FAILED}
    assert b"tests.task" in a.payload  # all that was there
    assert b.payload == b"text"
    assert b'"payload": 5' in c.payload


def test_what_is_read_is_set_aside_too(store: SqlStore, path: Path) -> None:
    store.enqueue([new("a"), new("b"), new("c"), new("d")])
    write(path, "UPDATE taskq_jobs SET state = 'bogus' WHERE id IN ('a', 'b', 'c')")
    assert look(store, "a").state is State.FAILED
    assert store.cancel(["b"]) == ["ended"]
    assert store.delete(["b"]) == ["deleted"]
    assert [job.id for job in store.browse(state=State.FAILED).jobs] == ["c", "a"]
    assert store.requeue(["c"]) == ["requeued"]


def test_rows_without_end_that_are_no_jobs(store: SqlStore, path: Path) -> None:
    store.enqueue([new(f"{n}") for n in range(1000)] + [new("last")])
    write(path, "UPDATE taskq_jobs SET task = NULL WHERE id <> 'last'")
    assert [each.id for each in claim(store, worker(store), limit=1)] == ["last"]
    assert store.stats()[0].counts[State.FAILED] == 1000


def test_a_job_whose_lease_is_unknown_is_taken_over(store: SqlStore, path: Path) -> None:
    store.enqueue([new("a")])
    dead, other = worker(store), worker(store)
    claim(store, dead)
    write(path, "DELETE FROM taskq_leases WHERE id = ?", dead)
    assert store.lapsed() == [(dead, True)]
    (taken,) = store.reclaim(other, 1, [dead], 10)
    assert (taken.id, taken.claims) == ("a", 2)
    assert store.lapsed() == []


def test_a_valid_row_written_by_hand_is_a_job(store: SqlStore, path: Path) -> None:
    store.enqueue([new("a")])
    write(
        path,
        "INSERT INTO taskq_jobs (num, seq, id, task, queue, lane, priority, state, enqueued, due, "
        "keep, keep_failed) VALUES (99, 0, 'b', 't', 'default', 'loop', 5, 'ready', 1, 1, 60, 60)",
    )
    write(path, "INSERT INTO taskq_bodies VALUES (99, x'01')")
    assert sorted(each.id for each in claim(store, worker(store))) == ["a", "b"]

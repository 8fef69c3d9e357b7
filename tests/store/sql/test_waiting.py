"""Waiting: who is woken, and what it costs; connections and threads."""

from __future__ import annotations

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from taskq.job import Lock, Moment, Outcome, State
from taskq.stores.sql import SQLite, SqlStore
from tests.store.sql.conftest import Open
from tests.store.sql.tools import claim, new, succeed, worker

LONG = 60.0


def test_an_enqueue_through_another_store_of_the_process_wakes_a_claim(open_store: Open) -> None:
    store, other = open_store(), open_store()
    lease = worker(store)
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(store.claim, lease, 1, ["default"], {"thread": 1}, LONG)
        other.enqueue([new("a")])
        assert [each.id for each in waits.result(LONG / 2).claims] == ["a"]


def test_a_wait_for_a_job_ends_when_another_store_finishes_it(open_store: Open) -> None:
    store, other = open_store(), open_store()
    store.enqueue([new("a")])
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(store.wait, ["a"], LONG)
        lease = worker(other)
        succeed(other, lease, claim(other, lease))
        (job,) = waits.result(LONG / 2)
    assert job is not None
    assert job.state is State.SUCCEEDED


def test_waiting_costs_next_to_nothing(open_store: Open) -> None:
    store = open_store()
    lease = worker(store)
    begun, cpu = time.monotonic(), time.thread_time()
    assert store.claim(lease, 1, ["default"], {"thread": 1}, wait=1.0).claims == []
    assert time.monotonic() - begun >= 1.0
    assert time.thread_time() - cpu < 0.05


def test_a_claim_that_waits_leaves_when_the_next_job_is_due(open_store: Open) -> None:
    store = open_store()
    store.enqueue([new("a")])
    lease = worker(store)
    claims = claim(store, lease)
    store.finish(lease, [Outcome(claims[0], State.RETRYING, delay=0.2)])
    begun = time.monotonic()
    found = store.claim(lease, 2, ["default"], {"thread": 1}, wait=LONG)
    assert found.claims == []
    assert found.next_due is not None
    assert found.next_due <= 0
    assert time.monotonic() - begun < LONG / 2
    assert store.promote().moved == 1


def test_connections_of_dead_threads_are_closed_and_each_thread_has_one(path: Path) -> None:
    made: list[sqlite3.Connection] = []

    def connect() -> sqlite3.Connection:
        made.append(sqlite3.connect(path, check_same_thread=False))
        return made[-1]

    store = SqlStore(connect, SQLite())
    for n in range(5):
        thread = threading.Thread(target=lambda n=n: store.enqueue([new(f"{n}")] * 3))
        thread.start()
        thread.join()
    store.ping()
    assert len(made) == 6
    assert [is_open(each) for each in made] == [False] * 5 + [True]
    store.close()
    assert not is_open(made[-1])


def is_open(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return False
    return True


def test_close_while_other_threads_use_the_store(open_store: Open) -> None:
    store = open_store()
    stop = threading.Event()

    def write(name: int) -> int:
        count = 0
        while not stop.is_set():
            store.enqueue([new(f"{name}-{count}")])
            count += 1
        return count

    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write, n) for n in range(3)]
        for _ in range(50):
            store.close()
        stop.set()
        total = sum(writer.result() for writer in writers)
    assert sum(each.counts[State.READY] for each in store.stats()) == total


def test_an_exception_raised_into_a_transaction_takes_it_back(store: SqlStore) -> None:
    class Stop(BaseException):
        pass

    store.enqueue([new("a")])

    class Due(Moment):
        def at(self, now: float) -> float:
            raise Stop

    with pytest.raises(Stop):
        store.enqueue([new("c", lock=Lock("c")), new("d", lock=Lock("d")), new("b", due=Due(1.0))])
    other = ThreadPoolExecutor(1)
    with other:
        assert other.submit(store.enqueue, [new("d")]).result(10) == [("d", "created")]
    assert store.get(["b", "c"]) == [None, None]

"""Several processes on one file; forks; deaths in the middle of a transaction."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from taskq.job import State
from taskq.stores.sql import SqlStore
from tests.store.sql.conftest import Open
from tests.store.sql.tools import claim, look, new, python, succeed, worker


def kill_inside(process: subprocess.Popen[str]) -> None:
    """End a process without warning once it says that it is inside a transaction."""
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "inside\n"
        process.send_signal(signal.SIGKILL)
        process.wait(30)


HANG = """
class Hang(Moment):
    def at(self, now):
        print("inside", flush=True)
        threading.Event().wait()
"""


@pytest.mark.crash
def test_killed_inside_an_enqueue_stores_nothing(store: SqlStore, path: Path) -> None:
    store.enqueue([new("a")])
    script = (
        HANG
        + """
jobs = [NewJob(f"{n}", "t", b"x" * 10_000, lock=Lock(f"{n}")) for n in range(500)]
store.enqueue([*jobs, NewJob("last", "t", b"", due=Hang(5.0))])
"""
    )
    kill_inside(python(script, path))
    assert store.get(["0", "499", "last"]) == [None, None, None]
    assert store.stats()[0].counts[State.READY] == 1
    assert store.enqueue([new("0"), new("b")]) == [("0", "created"), ("b", "created")]
    assert [each.id for each in claim(store, worker(store))] == ["a", "0", "b"]


@pytest.mark.crash
def test_killed_before_the_callers_commit_stores_and_finishes_nothing(
    store: SqlStore, path: Path
) -> None:
    store.enqueue([new("a")])
    script = """
import sqlite3
lease = store.open(WorkerInfo("host", os.getpid()), 30.0)
claims = store.claim(lease, 1, ["default"], {"thread": 1}).claims
mine = sqlite3.connect(sys.argv[1])
store.finish(lease, [Outcome(claims[0], State.SUCCEEDED)], connection=mine)
store.enqueue([NewJob("b", "t", b"")], connection=mine)
print("inside", flush=True)
threading.Event().wait()
"""
    kill_inside(python(script, path))
    assert look(store, "a").state is State.RUNNING
    assert store.get(["b"]) == [None]
    dead = look(store, "a").lease
    assert dead is not None
    store.end(dead)
    lease = worker(store)
    claims = store.reclaim(lease, 1, [dead], 10)
    assert succeed(store, lease, claims) == ["done"]


@pytest.mark.crash
def test_killed_after_the_enqueue_was_acknowledged_it_is_stored(
    store: SqlStore, path: Path
) -> None:
    script = """
store.enqueue([NewJob(f"{n}", "t", b"") for n in range(100)])
print("inside", flush=True)
threading.Event().wait()
"""
    kill_inside(python(script, path))
    assert len(claim(store, worker(store))) == 100


def test_many_processes_make_the_tables_at_once(path: Path, open_store: Open) -> None:
    script = """
store.enqueue([NewJob(f"{os.getpid()}", "t", b"")])
print(os.getpid())
"""
    processes = [python(script, path) for _ in range(8)]
    pids = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    assert all(job is not None for job in open_store().get(pids))


def test_processes_that_enqueue_and_claim_lose_and_double_nothing(
    path: Path, open_store: Open
) -> None:
    script = """
me = sys.argv[2]
lease = store.open(WorkerInfo("host", os.getpid()), 30.0)
number, done = 1, []
for n in range(40):
    store.enqueue([NewJob(f"{me}-{n}-{m}", "t", b"") for m in range(10)])
    claims = store.claim(lease, number, ["default"], {"thread": 10}).claims
    number += bool(claims)
    answers = store.finish(lease, [Outcome(c, State.SUCCEEDED) for c in claims])
    assert set(answers) <= {"done"}, answers
    done += [c.id for c in claims]
print(*done)
"""
    processes = [python(script, path, f"{n}") for n in range(3)]
    done = [process.communicate(timeout=120)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * 3
    ran = [id for each in done for id in each]
    store = open_store()
    counts = store.stats()[0].counts
    assert len(ran) == len(set(ran)) == counts[State.SUCCEEDED]
    assert counts[State.SUCCEEDED] + counts[State.READY] == 1200


def test_a_claim_that_waits_sees_what_another_process_enqueues(path: Path, store: SqlStore) -> None:
    lease = worker(store)
    process = python('store.enqueue([NewJob("a", "t", b"")])', path)
    claims = store.claim(lease, 1, ["default"], {"thread": 1}, wait=60.0).claims
    process.communicate(timeout=60)
    assert [each.id for each in claims] == ["a"]


def fork_and(act: object) -> int:
    """Call something in a forked child; its exit status."""
    assert callable(act)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            act()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_uses_connections_of_its_own(store: SqlStore) -> None:
    store.enqueue([new("a")])
    assert fork_and(lambda: store.enqueue([new("b")])) == 0
    assert fork_and(store.close) == 0
    store.enqueue([new("c")])
    assert [each.id for each in claim(store, worker(store))] == ["a", "b", "c"]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_other_threads_use_the_store(store: SqlStore) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            store.enqueue([new()])
            store.wait(["unknown"], 0.0)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for n in range(10):
            assert fork_and(lambda n=n: store.enqueue([new(f"child-{n}")])) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert all(job is not None for job in store.get([f"child-{n}" for n in range(10)]))

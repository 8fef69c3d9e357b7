"""Stopping, and bursts."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from taskq import JobHandle, State, TaskQ, WorkerStopping, current_job
from tests.support.wait import until, wait_for, wait_until
from tests.worker.conftest import MakeApp

# -- stopping --------------------------------------------------------------------------------


def test_what_runs_finishes_and_nothing_new_starts(app: TaskQ) -> None:
    """STP-01"""
    release = threading.Event()
    started: list[str] = []

    @app.task
    def hold() -> str:
        started.append("def")
        assert release.wait(30)
        return "done"

    @app.task
    async def ahold() -> str:
        started.append("async")
        await until(release.is_set)
        return "done"

    with app.worker(concurrency=1, async_concurrency=1) as worker:
        running = [hold.delay(), ahold.delay()]
        wait_until(lambda: len(started) == 2)
        stopping = threading.Thread(target=worker.stop)
        stopping.start()
        waiting = [hold.delay(), ahold.delay()]
        wait_for(0.2)
        assert stopping.is_alive()
        release.set()
        stopping.join(10)
        assert not stopping.is_alive()
    assert [job.result(0) for job in running] == ["done", "done"]
    assert [job.state for job in waiting] == [State.READY] * 2


def test_after_the_grace_the_rest_is_given_back_without_an_attempt(app: TaskQ) -> None:
    """STP-03, STP-07"""
    interrupted: list[str] = []
    attempts: list[int] = []
    going = [True]

    @app.task(max_retry=0)
    def busy() -> str:
        attempts.append(current_job().attempt)
        try:
            while going[0]:
                time.sleep(
                    0.001
                )  # a jump backwards is in no handler's range: CPython leaves it out
        except WorkerStopping:
            interrupted.append("def")
            raise
        return "done"

    @app.task(max_retry=0)
    async def sleepy() -> str:
        attempts.append(current_job().attempt)
        try:
            await until(lambda: not going[0])
        except asyncio.CancelledError:
            interrupted.append("async")
            raise
        return "done"

    with app.worker(grace=0.1):
        jobs = [busy.delay(), sleepy.delay()]
        wait_until(lambda: all(job.running() for job in jobs) and len(attempts) == 2)
        started = time.monotonic()
    assert time.monotonic() - started < 4
    assert sorted(interrupted) == ["async", "def"]
    for job in jobs:
        info = job.info()
        assert (info.state, info.attempt, info.errors) == (State.READY, 0, [])
    going[0] = False
    with app.worker():
        assert [job.result(10) for job in jobs] == ["done", "done"]
    assert attempts == [1, 1, 1, 1]


def test_a_task_that_hangs_does_not_stop_the_stop(app: TaskQ) -> None:
    """STP-03: it is given back after the grace and the time for its interrupt."""
    release = threading.Event()

    @app.task
    def hang() -> str:
        release.wait(30)
        return "late"

    with app.worker(grace=0.1):
        job = hang.delay()
        wait_until(job.running)
        started = time.monotonic()
    assert time.monotonic() - started < 8
    assert job.state is State.READY
    release.set()
    wait_for(0.1)
    assert job.state is State.READY, "its late end changes nothing"


def test_what_was_claimed_ahead_is_given_back_at_once(app: TaskQ) -> None:
    """STP-05"""
    release = threading.Event()

    @app.task
    def short() -> None: ...

    @app.task
    def hold() -> None:
        assert release.wait(30)

    with app.worker(concurrency=1) as worker:
        for job in short.delay_many([()] * 200):
            job.result(30)
        first, *rest = hold.delay_many([()] * 20)
        wait_until(first.running)
        stopping = threading.Thread(target=worker.stop)
        stopping.start()
        wait_until(lambda: all(job.state is State.READY for job in rest))
        release.set()
        stopping.join(10)
    assert first.state is State.SUCCEEDED
    assert {job.info().attempt for job in rest} == {0}
    with app.worker(concurrency=1, burst=True) as second:
        assert second.wait(20)
    assert {job.state for job in rest} == {State.SUCCEEDED}


def test_an_idle_worker_stops_at_once(app: TaskQ) -> None:
    """STP-11"""

    @app.task
    def run() -> None: ...

    @app.task
    async def arun() -> None: ...

    with app.worker():
        run.delay().result(10)
        arun.delay().result(10)
        wait_for(0.2)
        started = time.monotonic()
    assert time.monotonic() - started < 2
    assert app.inspector.workers() == []


def test_a_worker_stopped_right_after_its_start_stops_at_once(app: TaskQ) -> None:
    """STP-02, STP-11: and stopping twice is stopping once."""
    for _ in range(5):
        with app.worker() as worker:
            started = time.monotonic()
            worker.stop()
            worker.stop()
        assert time.monotonic() - started < 2
    assert app.inspector.workers() == []


def test_a_stopped_worker_leaves_no_threads(app: TaskQ) -> None:
    @app.task
    def run() -> None: ...

    @app.task
    async def arun() -> None: ...

    before = set(threading.enumerate())
    with app.worker():
        for job in run.delay_many([()] * 50) + arun.delay_many([()] * 50):
            job.result(10)
    app.close()
    wait_until(lambda: set(threading.enumerate()) <= before)


def test_leases_go_on_while_the_worker_drains(make_app: MakeApp) -> None:
    """STP-08"""
    app = make_app(lease=1)
    release = threading.Event()
    runs: list[int] = []

    @app.task
    def hold() -> None:
        runs.append(1)
        assert release.wait(30)

    with app.worker() as worker:
        job = hold.delay()
        wait_until(job.running)
        stopping = threading.Thread(target=worker.stop)
        stopping.start()
        with app.worker():
            wait_for(2.5)
            assert job.running()
            release.set()
            stopping.join(10)
    assert (job.state, runs) == (State.SUCCEEDED, [1])


# -- bursts -----------------------------------------------------------------------------------


def test_a_burst_ends_when_nothing_is_ready(app: TaskQ) -> None:
    """STP-09"""

    @app.task
    def run(number: int) -> int:
        if number:
            run.delay(number - 1)
        return number

    @app.task
    async def arun() -> None: ...

    jobs: list[JobHandle[Any]] = [run.delay(5), arun.delay(), *run.delay_many([(0,)] * 100)]
    future = run.apply_at(3600, 0)
    with app.worker(burst=True) as worker:
        assert worker.wait(30)
        assert all(job.done() for job in jobs)
    totals = app.inspector.totals()
    assert (totals[State.SUCCEEDED], totals[State.READY]) == (107, 0)
    assert future.state is State.SCHEDULED


def test_a_burst_on_an_empty_store_ends_at_once(app: TaskQ) -> None:
    """STP-09"""
    started = time.monotonic()
    with app.worker(burst=True) as worker:
        assert worker.wait(10)
    assert time.monotonic() - started < 3


def test_a_burst_runs_what_is_due(app: TaskQ) -> None:
    """STP-09"""

    @app.task
    def run() -> int:
        return 1

    job = run.apply_at(0.05)
    wait_for(0.1)
    with app.worker(burst=True) as worker:
        assert worker.wait(10)
    assert job.result(0) == 1

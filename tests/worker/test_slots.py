"""How many run at once, and that none waits where it could run."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from taskq import (
    ConfigError,
    State,
    TaskQ,
)
from tests.support.gauge import Gauge
from tests.support.wait import until, wait_for, wait_until
from tests.worker.conftest import MakeApp


def test_as_many_threads_as_set_and_no_more(app: TaskQ) -> None:
    """RUN-09"""
    gauge, release = Gauge(), threading.Event()

    @app.task
    def hold() -> None:
        with gauge:
            assert release.wait(30)

    with app.worker(concurrency=3):
        jobs = hold.delay_many([()] * 10)
        wait_until(lambda: gauge.now == 3)
        assert sum(job.state is State.RUNNING for job in jobs) == 3, "none is held in store"
        release.set()
        for job in jobs:
            job.result(10)
    assert gauge.most == 3


def test_as_many_coroutines_as_set_and_no_more(app: TaskQ) -> None:
    """RUN-09"""
    gauge = Gauge()
    going = threading.Event()

    @app.task
    async def hold() -> None:
        with gauge:
            await until(going.is_set)

    with app.worker(async_concurrency=5):
        jobs = hold.delay_many([()] * 20)
        wait_until(lambda: gauge.now == 5)
        assert sum(job.state is State.RUNNING for job in jobs) == 5
        going.set()
        for job in jobs:
            job.result(10)
    assert gauge.most == 5


def test_thousands_of_coroutines_at_once(app: TaskQ) -> None:
    gauge = Gauge()
    going = threading.Event()

    @app.task
    async def hold(number: int) -> int:
        with gauge:
            await until(going.is_set, 60)
        return number

    with app.worker(async_concurrency=3000):
        jobs = hold.delay_many([(number,) for number in range(3000)])
        wait_until(lambda: gauge.now == 3000, 60)
        going.set()
        assert [job.result(60) for job in jobs] == list(range(3000))


@pytest.mark.parametrize("name", ["concurrency", "async_concurrency"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), 1.5, "4", True])
def test_a_wrong_number_of_slots_is_refused(app: TaskQ, name: str, value: Any) -> None:
    """RUN-10"""
    with pytest.raises(ConfigError, match=f"{name} takes a whole number from 1"):
        app.worker(**{name: value})


def test_def_tasks_run_side_by_side(app: TaskQ) -> None:
    """RUN-11: each waits for the others."""
    together = threading.Barrier(4)

    @app.task
    def meet() -> int:
        return together.wait(10)

    with app.worker(concurrency=4):
        jobs = meet.delay_many([()] * 4)
        assert sorted(job.result(10) for job in jobs) == [0, 1, 2, 3]


def test_a_slow_def_task_does_not_stop_async_ones(app: TaskQ) -> None:
    """RUN-11"""
    release = threading.Event()

    @app.task
    def slow() -> None:
        assert release.wait(30)

    @app.task
    async def quick(number: int) -> int:
        await asyncio.sleep(0)
        return number

    with app.worker(concurrency=1):
        first = slow.delay()
        wait_until(first.running)
        assert [quick.delay(number).result(10) for number in range(20)] == list(range(20))
        assert first.running()
        release.set()
        first.result(10)


def test_a_busy_loop_of_coroutines_does_not_stop_def_tasks(app: TaskQ) -> None:
    release = threading.Event()

    @app.task
    async def block() -> None:
        assert release.wait(30)  # what a coroutine should not do

    @app.task
    def quick(number: int) -> int:
        return number

    with app.worker(concurrency=1):
        first = block.delay()
        wait_until(first.running)
        assert [quick.delay(number).result(10) for number in range(20)] == list(range(20))
        release.set()
        first.result(10)


def test_a_coroutine_that_blocks_its_loop_does_not_hold_others_work(make_app: MakeApp) -> None:
    app = make_app()
    blocked, release = threading.Event(), threading.Event()

    @app.task
    async def block() -> None:
        blocked.set()
        assert release.wait(30)

    @app.task
    async def quick(number: int) -> int:
        return number

    with app.worker():
        first = block.delay()
        assert blocked.wait(10)
        jobs = quick.delay_many([(number,) for number in range(20)])
        wait_until(lambda: sum(job.running() for job in jobs) < 20)
        with app.worker():
            assert [job.result(10) for job in jobs] == list(range(20))
        release.set()
        first.result(10)


def test_a_short_job_is_not_stuck_behind_a_long_one(app: TaskQ) -> None:
    """Pairs that wait for each other: each needs a slot of its own, at once and every time."""

    @app.task
    def wait_for(key: str) -> None:
        assert events[key].wait(10)

    @app.task
    def let_go(key: str) -> None:
        events[key].set()

    events = {str(number): threading.Event() for number in range(100)}
    with app.worker(concurrency=2):
        for key in events:
            pair = [wait_for.delay(key), let_go.delay(key)]
            for job in pair:
                job.result(10)
            claims = [job.claims for job in app.store.get([one.id for one in pair]) if job]
            assert claims == [1, 1], "one was held where it could not run, and given back"


def test_what_was_claimed_ahead_of_a_long_job_is_given_to_others(app: TaskQ) -> None:
    """Short jobs make the worker claim ahead; a long one among them does not hold the rest."""
    release = threading.Event()

    @app.task
    def short() -> None: ...

    @app.task
    def long() -> None:
        assert release.wait(30)

    with app.worker(concurrency=1):
        for job in short.delay_many([()] * 300):
            job.result(30)
        blocker = long.delay()
        behind = short.delay_many([()] * 50)
        wait_until(blocker.running)
        with app.worker(concurrency=1):
            for job in behind:
                job.result(10)
            assert blocker.running()
            release.set()
            blocker.result(10)
    assert {job.info().attempt for job in behind} == {1}


def test_an_idle_worker_starts_at_once(app: TaskQ) -> None:
    """RUN-12"""

    @app.task
    def now() -> float:
        return time.monotonic()

    with app.worker():
        now.delay().result(10)
        for _ in range(3):
            wait_for(0.3)
            asked = time.monotonic()
            assert now.delay().result(10) - asked < 1.0


def test_jobs_of_both_kinds_never_lie_ready(app: TaskQ) -> None:
    """Many small ones, of a lane that is full now and free in a moment."""

    @app.task
    def one() -> None: ...

    @app.task
    async def other() -> None: ...

    with app.worker(concurrency=2):
        for round_ in range(30):
            jobs = one.delay_many([()] * 100) + other.delay_many([()] * (round_ % 3))
            for job in jobs:
                job.result(10)


def test_many_jobs_that_end_in_an_instant_after_slow_ones(app: TaskQ) -> None:
    """One slot, nothing claimed ahead: every end races with the claim that waits."""

    @app.task
    def quick() -> None: ...

    @app.task
    def slow() -> None:
        wait_for(0.15)

    @app.task
    async def other() -> None: ...

    for _ in range(5):
        with app.worker(concurrency=1):
            slow.delay().result(10)
            for job in quick.delay_many([()] * 30):
                job.result(10)

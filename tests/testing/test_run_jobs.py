"""`taskq.testing.run_jobs`: the real worker, until there is nothing left to run."""

from __future__ import annotations

import asyncio
import threading
import time
import unittest
from datetime import timedelta

import pytest

from taskq import ConfigError, Fail, JobFailed, Snooze, State, TaskQ, current_job
from taskq.testing import TravelClock, arun_jobs, eager, recorded, run_jobs


@pytest.fixture
def app(tmp_path):
    """One whose own store is a file that must never be made."""
    app = TaskQ(f"sqlite:///{tmp_path}/own.db")
    yield app
    app.forget()
    assert not list(tmp_path.iterdir())


def test_it_runs_all_that_is_ready_and_what_that_enqueues(app):
    @app.task(queue="leaves")
    def leaf(n: int) -> int:
        return n

    @app.task
    async def root(n: int) -> int:
        await leaf.adelay(n)
        await leaf.using(queue="named-nowhere").adelay(n + 1)
        return n

    with recorded(app) as jobs:
        handle = root.delay(1)
        ran = run_jobs(app)
        assert (ran.succeeded, ran.failed, ran.waiting, ran.ended) == (3, 0, 0, 3)
        assert ran.jobs[0].task == root.name
        assert handle.result() == 1
        jobs.assert_enqueued(leaf, times=2)
        assert run_jobs(app).ended == 0
        assert str(ran) == "3 succeeded"
        assert str(run_jobs(app)) == "nothing ran"


def test_jobs_run_on_threads_of_the_worker_with_its_timeouts(app):
    threads = []

    @app.task(max_retry=0, timeout=0.1)
    def slow():
        threads.append(threading.current_thread())
        while True:
            time.sleep(0.001)

    with recorded(app):
        job = slow.delay()
        assert run_jobs(app).failed == 1
        assert job.exception().type == "taskq.errors.TimedOut"
    assert threads[0] is not threading.current_thread()


def test_one_after_the_other_unless_told_otherwise(app):
    both = threading.Barrier(2)
    order = []

    @app.task
    def note(n: int):
        order.append(n)

    @app.task
    def meet():
        both.wait(5)

    with recorded(app):
        note.delay_many([(n,) for n in range(50)])
        run_jobs(app)
        assert order == list(range(50))
        meet.delay_many([(), ()])
        assert run_jobs(app, concurrency=2).succeeded == 2


def test_retries_wait_for_the_clock(app):
    attempts = []

    @app.task(max_retry=3, backoff=3600)
    def flaky():
        attempts.append(current_job().attempt)
        if len(attempts) < 3:
            raise ConnectionError

    with recorded(app) as jobs:
        job = flaky.delay()
        ran = run_jobs(app)
        assert (ran.ended, ran.waiting) == (0, 1)
        assert job.state is State.RETRYING
        jobs.clock.travel(3600)
        run_jobs(app)
        assert attempts == [1, 2]
        jobs.clock.travel(timedelta(hours=1))
        assert run_jobs(app).succeeded == 1
    assert attempts == [1, 2, 3]


@pytest.mark.parametrize("clock", [None, TravelClock()])
def test_travel_goes_from_one_due_job_to_the_next(app, clock):
    times = []

    @app.task(max_retry=3, backoff=100)
    def work(n: int):
        times.append((n, round(jobs.clock.now() - start)))
        if n == 1 and current_job().attempt < 3:
            raise ConnectionError

    with recorded(app, clock=clock) as jobs:
        start = jobs.clock.now()
        work.delay(1)
        work.apply_at(150, 2)
        work.apply_at(timedelta(days=300), 3)
        ran = run_jobs(app, travel=True)
        assert (ran.succeeded, ran.waiting) == (3, 0)
    assert times == [(1, 0), (1, 100), (2, 150), (1, 200), (3, 300 * 86400)]


def test_travel_may_be_bounded(app):
    @app.task
    def work(): ...

    with recorded(app) as jobs:
        start = jobs.clock.now()
        work.apply_at(10)
        work.apply_at(100)
        ran = run_jobs(app, travel=timedelta(seconds=60))
        assert (ran.succeeded, ran.waiting) == (1, 1)
        assert 60 <= jobs.clock.now() - start < 70
        assert run_jobs(app, travel=30).succeeded == 0
        assert run_jobs(app, travel=30).succeeded == 1


def test_until(app):
    @app.task
    def poll(n: int) -> int:
        if n:
            raise Snooze(60, args=(n - 1,))
        return n

    @app.task
    def for_ever():
        raise Snooze(60)

    with recorded(app) as jobs:
        job = poll.delay(3)
        for_ever.delay()
        run_jobs(app, until=job.done, travel=True)
        assert job.result() == 0
        assert jobs.clock.now() > 0

    with recorded(app):
        late = poll.apply_at(0.2, 0)
        run_jobs(app, until=late.done)
        assert late.result() == 0


def test_until_stops_early(app):
    ran = []

    @app.task
    def endless(n: int):
        ran.append(n)
        endless.delay(n + 1)

    with recorded(app):
        endless.delay(0)
        run_jobs(app, until=lambda: len(ran) > 3)
        assert len(ran) > 3


def test_out_of_time_it_says_what_is_left(app):
    let_go = threading.Event()
    started = threading.Event()

    @app.task(name="shop.hangs")
    def hangs():
        started.set()
        while not let_go.is_set():
            time.sleep(0.001)

    @app.task(name="shop.later")
    def later(): ...

    with recorded(app):
        job = hangs.delay()
        later.apply_at(60)
        with pytest.raises(TimeoutError) as caught:
            run_jobs(app, timeout=0.1)
        assert "not all was done after 0.1 seconds" in str(caught.value)
        assert f"shop.hangs {job.id} is running" in str(caught.value)
        assert "is scheduled" in str(caught.value)
        with pytest.raises(TimeoutError, match=r"until\(\) was not true"):
            run_jobs(app, timeout=0.1, until=lambda: False)
    assert started.is_set()


def test_raise_errors_raises_the_tasks_own_exception_when_all_is_done(app):
    ran = []

    @app.task(max_retry=0)
    def work(n: int):
        ran.append(n)
        if n == 1:
            raise LookupError("number one")

    @app.task(max_retry=0)
    async def awork():
        raise ValueError("async")

    with recorded(app):
        work.delay_many([(0,), (1,), (2,)])
        with pytest.raises(LookupError, match="number one") as caught:
            run_jobs(app, raise_errors=True)
        assert ran == [0, 1, 2]
        assert [entry.name for entry in caught.traceback][-1] == "work"
        assert work.name in caught.value.__notes__[0]
        awork.delay()
        with pytest.raises(ValueError, match="async"):
            run_jobs(app, raise_errors=True)


def test_raise_errors_without_an_exception_of_the_task(app):
    @app.task
    def bad():
        return object()

    with recorded(app):
        bad.delay()
        with pytest.raises(JobFailed, match="EncodeError"):
            run_jobs(app, raise_errors=True)


def test_records_stay_however_far_the_clock_travels(app):
    @app.task(keep=60)
    def work() -> int:
        return 1

    with recorded(app) as jobs:
        job = work.delay()
        run_jobs(app)
        jobs.clock.travel(timedelta(days=900))
        app.store.prune()
        assert job.result() == 1


def test_the_app_is_as_it_was_before(app):
    @app.task(max_retry=0)
    def work():
        raise Fail

    with recorded(app):
        store, layers = app.store, list(app.layers)
        work.delay()
        assert str(run_jobs(app)) == "1 failed"
        assert app.store is store
        assert app.layers == layers


def test_counts_of_jobs_that_are_not_kept(app):
    @app.task(keep=0)
    def work(): ...

    with recorded(app):
        work.delay()
        ran = run_jobs(app)
        assert ran.succeeded == 1
        assert list(ran.jobs) == []


def test_cancelled_and_expired(app):
    @app.task
    def work():
        app.job(current_job().id).cancel()
        raise ValueError

    @app.task(expires=5)
    def old(): ...

    with recorded(app) as jobs:
        work.delay()
        old.delay()
        jobs.clock.travel(10)
        ran = run_jobs(app)
        assert (ran.cancelled, ran.expired) == (1, 1)
        assert {job.state for job in ran.jobs} == {State.CANCELLED, State.EXPIRED}


def test_a_paused_queue_is_left_alone(app):
    @app.task
    def work(): ...

    with recorded(app):
        app.inspector.pause("default")
        job = work.delay()
        assert run_jobs(app).ended == 0
        assert job.state is State.READY


def test_an_app_in_memory_needs_no_block():
    app = TaskQ("memory://")

    @app.task
    def work() -> int:
        return 1

    job = work.delay()
    assert run_jobs(app).succeeded == 1
    assert job.result() == 1
    with pytest.raises(ConfigError, match="recorded"):
        run_jobs(app, travel=True)
    app.forget()


def test_jobs_of_others_are_not_touched(app):
    with pytest.raises(ConfigError, match=r"sqlite:.*others.*with recorded\(app\)"):
        run_jobs(app)


def test_it_does_nothing_under_eager(app):
    @app.task
    def work(): ...

    with eager(app):
        work.delay()
        assert run_jobs(app).ended == 0


async def test_asyncio(app):
    @app.task
    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return 2 * n

    with recorded(app):
        job = await double.adelay(3)
        ran = await arun_jobs(app, raise_errors=True)
        assert ran.succeeded == 1
        assert await job == 6


class TestUnderUnittest(unittest.TestCase):
    """As a user would write it."""

    def setUp(self) -> None:
        self.app = TaskQ("memory://")
        self.addCleanup(self.app.forget)
        self.jobs = self.enterContext(recorded(self.app))

    def test_run(self):
        @self.app.task
        def add(a: int, b: int) -> int:
            return a + b

        job = add.delay(1, 2)
        self.jobs.assert_enqueued(add, args=(1, 2))
        assert run_jobs(self.app).succeeded == 1
        assert job.result() == 3

"""Lost leases, dead workers, and stores that go away."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from functools import partial
from typing import Any

import pytest

from taskq import (
    JobFailed,
    JobHandle,
    State,
    StoreUnavailable,
    TaskQ,
    WorkerInfo,
    WorkerStopping,
    current_job,
)
from taskq.stores.memory import MemoryStore
from tests.support.wait import wait_for, wait_until
from tests.worker.conftest import MakeApp


def test_a_worker_whose_lease_was_ended_changes_nothing_and_goes_on(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """CRS-09: the outcome under the old lease is refused; the job is run by its new holder."""
    app = make_app(lease=3)
    release = threading.Event()
    runs: list[str] = []

    @app.task
    def stubborn() -> str:
        runs.append("run")
        me = len(runs)
        try:
            assert release.wait(30)
        except WorkerStopping:
            pass
        return f"by run {me}"

    @app.task
    def fine() -> int:
        return 1

    with app.worker(concurrency=2) as worker:
        job = stubborn.delay()
        wait_until(job.running)
        old = worker.lease
        assert old is not None
        app.store.end(old)
        wait_until(lambda: worker.lease not in (None, old), 20)
        assert fine.delay().result(10) == 1, "it works under its new lease"
        with app.worker(concurrency=2):
            wait_until(lambda: len(runs) == 2, 20)
            release.set()
            assert job.result(10) == "by run 2"
            wait_until(lambda: "was refused" in caplog.text)
    assert job.state is State.SUCCEEDED
    assert job.info().deaths == 0, "a normal end sets them back"


def test_a_lost_lease_interrupts_what_runs(make_app: MakeApp) -> None:
    """CRS-09"""
    app = make_app(lease=3)
    started: list[str] = []
    interrupted: list[str] = []

    @app.task
    def busy() -> str:
        started.append("def")
        if started.count("def") == 1:
            try:
                while True:
                    pass
            except WorkerStopping:
                interrupted.append("def")
                raise
        return "done"

    @app.task
    async def sleepy() -> str:
        started.append("async")
        if started.count("async") == 1:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                interrupted.append("async")
                raise
        return "done"

    with app.worker(grace=1) as worker:
        jobs = [busy.delay(), sleepy.delay()]
        wait_until(lambda: len(started) == 2)
        assert worker.lease is not None
        app.store.end(worker.lease)
        wait_until(lambda: sorted(interrupted) == ["async", "def"])
        assert [job.result(30) for job in jobs] == ["done", "done"]


def test_only_the_dead_ones_jobs_are_recovered(make_app: MakeApp) -> None:
    """CRS-03, CRS-05"""
    app = make_app(lease=1)
    release = threading.Event()
    runs: list[str] = []

    @app.task
    def hold(who: str) -> str:
        runs.append(who)
        assert release.wait(30)
        return who

    lost = hold.delay("lost")
    dead = app.store.open(WorkerInfo(host="gone", pid=1), 0.2)
    (claim,) = app.store.claim(dead, 1, ["default"], {"thread": 1}).claims
    assert app.store.renew(dead, [claim.id]) == []
    with app.worker(concurrency=1):
        alive = hold.delay("alive")
        wait_until(alive.running)
        with app.worker(concurrency=1):
            wait_until(lambda: "lost" in runs, 20)
            release.set()
            assert (lost.result(10), alive.result(10)) == ("lost", "alive")
    assert sorted(runs) == ["alive", "lost"]
    info = lost.info()
    assert info.attempt == 1, "a death uses no attempt"
    assert info.errors[0].type.endswith("WorkerDied")
    assert alive.info().errors == []


def died(job: JobHandle[None], times: int) -> bool:
    return job.info().deaths == times


def test_a_job_that_kills_its_workers_fails_in_the_end(make_app: MakeApp) -> None:
    """CRS-07"""
    app = make_app(lease=1)

    @app.task(max_deaths=2)
    def pill() -> None: ...

    @app.task
    def good() -> int:
        return 1

    job = pill.delay()
    for number in range(2):
        dead = app.store.open(WorkerInfo(host="gone", pid=number), 30)
        (claim,) = app.store.claim(dead, 1, ["default"], {"thread": 1}).claims
        app.store.renew(dead, [claim.id])
        app.store.end(dead)
        app.inspector.pause("default")
        with app.worker():
            wait_until(partial(died, job, number + 1), 20)
        app.inspector.resume("default")
    with app.worker():
        assert good.delay().result(10) == 1
        with pytest.raises(JobFailed, match="WorkerDied"):
            job.result(10)
    assert job.info().errors[-1].reason == "killed its worker"


def test_claimed_and_never_started_is_nobodys_death(make_app: MakeApp) -> None:
    """CRS-08, CRS-11"""
    app = make_app(lease=1)

    @app.task
    def run() -> int:
        return 1

    job = run.delay()
    dead = app.store.open(WorkerInfo(host="gone", pid=1), 30)
    assert len(app.store.claim(dead, 1, ["default"], {"thread": 1}).claims) == 1
    app.store.end(dead)
    with app.worker():
        assert job.result(20) == 1
    assert (job.info().errors, job.info().deaths) == ([], 0)


def test_two_workers_share_the_work(app: TaskQ) -> None:
    by: list[Any] = []
    together = threading.Barrier(2)

    @app.task
    def meet() -> None:
        together.wait(20)
        by.append(current_job().id)

    with app.worker(concurrency=1), app.worker(concurrency=1):
        for job in meet.delay_many([()] * 10):
            job.result(30)
    assert len(set(by)) == 10


# -- a store that goes away ----------------------------------------------------------------------


class Leaving(MemoryStore):
    """A store that can go away and come back."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.broken = False

    def _there(self) -> None:
        if self.away:
            raise StoreUnavailable("it is away")
        if self.broken:
            raise RuntimeError("a defect")

    def claim(self, *args: Any, **kwargs: Any) -> Any:
        self._there()
        return super().claim(*args, **kwargs)

    def finish(self, *args: Any, **kwargs: Any) -> Any:
        self._there()
        return super().finish(*args, **kwargs)

    def renew(self, *args: Any, **kwargs: Any) -> Any:
        self._there()
        return super().renew(*args, **kwargs)

    def promote(self, *args: Any, **kwargs: Any) -> Any:
        self._there()
        return super().promote(*args, **kwargs)

    def lapsed(self) -> Any:
        self._there()
        return super().lapsed()


def test_a_store_that_goes_away_and_comes_back_is_served_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """NET-01, NET-02"""
    store = Leaving()
    app = TaskQ(store=store)
    release = threading.Event()
    runs: list[int] = []

    @app.task
    def hold(number: int) -> int:
        runs.append(number)
        assert release.wait(30)
        return number

    caplog.set_level(logging.INFO, "taskq")
    with app.worker():
        running = hold.delay(1)
        wait_until(lambda: runs == [1])
        store.away = True
        release.set()
        wait_for(0.5)
        waiting = hold.delay(2)
        assert running.state is State.RUNNING, "its end could not be written"
        store.away = False
        assert (running.result(20), waiting.result(20)) == (1, 2)
        wait_until(lambda: "the store is back (finisher)" in caplog.text)
    assert runs == [1, 2]
    told = [r.message for r in caplog.records if "the store is away" in r.message]
    assert len(told) == len(set(told)), "once for each role"
    app.forget()


def test_a_worker_stops_though_its_store_is_away() -> None:
    """STP-06"""
    store = Leaving()
    app = TaskQ(store=store)

    @app.task
    def run() -> int:
        return 1

    with app.worker(grace=0.1):
        run.delay().result(10)
        store.away = True
        started = time.monotonic()
    assert time.monotonic() - started < 12
    app.forget()


def test_a_worker_that_breaks_is_not_alive_and_idle(caplog: pytest.LogCaptureFixture) -> None:
    """An unforeseen error ends it, loudly, and it takes no further jobs."""
    store = Leaving()
    app = TaskQ(store=store)

    @app.task
    def run() -> int:
        return 1

    with app.worker(grace=0.1) as worker:
        run.delay().result(10)
        store.broken = True
        run.delay()
        assert worker.wait(10)
        assert worker.broken
        store.broken = False
        wait_for(0.2)
        later = run.delay()
        wait_for(0.3)
        assert later.state is State.READY
    assert "unforeseen error" in caplog.text
    app.forget()

"""Cancelling jobs that wait and jobs that run."""

from __future__ import annotations

import asyncio
import threading

import pytest

from taskq import (
    JobCancelled,
    State,
    TaskQ,
)
from tests.support.wait import wait_until


def test_a_waiting_job_that_is_cancelled_never_runs(app: TaskQ) -> None:
    """RES-03"""
    ran: list[int] = []

    @app.task
    def run(number: int) -> None:
        ran.append(number)

    first, second = run.delay(1), run.delay(2)
    assert first.cancel() is True
    assert first.cancel() is False, "it has ended"
    with app.worker():
        second.result(10)
        with pytest.raises(JobCancelled, match=first.id):
            first.result(10)
    assert ran == [2]
    assert first.state is State.CANCELLED
    assert first.cancelled()


def test_a_running_async_job_gets_the_cancellation(app: TaskQ) -> None:
    """RES-04"""
    cleaned = threading.Event()

    @app.task(max_retry=5, backoff=None)
    async def sleepy() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cleaned.set()
            raise

    with app.worker():
        job = sleepy.delay()
        wait_until(job.running)
        assert job.cancel() is True
        with pytest.raises(JobCancelled):
            job.result(10)
        assert cleaned.is_set()
    assert job.state is State.CANCELLED


def test_a_running_def_job_is_interrupted(app: TaskQ) -> None:
    """RES-04"""

    @app.task(max_retry=5, backoff=None)
    def busy() -> None:
        while True:
            pass

    @app.task
    def fine() -> int:
        return 1

    with app.worker(concurrency=1):
        job = busy.delay()
        wait_until(job.running)
        assert job.cancel() is True
        with pytest.raises(JobCancelled):
            job.result(10)
        assert fine.delay().result(10) == 1


def test_a_job_that_is_cancelled_and_succeeds_stays_succeeded(app: TaskQ) -> None:
    """RES-04"""

    @app.task
    def looks_itself() -> str:
        from taskq import CancelRequested, current_job

        try:
            while not current_job().cancelled:
                pass
        except CancelRequested:
            pass
        return "cleaned up"

    with app.worker():
        job = looks_itself.delay()
        wait_until(job.running)
        job.cancel()
        assert job.result(10) == "cleaned up"
    assert job.state is State.SUCCEEDED
    assert job.cancel() is False


@pytest.mark.parametrize("end", ["fail", "retry", "snooze"])
def test_any_other_end_of_a_cancelled_job_is_cancelled(app: TaskQ, end: str) -> None:
    """RES-04"""
    from taskq import Retry, Snooze

    asked = threading.Event()

    @app.task(max_retry=5, backoff=60)
    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            asked.set()
            if end == "fail":
                raise ValueError("anyway") from None
            raise (Retry(delay=60) if end == "retry" else Snooze(60)) from None

    with app.worker():
        job = stubborn.delay()
        wait_until(job.running)
        job.cancel()
        with pytest.raises(JobCancelled):
            job.result(10)
    assert asked.is_set()


def test_many_running_jobs_are_cancelled(app: TaskQ) -> None:
    """RES-04"""

    @app.task
    async def sleepy() -> None:
        await asyncio.sleep(60)

    with app.worker():
        jobs = sleepy.delay_many([()] * 50)
        wait_until(lambda: all(job.running() for job in jobs))
        assert set(app.inspector.cancel([job.id for job in jobs])) == {"asked"}
        for job in jobs:
            with pytest.raises(JobCancelled):
                job.result(10)


async def test_cancel_in_asyncio(aapp: TaskQ) -> None:
    """RES-03"""

    @aapp.task
    def run() -> None: ...

    job = await run.adelay()
    assert await job.acancel() is True
    with pytest.raises(JobCancelled):
        await job

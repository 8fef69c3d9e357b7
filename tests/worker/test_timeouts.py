"""The time limit of an attempt."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from taskq import (
    State,
    TaskQ,
    TimedOut,
    current_job,
)
from tests.support.gauge import Gauge
from tests.support.wait import wait_for


def test_a_busy_task_is_interrupted_at_its_timeout(app: TaskQ) -> None:
    """RUN-13"""

    @app.task(timeout=0.2, max_retry=0)
    def busy() -> None:
        while True:
            pass

    @app.task
    def fine() -> int:
        return 1

    with app.worker(concurrency=1):
        started = time.monotonic()
        raised = busy.delay().exception(10)
        assert raised is not None
        assert raised.type == "taskq.errors.TimedOut"
        assert "0.2 s" in raised.message
        assert 0.2 <= time.monotonic() - started < 3
        assert fine.delay().result(10) == 1, "its slot is free again"


def test_an_async_task_is_interrupted_at_its_timeout(app: TaskQ) -> None:
    """RUN-13"""
    cleaned = threading.Event()

    @app.task(timeout=0.1, max_retry=0)
    async def sleepy() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.set()

    with app.worker():
        raised = sleepy.delay().exception(10)
    assert raised is not None
    assert raised.type == "taskq.errors.TimedOut"
    assert cleaned.is_set()


def test_a_timeout_counts_as_a_failed_attempt(app: TaskQ) -> None:
    """RUN-13"""
    attempts = []

    @app.task(timeout=0.1, max_retry=2, backoff=None)
    async def sleepy() -> int:
        attempts.append(current_job().attempt)
        if len(attempts) < 3:
            await asyncio.sleep(60)
        return len(attempts)

    with app.worker():
        job = sleepy.delay()
        assert job.result(10) == 3
    assert attempts == [1, 2, 3]
    assert [error.type for error in job.info().errors] == ["taskq.errors.TimedOut"] * 2


def test_a_task_can_catch_its_timeout_and_clean_up(app: TaskQ) -> None:
    """RUN-14"""

    @app.task(timeout=0.1)
    def careful() -> str:
        try:
            while True:
                pass
        except TimedOut:
            return "in time"

    @app.task(timeout=0.1)
    async def acareful() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "in time"
        return "too late"

    with app.worker():
        assert careful.delay().result(10) == "in time"
        assert acareful.delay().result(10) == "in time"


def test_except_exception_does_not_swallow_a_timeout(app: TaskQ) -> None:
    """RUN-13"""

    @app.task(timeout=0.1, max_retry=0)
    def stubborn() -> None:
        while True:
            try:
                while True:
                    pass
            except Exception:
                pass

    with app.worker():
        raised = stubborn.delay().exception(10)
    assert raised is not None
    assert raised.type == "taskq.errors.TimedOut"


def test_a_timeout_of_the_call_counts_more_than_the_tasks(app: TaskQ) -> None:
    @app.task(timeout=60, max_retry=0)
    async def sleepy() -> None:
        await asyncio.sleep(60)

    with app.worker():
        raised = sleepy.using(timeout=0.1).delay().exception(10)
    assert raised is not None
    assert raised.type == "taskq.errors.TimedOut"


def test_a_timeout_that_comes_while_middleware_enters_is_not_lost(app: TaskQ) -> None:
    @app.middleware
    @contextlib.contextmanager
    def slow(job: Any) -> Iterator[None]:
        wait_for(0.3)
        yield

    @app.task(timeout=0.1, max_retry=0)
    def busy() -> None:
        while True:
            pass

    @app.task(timeout=0.1, max_retry=0)
    async def sleepy() -> None:
        await asyncio.sleep(60)

    with app.worker():
        for task in (busy, sleepy):
            started = time.monotonic()
            raised = task.delay().exception(20)
            assert raised is not None
            assert raised.type == "taskq.errors.TimedOut"
            assert time.monotonic() - started < 3, "it was given up rather than interrupted"


def test_a_task_that_hangs_is_given_up_and_its_thread_replaced(app: TaskQ) -> None:
    """RUN-13: a C call that blocks cannot be interrupted."""
    release = threading.Event()

    @app.task(timeout=0.1, max_retry=0)
    def hang() -> None:
        release.wait(30)

    gauge = Gauge()

    @app.task
    def together() -> None:
        with gauge:
            wait_for(0.02)

    with app.worker(concurrency=1, stuck_after=0.2):
        job = hang.delay()
        raised = job.exception(10)
        assert raised is not None
        assert raised.type == "taskq.errors.TimedOut"
        for one in together.delay_many([()] * 10):
            one.result(10)
        assert gauge.most == 1, "while it hangs"
        release.set()
        for one in together.delay_many([()] * 10):
            one.result(10)
        assert gauge.most == 1, "after it came back"
        assert job.state is State.FAILED

"""Middleware: the same context manager around def and async def tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import pytest

from taskq import Cancel, JobContext, State, TaskQ, current_job


@pytest.fixture(params=["def", "async def"])
def double(request: pytest.FixtureRequest, app: TaskQ) -> Any:
    if request.param == "def":

        @app.task(name="double", max_retry=0)
        def double(number: int) -> int:
            if number < 0:
                raise ValueError("negative")
            return number * 2

        return double

    @app.task(name="double", max_retry=0)
    async def adouble(number: int) -> int:
        await asyncio.sleep(0)
        if number < 0:
            raise ValueError("negative")
        return number * 2

    return adouble


def test_it_is_entered_and_left_around_each_run_the_first_one_outermost(
    app: TaskQ, double: Any
) -> None:
    seen: list[str] = []

    def layer(name: str) -> Any:
        @app.middleware
        @contextmanager
        def around(job: JobContext) -> Iterator[None]:
            seen.append(f"into {name} {job.args}")
            assert current_job() is job
            yield
            seen.append(f"out of {name}")

        return around

    layer("outer")
    layer("inner")
    with app.worker():
        assert double.delay(4).result(10) == 8
    assert seen == ["into outer (4,)", "into inner (4,)", "out of inner", "out of outer"]


def test_it_sees_the_tasks_exception_and_may_replace_it(app: TaskQ, double: Any) -> None:
    seen: list[BaseException] = []

    @app.middleware
    @contextmanager
    def translate(job: JobContext) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            seen.append(error)
            raise KeyError("translated") from error

    with app.worker():
        raised = double.delay(-1).exception(10)
    assert raised is not None
    assert raised.type == "KeyError"
    assert "ValueError: negative" in raised.traceback
    assert [str(error) for error in seen] == ["negative"]


@pytest.mark.parametrize("when", ["made", "entered", "left"])
def test_one_that_raises_fails_the_attempt_and_not_the_worker(
    app: TaskQ, double: Any, when: str
) -> None:
    """RUN-16"""
    broken = [True]

    @app.middleware
    def layer(job: JobContext) -> Any:
        if not broken[0]:
            return nullcontext()
        if when == "made":
            raise RuntimeError("when made")
        return around()

    @contextmanager
    def around() -> Iterator[None]:
        if when == "entered":
            raise RuntimeError("when entered")
        yield
        raise RuntimeError("when left")

    with app.worker(concurrency=1):
        raised = double.delay(4).exception(10)
        assert raised is not None
        assert (raised.type, raised.message) == ("RuntimeError", f"when {when}")
        broken[0] = False
        assert double.delay(4).result(10) == 8


def test_one_that_raises_is_tried_again_like_the_task(app: TaskQ) -> None:
    """RUN-16"""

    @app.middleware
    @contextmanager
    def layer(job: JobContext) -> Iterator[None]:
        if job.attempt < 3:
            raise RuntimeError("not yet")
        yield

    @app.task(max_retry=2, backoff=None)
    def run() -> int:
        return current_job().attempt

    with app.worker():
        assert run.delay().result(10) == 3


def test_it_may_decide_the_jobs_fate(app: TaskQ, double: Any) -> None:
    @app.middleware
    @contextmanager
    def veto(job: JobContext) -> Iterator[None]:
        if job.args == (13,):
            raise Cancel("unlucky")
        yield

    with app.worker():
        job = double.delay(13)
        with pytest.raises(Exception, match="cancelled"):
            job.result(10)
        assert job.state is State.CANCELLED
        assert double.delay(4).result(10) == 8


def test_the_outer_one_is_left_when_the_inner_one_raises(app: TaskQ, double: Any) -> None:
    left: list[str] = []

    @app.middleware
    @contextmanager
    def outer(job: JobContext) -> Iterator[None]:
        try:
            yield
        finally:
            left.append("outer")

    @app.middleware
    @contextmanager
    def inner(job: JobContext) -> Iterator[None]:
        if job.args:
            raise RuntimeError("no")
        yield

    with app.worker():
        double.delay(4).exception(10)
    assert left == ["outer"]


def test_its_context_variables_reach_the_task_and_nobody_else(app: TaskQ) -> None:
    tenant: ContextVar[str] = ContextVar("tenant", default="nobody")

    @app.middleware
    @contextmanager
    def set_tenant(job: JobContext) -> Iterator[None]:
        if "tenant" not in job.headers:
            yield
            return
        token = tenant.set(job.headers["tenant"])
        yield
        tenant.reset(token)

    @app.task
    def who() -> str:
        return tenant.get()

    @app.task
    async def awho() -> str:
        await asyncio.sleep(0.01)
        return tenant.get()

    with app.worker(concurrency=2):
        for task in (who, awho):
            jobs = [
                task.using(headers={"tenant": name}).delay() if name else task.delay()
                for name in ("a", "", "b", "", "c")
            ]
            assert [job.result(10) for job in jobs] == ["a", "nobody", "b", "nobody", "c"]


def test_a_direct_call_has_no_middleware(app: TaskQ) -> None:
    entered: list[Any] = []

    @app.middleware
    @contextmanager
    def layer(job: JobContext) -> Iterator[None]:
        entered.append(job)
        yield

    @app.task
    def run() -> int:
        return 1

    assert run() == 1
    assert entered == []

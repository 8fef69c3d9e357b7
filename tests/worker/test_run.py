"""Running: once, and whatever a task does to its worker."""

from __future__ import annotations

import asyncio
import collections
import contextvars
import logging
import threading
import weakref
from typing import Any

import pytest

from taskq import (
    EncodeError,
    JobFailed,
    State,
    TaskNotFound,
    TaskQ,
    current_job,
)
from taskq.job import NewJob, new_id
from tests.support.wait import wait_for, wait_until
from tests.worker.conftest import MakeApp


def test_every_job_runs_once(app: TaskQ) -> None:
    """RUN-01"""
    runs: collections.Counter[int] = collections.Counter()

    @app.task
    def count(number: int) -> None:
        runs[number] += 1

    @app.task
    async def acount(number: int) -> None:
        runs[number] += 1

    with app.worker(concurrency=4):
        jobs = count.delay_many([(n,) for n in range(200)])
        jobs += acount.delay_many([(n,) for n in range(200, 400)])
        for job in jobs:
            job.result(30)
    assert runs == dict.fromkeys(range(400), 1)


def test_a_job_longer_than_its_lease_runs_once(make_app: MakeApp) -> None:
    """RUN-02, RUN-03: the lease is renewed, and a second worker leaves the job alone."""
    app = make_app(lease=1)
    runs: list[str] = []
    release = threading.Event()

    @app.task
    def long() -> int:
        runs.append(current_job().id)
        assert release.wait(30)
        return len(runs)

    with app.worker(), app.worker():
        job = long.delay()
        wait_until(lambda: runs)
        wait_for(2.5)
        assert job.running()
        release.set()
        assert job.result(10) == 1
    assert job.info().attempt == 1


@pytest.mark.parametrize(
    "result",
    [object(), open, {1, object()}, float("nan")],
    ids=["object", "function", "set", "nan"],
)
def test_a_result_that_cannot_be_stored_is_a_failure(app: TaskQ, result: Any) -> None:
    """RUN-04"""
    runs = []

    @app.task
    def give() -> Any:
        runs.append(1)
        return result

    @app.task
    async def agive() -> Any:
        return result

    with app.worker():
        for task in (give, agive):
            with pytest.raises(JobFailed, match="the result") as raised:
                task.delay().result(10)
            assert raised.value.type == "taskq.errors.EncodeError"
    assert runs == [1], "it is not tried again"


def test_a_result_that_holds_itself_is_a_failure(app: TaskQ) -> None:
    """RUN-04"""

    @app.task
    def give() -> Any:
        circle: list[Any] = []
        circle.append(circle)
        return circle

    with app.worker():
        error = give.delay().exception(10)
    assert error is not None
    assert "holds itself" in error.message


@pytest.mark.parametrize(
    "error",
    [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()],
    ids=repr,
)
def test_what_is_no_exception_is_a_failure_and_the_worker_goes_on(
    app: TaskQ, error: BaseException
) -> None:
    """RUN-05"""

    @app.task(max_retry=0)
    def leave() -> None:
        raise error

    @app.task(max_retry=0)
    async def aleave() -> None:
        raise error

    @app.task
    def fine() -> int:
        return 1

    @app.task
    async def afine() -> int:
        return 2

    with app.worker(concurrency=1):
        for task in (leave, aleave):
            raised = task.delay().exception(10)
            assert raised is not None
            assert raised.type.endswith(type(error).__name__)
        assert (fine.delay().result(10), afine.delay().result(10)) == (1, 2)


def test_what_leaves_the_event_loop_does_not_end_it(app: TaskQ) -> None:
    """asyncio lets SystemExit out of the loop, and any task can stop the loop."""

    @app.task(max_retry=0)
    async def astray() -> str:
        async def leave() -> None:
            raise SystemExit(1)

        side = asyncio.create_task(leave())
        await asyncio.wait([side])
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0)
        return type(side.exception()).__name__

    with app.worker():
        assert astray.delay().result(10) == "SystemExit"
        assert astray.delay().result(10) == "SystemExit"


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "error",
    [Mute(), ValueError("\udcff\0\ud800"), ValueError(b"\xff" * 10**6)],
    ids=["mute", "zany", "large"],
)
def test_a_failure_is_stored_whatever_its_text(
    app: TaskQ, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """RUN-06"""
    # What pytest would capture of the log cannot travel between its own processes.
    caplog.set_level(logging.CRITICAL, "taskq")

    @app.task(max_retry=0)
    def fail() -> None:
        raise error

    with app.worker():
        job = fail.delay()
        raised = job.exception(10)
    assert raised is not None
    assert raised.type.endswith(type(error).__name__)
    assert job.info().errors[0].attempt == 1


def test_a_job_of_an_unknown_task_waits_until_the_task_is_known(app: TaskQ) -> None:
    """RUN-07"""
    with app.worker():
        job = app.enqueue("later.add", 1, 2)
        wait_until(lambda: job.state is State.RETRYING)
        info = job.info()
        assert info.attempt == 0, "it uses no attempt"
        assert "later.add" in info.errors[0].message
        assert info.errors[0].type == "taskq.errors.TaskNotFound"

        @app.task(name="later.add")
        def add(a: int, b: int) -> int:
            return a + b

        assert job.result(30) == 3
        assert job.info().attempt == 1


def test_a_task_that_stays_unknown_fails(make_app: MakeApp) -> None:
    """RUN-07"""
    app = make_app(unknown_after=0)

    @app.task
    def known() -> int:
        return 1

    with app.worker():
        job = app.enqueue("never.known")
        with pytest.raises(JobFailed, match=r"never\.known"):
            job.result(10)
        assert job.info().errors[-1].reason == "its task stayed unknown"
        assert known.delay().result(10) == 1


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff\xfe",
        b"",
        b"[]",
        b'{"a": 5}',
        b'{"a": [1, 2, 3]}',
        b'{"k": {"other": 1}}',
        b"[" * 9999,
    ],
    ids=lambda payload: repr(payload)[:20],
)
def test_bytes_that_are_no_call_are_set_aside(app: TaskQ, payload: bytes) -> None:
    """RUN-08"""
    runs = []

    @app.task
    def double(number: int) -> int:
        runs.append(number)
        return number * 2

    bad = NewJob(id=new_id(), task=double.name, payload=payload)
    app.store.enqueue([bad])
    good = double.delay(4)
    with app.worker(concurrency=1):
        assert good.result(10) == 8
        job = app.job(bad.id)
        raised = job.exception(10)
    assert raised is not None
    assert raised.type == "taskq.errors.DecodeError"
    assert job.info().errors[0].reason == "its arguments cannot be read"
    assert runs == [4]


def test_options_that_travelled_and_are_nonsense_are_set_aside(app: TaskQ) -> None:
    """RUN-08"""

    @app.task
    def double(number: int) -> int:
        return number * 2

    bad = NewJob(id=new_id(), task=double.name, payload=b'{"a": [1], "o": {"max_retry": "x"}}')
    app.store.enqueue([bad])
    with app.worker():
        raised = app.job(bad.id).exception(10)
    assert raised is not None
    assert raised.type == "taskq.errors.DecodeError"


@pytest.mark.parametrize("error", [TaskNotFound("x"), EncodeError("x")], ids=repr)
def test_taskqs_own_errors_in_a_task_count_as_any_failure(app: TaskQ, error: Exception) -> None:
    """They come from what the task did with taskq, not from the worker."""
    runs = []

    @app.task(max_retry=1, backoff=None)
    def fail() -> None:
        runs.append(1)
        raise error

    with app.worker():
        raised = fail.delay().exception(10)
    assert raised is not None
    assert raised.type.endswith(type(error).__name__)
    assert len(runs) == 2


def test_context_variables_do_not_leak_from_job_to_job(app: TaskQ) -> None:
    word: contextvars.ContextVar[str] = contextvars.ContextVar("word", default="none")

    @app.task
    def say(text: str) -> str:
        before = word.get()
        word.set(text)
        return before

    @app.task
    async def asay(text: str) -> str:
        before = word.get()
        word.set(text)
        await asyncio.sleep(0.01)
        assert word.get() == text
        return before

    word.set("outside")
    with app.worker(concurrency=1):
        for task in (say, asay):
            jobs = task.delay_many([("a",), ("b",), ("c",)])
            assert {job.result(10) for job in jobs} == {"none"}
    assert word.get() == "outside"


def test_the_current_job_is_each_tasks_own(app: TaskQ) -> None:
    @app.task
    def who() -> str:
        return current_job().id

    @app.task
    async def awho() -> str:
        await asyncio.sleep(0.01)
        return current_job().id

    with app.worker(concurrency=4):
        jobs = who.delay_many([()] * 20) + awho.delay_many([()] * 20)
        assert [job.result(10) for job in jobs] == [job.id for job in jobs]
    with pytest.raises(RuntimeError):
        current_job()


def test_an_exception_does_not_keep_the_tasks_values_alive(
    app: TaskQ, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "taskq")  # what pytest records it keeps

    class Big:
        pass

    refs: list[Any] = []

    @app.task(max_retry=0)
    def fail() -> None:
        big = Big()
        refs.append(weakref.ref(big))
        raise ValueError("no")

    with app.worker(concurrency=1):
        fail.delay().exception(10)
        wait_until(lambda: refs[0]() is None)

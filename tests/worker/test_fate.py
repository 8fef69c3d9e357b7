"""Tasks that decide their own fate: Retry, Snooze, Cancel, Fail, checkpoints, new arguments."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskq import (
    Cancel,
    Fail,
    JobCancelled,
    JobFailed,
    Retry,
    Snooze,
    State,
    TaskQ,
    current_job,
)
from tests.support.wait import wait_until


@pytest.fixture(params=["def", "async def"])
def declare(request: pytest.FixtureRequest, app: TaskQ) -> Iterator[Any]:
    """Makes a task of a function, in either kind."""

    def make(fn: Any, **options: Any) -> Any:
        if request.param == "def":
            return app.task(name="it", **options)(fn)

        async def afn(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0)
            return fn(*args, **kwargs)

        return app.task(name="it", **options)(afn)

    with app.worker():
        yield make


def test_retry_tries_again_and_uses_an_attempt(declare: Any) -> None:
    attempts: list[int] = []

    def fn() -> int:
        attempts.append(current_job().attempt)
        if len(attempts) < 3:
            raise Retry("wait for it", delay=0)
        return len(attempts)

    job = declare(fn, max_retry=2).delay()
    assert job.result(10) == 3
    assert attempts == [1, 2, 3]
    assert job.info().errors[0].message == "wait for it"


def test_retry_beyond_the_last_attempt_fails(declare: Any) -> None:
    def fn() -> None:
        raise Retry("never", delay=0)

    job = declare(fn, max_retry=1).delay()
    with pytest.raises(JobFailed, match=r"taskq\.errors\.Retry: never"):
        job.result(10)
    assert job.info().attempt == 2


def test_retry_with_other_arguments_priority_and_delay(declare: Any) -> None:
    seen: list[Any] = []

    def fn(*args: Any, **kwargs: Any) -> None:
        seen.append((args, kwargs, current_job().priority, current_job().headers))
        if len(seen) == 1:
            raise Retry(delay=0.05, priority=7, args=(2,), kwargs={"more": [3]})

    task = declare(fn)
    task.using(headers={"trace": "1"}, tags=["x"]).delay(1).result(10)
    assert seen == [
        ((1,), {}, 0, {"trace": "1"}),
        ((2,), {"more": [3]}, 7, {"trace": "1"}),
    ]


def test_changed_arguments_keep_the_options_of_the_call(declare: Any) -> None:
    attempts: list[int] = []

    def fn(*args: Any) -> None:
        attempts.append(current_job().attempt)
        raise Retry(delay=0, args=(len(attempts),))

    declare(fn, max_retry=9).using(max_retry=2).delay().exception(10)
    assert attempts == [1, 2, 3]


def test_arguments_that_do_not_fit_are_the_attempts_failure(app: TaskQ) -> None:
    @app.task(max_retry=0)
    def fn(number: int) -> None:
        raise Retry(delay=0, args=(1, 2, 3))

    with app.worker():
        raised = fn.delay(1).exception(10)
    assert raised is not None
    assert raised.type == "TypeError"


@pytest.mark.parametrize("priority", [101, "high", 1.5])
def test_a_priority_out_of_range_is_the_attempts_failure(declare: Any, priority: Any) -> None:
    """ORD-03"""

    def fn() -> None:
        raise Retry(delay=0, priority=priority)

    raised = declare(fn, max_retry=0).delay().exception(10)
    assert raised is not None
    assert raised.type == "taskq.errors.InvalidOption"


def test_snooze_uses_no_attempt(declare: Any) -> None:
    """RTY-13"""
    attempts: list[int] = []

    def fn() -> int:
        attempts.append(current_job().attempt)
        if len(attempts) < 5:
            raise Snooze(0.01)
        return len(attempts)

    job = declare(fn, max_retry=0).delay()
    assert job.result(10) == 5
    assert attempts == [1] * 5
    assert (job.info().attempt, job.info().errors) == (1, [])


def test_a_job_of_several_steps_moves_itself_on(declare: Any) -> None:
    steps: list[Any] = []

    def fn(step: int, *, name: str = "") -> str:
        steps.append((step, name))
        if step < 3:
            raise Snooze(timedelta(0), args=(step + 1,), kwargs={"name": f"step {step + 1}"})
        return "all done"

    assert declare(fn, max_retry=0).delay(1).result(10) == "all done"
    assert steps == [(1, ""), (2, "step 2"), (3, "step 3")]


def test_a_snooze_waits_as_scheduled(declare: Any) -> None:
    def fn() -> None:
        raise Snooze(datetime.now(UTC) + timedelta(days=2))

    job = declare(fn).delay()
    wait_until(lambda: job.state is State.SCHEDULED)
    due = job.info().due_at
    assert due is not None
    assert abs(due - datetime.now(UTC) - timedelta(days=2)) < timedelta(minutes=1)


def test_cancel_ends_the_job(declare: Any) -> None:
    def fn() -> None:
        raise Cancel("no longer wanted")

    job = declare(fn).delay()
    with pytest.raises(JobCancelled):
        job.result(10)
    assert job.cancelled()
    assert job.info().errors[0].message == "no longer wanted"


def test_fail_ends_the_job_whatever_attempts_are_left(declare: Any) -> None:
    def fn() -> None:
        raise Fail("hopeless")

    job = declare(fn, max_retry=25).delay()
    with pytest.raises(JobFailed, match="hopeless"):
        job.result(10)
    info = job.info()
    assert (info.attempt, info.errors[0].reason) == (1, "the task gave up")


@pytest.mark.parametrize("delay", [1e300, 1e12])
def test_an_absurd_delay_does_not_break_the_worker(declare: Any, delay: float) -> None:
    def fn(absurd: bool) -> int:
        if absurd:
            raise Retry(delay=delay)
        return 1

    task = declare(fn)
    job = task.delay(True)
    wait_until(lambda: job.state is State.RETRYING)
    assert task.delay(False).result(10) == 1
    assert job.info().due_at is not None


# -- checkpoints and changed arguments -----------------------------------------------------------


def test_the_next_attempt_goes_on_from_the_checkpoint(declare: Any) -> None:
    ran: list[int] = []

    def fn() -> list[int]:
        job = current_job()
        begin = job.checkpoint() or 0
        for number in range(begin, 6):
            if number == 3 and job.attempt == 1:
                raise ValueError("in the middle")
            ran.append(number)
            job.checkpoint(number + 1)
        return ran

    assert declare(fn, max_retry=1, backoff=None).delay().result(10) == [0, 1, 2, 3, 4, 5]


def test_a_checkpoint_can_be_read_back_at_once(declare: Any) -> None:
    def fn() -> list[Any]:
        job = current_job()
        first = job.checkpoint()
        job.checkpoint({"page": 3, "seen": [1, 2]})
        second = job.checkpoint()
        job.checkpoint(None)
        return [first, second, job.checkpoint()]

    assert declare(fn).delay().result(10) == [None, {"page": 3, "seen": [1, 2]}, None]


def test_update_changes_the_arguments_of_the_next_attempt(declare: Any) -> None:
    seen: list[Any] = []

    def fn(*args: Any, **kwargs: Any) -> None:
        seen.append((args, kwargs))
        if len(seen) == 1:
            current_job().update(2, more=3)
            raise ValueError("again")

    job = declare(fn, max_retry=1, backoff=None).delay(1)
    job.result(10)
    assert seen == [((1,), {}), ((2,), {"more": 3})]
    assert job.info().args == (2,)


def test_update_refuses_what_does_not_fit(app: TaskQ) -> None:
    @app.task
    def fn(number: int) -> str:
        with pytest.raises(TypeError, match="missing"):
            current_job().update()
        return "told"

    with app.worker():
        assert fn.delay(1).result(10) == "told"


def test_what_a_task_knows_of_its_job(app: TaskQ) -> None:
    @app.task(queue="mail", max_retry=7, tags=["a"])
    def fn(number: int, *, word: str) -> dict[str, Any]:
        job = current_job()
        assert job.app is app
        assert job.deadline is not None
        assert abs(job.deadline - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
        return {
            "id": job.id,
            "task": job.task,
            "queue": job.queue,
            "attempt": job.attempt,
            "priority": job.priority,
            "args": list(job.args),
            "kwargs": job.kwargs,
            "headers": dict(job.headers),
            "tags": list(job.tags),
            "max_retry": job.max_retry,
            "cancelled": job.cancelled,
            "repr": repr(job),
        }

    call = fn.using(priority=3, tags=["b"], headers={"trace": "1"}, deadline=3600, max_retry=2)
    with app.worker():
        job = call.delay(5, word="x")
        assert job.result(10) == {
            "id": job.id,
            "task": fn.name,
            "queue": "mail",
            "attempt": 1,
            "priority": 3,
            "args": [5],
            "kwargs": {"word": "x"},
            "headers": {"trace": "1"},
            "tags": ["a", "b"],
            "max_retry": 2,
            "cancelled": False,
            "repr": f"<JobContext {fn.name} {job.id} attempt 1>",
        }

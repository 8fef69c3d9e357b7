"""Failures, retries, and tasks that decide their own fate."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest

from taskq import (
    JobFailed,
    JobNotFound,
    State,
    TaskQ,
    current_job,
)
from tests.support.wait import wait_for, wait_until
from tests.worker.conftest import MakeApp


@pytest.mark.parametrize("max_retry", [0, 1, 3])
def test_a_job_that_always_fails_runs_max_retry_plus_one_times(app: TaskQ, max_retry: int) -> None:
    """RTY-01, RTY-02"""
    attempts: list[int] = []

    @app.task(max_retry=max_retry, backoff=None)
    def fail() -> None:
        attempts.append(current_job().attempt)
        raise ValueError(f"no {len(attempts)}")

    with app.worker():
        job = fail.delay()
        with pytest.raises(JobFailed, match=f"ValueError: no {max_retry + 1}") as raised:
            job.result(10)
        wait_for(0.1)
    assert attempts == list(range(1, max_retry + 2))
    assert "in fail" in raised.value.traceback
    assert job.state is State.FAILED


def test_max_retry_of_a_call_counts_more_than_the_tasks(app: TaskQ) -> None:
    """RTY-02"""
    attempts = []

    @app.task(max_retry=5, backoff=None)
    def fail() -> None:
        attempts.append(1)
        raise ValueError

    with app.worker():
        fail.using(max_retry=1).delay().exception(10)
    assert len(attempts) == 2


def test_every_failed_attempt_can_be_read(app: TaskQ) -> None:
    """RTY-14"""

    @app.task(max_retry=2, backoff=0.01)
    def fail() -> None:
        raise [KeyError("a"), OSError("b"), ValueError("c")][current_job().attempt - 1]

    with app.worker():
        job = fail.delay()
        job.exception(10)
    info = job.info()
    assert [(e.type, e.message, e.attempt) for e in info.errors] == [
        ("KeyError", "'a'", 1),
        ("OSError", "b", 2),
        ("ValueError", "c", 3),
    ]
    assert [e.reason for e in info.errors] == ["", "", "out of attempts"]
    times = [e.at for e in info.errors]
    assert times == sorted(times)
    assert abs(datetime.now(UTC).timestamp() - times[-1]) < 60
    assert info.attempt == 3


def test_a_success_after_failures_keeps_the_errors(app: TaskQ) -> None:
    """RTY-14"""

    @app.task(max_retry=3, backoff=None)
    def flaky() -> int:
        if current_job().attempt < 3:
            raise ValueError("not yet")
        return current_job().attempt

    with app.worker():
        job = flaky.delay()
        assert job.result(10) == 3
        assert job.exception(10) is None
    info = job.info()
    assert (info.state, info.attempt, len(info.errors)) == (State.SUCCEEDED, 3, 2)


def test_the_backoff_is_waited_for(app: TaskQ) -> None:
    """RTY-03"""

    @app.task(max_retry=1, backoff=0.4)
    def flaky() -> int:
        if current_job().attempt == 1:
            raise ValueError("not yet")
        return 1

    with app.worker():
        job = flaky.delay()
        wait_until(lambda: job.state is State.RETRYING)
        job.result(10)
    info = job.info()
    assert info.started_at is not None
    assert info.started_at.timestamp() - info.errors[0].at >= 0.39


def test_a_backoff_by_exception(app: TaskQ) -> None:
    """RTY-05"""
    asked: list[tuple[int, str]] = []

    def backoff(attempt: int, error: BaseException) -> float | None:
        asked.append((attempt, type(error).__name__))
        return None if isinstance(error, KeyError) else 0.0

    @app.task(max_retry=10, backoff=backoff)
    def fail() -> None:
        raise [OSError(), ValueError(), KeyError("final")][current_job().attempt - 1]

    with app.worker():
        job = fail.delay()
        raised = job.exception(10)
    assert raised is not None
    assert raised.type == "KeyError"
    assert asked == [(1, "OSError"), (2, "ValueError"), (3, "KeyError")]
    assert job.info().errors[-1].reason == "its backoff function gave up"


def test_a_backoff_that_raises_loses_no_job(app: TaskQ) -> None:
    """RTY-06: the default is used, a second or so."""

    @app.task(max_retry=1, backoff=lambda attempt, error: 1 / 0)
    def flaky() -> int:
        if current_job().attempt == 1:
            raise ValueError("not yet")
        return 1

    with app.worker():
        assert flaky.delay().result(10) == 1


def test_give_up_on_and_retry_on(app: TaskQ) -> None:
    """RTY-05"""
    runs: list[str] = []

    @app.task(max_retry=3, backoff=None, give_up_on=LookupError)
    def gives_up(error: str) -> None:
        runs.append(error)
        raise {"key": KeyError, "value": ValueError}[error]

    @app.task(max_retry=3, backoff=None, retry_on=(OSError, LookupError))
    def retries(error: str) -> None:
        runs.append(error)
        raise {"key": KeyError, "value": ValueError}[error]

    with app.worker():
        for task, error, wanted in (
            (gives_up, "key", 1),
            (gives_up, "value", 4),
            (retries, "key", 4),
            (retries, "value", 1),
        ):
            runs.clear()
            task.delay(error).exception(10)
            assert len(runs) == wanted, (task, error)


def test_no_attempt_begins_after_the_deadline(app: TaskQ) -> None:
    """RTY-07"""

    @app.task(max_retry=100, backoff=0.1)
    def fail() -> None:
        raise ValueError

    with app.worker():
        job = fail.using(deadline=0.55).delay()
        raised = job.exception(10)
        assert raised is not None
    info = job.info()
    assert 2 <= info.attempt <= 6
    assert "deadline" in info.errors[-1].reason


def test_a_deadline_that_passed_before_the_start(app: TaskQ) -> None:
    """RTY-07"""
    runs = []

    @app.task
    def run() -> None:
        runs.append(1)

    jobs = [
        run.using(deadline=0.05).delay(),
        run.using(deadline=datetime.now(UTC) - timedelta(hours=1)).delay(),
        run.using(deadline=-5).delay(),
    ]
    wait_for(0.1)
    with app.worker():
        for job in jobs:
            raised = job.exception(10)
            assert raised is not None
            assert raised.type == "taskq.errors.DeadlineExceeded"
    assert runs == []


def test_a_running_attempt_is_cut_at_the_deadline(app: TaskQ) -> None:
    """RTY-07"""

    @app.task(max_retry=5, backoff=None)
    def busy() -> None:
        assert current_job().deadline is not None
        while True:
            pass

    @app.task(max_retry=5, backoff=None)
    async def sleepy() -> None:
        await asyncio.sleep(60)

    with app.worker():
        for task in (busy, sleepy):
            job = task.using(deadline=0.2).delay()
            raised = job.exception(10)
            assert raised is not None
            assert raised.type == "taskq.errors.DeadlineExceeded"
            assert job.info().attempt == 1


def test_a_failed_job_is_retried_by_hand_once(app: TaskQ) -> None:
    """RTY-08"""
    runs = []
    broken = [True]

    @app.task(max_retry=0)
    def fix_me() -> int:
        runs.append(1)
        if broken[0]:
            raise ValueError
        return len(runs)

    with app.worker():
        job = fix_me.delay()
        job.exception(10)
        broken[0] = False
        app.inspector.pause("default")
        answers = app.inspector.retry([job.id]) + app.inspector.retry([job.id])
        assert answers == ["requeued", "ready"]
        app.inspector.resume("default")
        assert job.result(10) == 2
        wait_for(0.1)
    assert len(runs) == 2
    assert (job.info().attempt, len(job.info().errors)) == (1, 1)


def test_a_running_job_cannot_be_retried_by_hand(app: TaskQ) -> None:
    """RTY-09"""
    release = threading.Event()

    @app.task
    def hold() -> None:
        assert release.wait(30)

    with app.worker():
        job = hold.delay()
        wait_until(job.running)
        assert app.inspector.retry([job.id]) == ["running"]
        assert app.inspector.delete([job.id]) == ["running"]
        release.set()
        job.result(10)


def test_a_deleted_job_does_not_come_back(app: TaskQ) -> None:
    """RTY-10"""

    @app.task(max_retry=3, backoff=0.2)
    def fail() -> None:
        raise ValueError

    with app.worker():
        job = fail.delay()
        wait_until(lambda: job.state is State.RETRYING)
        assert app.inspector.delete([job.id]) == ["deleted"]
        wait_for(0.5)
        assert job.done()
        with pytest.raises(JobNotFound):
            job.state


def test_the_archive_keeps_the_newest(make_app: MakeApp) -> None:
    """RTY-12"""
    app = make_app(max_ended=3)

    @app.task(max_retry=0)
    def fail() -> None:
        raise ValueError

    with app.worker(concurrency=1):
        jobs = [fail.delay() for _ in range(8)]
        for job in jobs:
            job.exception(10)
    app.store.prune()
    assert [info.id for info in app.inspector.jobs(state="failed")] == [
        job.id for job in reversed(jobs[-3:])
    ]

"""Later: never early, soon after, and each once."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from taskq import InvalidOption, State, TaskQ, current_job
from tests.support.wait import wait_for, wait_until
from tests.worker.conftest import MakeApp

SOON = 2.0
"""Seconds within which what is due must have started, on a busy machine."""


def test_a_delayed_job_starts_never_early_and_soon_after(app: TaskQ) -> None:
    """DLY-01"""

    @app.task
    def now() -> float:
        return time.time()

    with app.worker():
        for delay in (0.05, 0.3, 1.0):
            asked = time.time()
            job = now.apply_at(delay)
            assert job.state is State.SCHEDULED
            late = job.result(10) - (asked + delay)
            assert -0.001 <= late < SOON  # stores may round to the millisecond, upwards


def test_a_time_as_an_aware_datetime(app: TaskQ) -> None:
    """DLY-01, DLY-06"""

    @app.task
    def now() -> float:
        return time.time()

    with app.worker():
        when = datetime.now(timezone(timedelta(hours=5, minutes=30))) + timedelta(seconds=0.3)
        assert -0.001 <= now.apply_at(when).result(10) - when.timestamp() < SOON


def test_many_delays_are_all_kept(app: TaskQ) -> None:
    """DLY-01: whatever is enqueued and promoted meanwhile, none is forgotten."""

    @app.task
    def now(due: float) -> float:
        return time.time() - due

    with app.worker():
        jobs = []
        for number in range(150):
            delay = 0.01 + (number * 37 % 100) / 200
            jobs.append(now.apply_at(delay, time.time() + delay))
        for job in jobs:
            assert -0.001 <= job.result(10) < SOON


def test_delays_one_after_the_other_are_all_kept(app: TaskQ) -> None:
    """DLY-01: each is enqueued as the one before it has been promoted."""

    @app.task
    def now(due: float) -> float:
        return time.time() - due

    with app.worker():
        for _ in range(100):
            assert -0.001 <= now.apply_at(0.005, time.time() + 0.005).result(10) < SOON


@pytest.mark.parametrize("delay", [0, -5, -0.0, timedelta(0), timedelta(days=-400), 1e-300])
def test_no_delay_or_less_means_now(app: TaskQ, delay: float | timedelta) -> None:
    """DLY-02, DLY-03"""

    @app.task
    def one() -> int:
        return 1

    job = one.apply_at(delay)
    if delay != 1e-300:
        assert job.state is State.READY, "no detour"
    with app.worker():
        assert job.result(10) == 1


@pytest.mark.parametrize("year", [1, 1900, 1970, 2000])
def test_a_time_in_the_past_means_now(app: TaskQ, year: int) -> None:
    """DLY-03"""

    @app.task
    def one() -> int:
        return 1

    job = one.apply_at(datetime(year, 1, 2, tzinfo=UTC))
    assert job.state is State.READY
    with app.worker():
        assert job.result(10) == 1


@pytest.mark.parametrize(
    "delay",
    [float("nan"), float("inf"), datetime(2030, 1, 1), "1", None, True, timedelta.max, 1e300],
    ids=repr,
)
def test_what_is_no_time_is_refused(app: TaskQ, delay: object) -> None:
    @app.task
    def one() -> None: ...

    with pytest.raises(InvalidOption, match=r"apply_at\(when\)"):
        one.apply_at(delay)  # type: ignore[arg-type]  # the slip that is meant
    assert sum(app.inspector.totals().values()) == 0


def test_the_last_instant_there_is(app: TaskQ) -> None:
    @app.task
    def one() -> None: ...

    job = one.apply_at(datetime.max.replace(tzinfo=UTC))
    info = job.info()
    assert info.state is State.SCHEDULED
    assert info.due_at is not None
    assert info.due_at.year >= 9999
    with app.worker(burst=True) as worker:
        assert worker.wait(10)
    assert job.state is State.SCHEDULED


def test_a_far_future_does_not_hold_the_near_one(app: TaskQ) -> None:
    """DLY-04"""

    @app.task
    def now() -> float:
        return time.time()

    with app.worker():
        far = now.apply_at(timedelta(days=365))
        asked = time.time()
        assert now.apply_at(0.2).result(10) - asked < 0.2 + SOON
        assert far.state is State.SCHEDULED


def test_a_nearer_job_is_on_time_while_a_later_one_is_waited_for(app: TaskQ) -> None:
    """DLY-04"""

    @app.task
    def now() -> float:
        return time.time()

    with app.worker():
        later = now.apply_at(1.5)
        wait_for(0.2)
        asked = time.time()
        assert now.apply_at(0.1).result(10) - asked < 1.0
        later.result(10)


def test_jobs_of_one_instant_run_in_the_order_of_their_enqueue(app: TaskQ) -> None:
    """DLY-05"""
    ran: list[int] = []

    @app.task
    def note(number: int) -> None:
        ran.append(number)

    when = datetime.now(UTC) + timedelta(seconds=0.5)
    jobs = [note.apply_at(when, number) for number in range(50)]
    with app.worker(concurrency=1):
        for job in jobs:
            job.result(10)
    assert ran == list(range(50))


def test_several_workers_run_each_delayed_job_once(app: TaskQ) -> None:
    """DLY-08"""
    ran: list[int] = []

    @app.task
    def note(number: int) -> None:
        ran.append(number)

    with app.worker(), app.worker(), app.worker():
        jobs = [note.apply_at(0.1 + number / 1000, number) for number in range(100)]
        for job in jobs:
            job.result(10)
    assert sorted(ran) == list(range(100))


def test_a_delayed_job_that_is_cancelled_never_runs(app: TaskQ) -> None:
    """DLY-09"""
    ran: list[int] = []

    @app.task
    def note(number: int) -> None:
        ran.append(number)

    with app.worker():
        cancelled, other = note.apply_at(0.2, 1), note.apply_at(0.3, 2)
        assert cancelled.cancel() is True
        assert cancelled.state is State.CANCELLED
        other.result(10)
    assert ran == [2]


def test_a_delayed_job_outlives_worker_and_store(store_kind: str, make_app: MakeApp) -> None:
    """DLY-10"""
    if store_kind == "memory":
        pytest.skip("memory lives and dies with its store")
    first = make_app()

    def one() -> int:
        return 1

    with first.worker():
        id = first.task(name="one")(one).apply_at(0.5).id
    first.close()
    second = make_app()
    second.task(name="one")(one)
    with second.worker():
        assert second.job(id).result(10) == 1


def test_a_worker_that_stops_promotes_nothing_more(app: TaskQ) -> None:
    """DLY-11"""

    @app.task
    def one() -> None: ...

    with app.worker() as worker:
        job = one.apply_at(0.3)
        worker.stop()
        wait_for(0.6)
        assert job.state is State.SCHEDULED


def test_expires_holds_until_the_first_start(app: TaskQ) -> None:
    @app.task
    def one() -> int:
        return 1

    late, in_time = one.using(expires=0.05).delay(), one.using(expires=60).delay()
    wait_for(0.1)
    with app.worker():
        assert in_time.result(10) == 1
        wait_until(late.done)
    assert late.state is State.EXPIRED
    assert late.info().attempt == 0


def test_expires_counts_from_the_due_time(app: TaskQ) -> None:
    @app.task
    def one() -> int:
        return 1

    with app.worker():
        assert one.using(expires=5).apply_at(0.2).result(10) == 1


def test_a_retry_does_not_expire(app: TaskQ) -> None:
    @app.task(expires=0.3, max_retry=1, backoff=0.6)
    def second_time() -> int:
        if current_job().attempt == 1:
            raise ValueError("again")
        return current_job().attempt

    with app.worker():
        assert second_time.delay().result(10) == 2

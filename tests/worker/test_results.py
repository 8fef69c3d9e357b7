"""Looking at jobs from outside: handles, results, the inspector."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskq import (
    InvalidOption,
    JobCancelled,
    JobError,
    JobExpired,
    JobFailed,
    JobNotFound,
    ResultNotKept,
    State,
    TaskQ,
)
from tests.support.wait import until, wait_for, wait_until
from tests.worker.conftest import MakeApp

NOBODY = "01900000-0000-7000-8000-000000000000"


@pytest.fixture
def release() -> threading.Event:
    return threading.Event()


@pytest.fixture
def hold(app: TaskQ, release: threading.Event) -> Any:
    @app.task(name="hold")
    def hold() -> str:
        assert release.wait(30)
        return "held"

    return hold


# -- a handle, as a Future ------------------------------------------------------------------


def test_the_life_of_a_job_seen_from_its_handle(
    app: TaskQ, hold: Any, release: threading.Event
) -> None:
    job = hold.delay()
    seen = [(job.state, job.done(), job.running(), job.cancelled())]
    with app.worker():
        wait_until(job.running)
        seen.append((job.state, job.done(), job.running(), job.cancelled()))
        with pytest.raises(TimeoutError, match=f"job {job.id} is running after 0.05 seconds"):
            job.result(timeout=0.05)
        with pytest.raises(TimeoutError):
            job.exception(timeout=0)
        release.set()
        assert job.result(timeout=10) == "held"
        seen.append((job.state, job.done(), job.running(), job.cancelled()))
        assert job.exception() is None
        assert job.result() == "held", "as often as one asks"
    assert seen == [
        (State.READY, False, False, False),
        (State.RUNNING, False, True, False),
        (State.SUCCEEDED, True, False, False),
    ]


async def test_the_life_of_a_job_in_asyncio(aapp: TaskQ) -> None:
    app, release = aapp, threading.Event()

    @app.task
    async def hold() -> str:
        await until(release.is_set)
        return "held"

    with app.worker():
        job = await hold.adelay()
        await until(job.running)
        assert await job.adone() is False
        with pytest.raises(TimeoutError):
            await job.aresult(timeout=0.05)
        with pytest.raises(TimeoutError):
            await job.aexception(timeout=0)
        release.set()
        assert await job == "held"
        assert await job.aresult() == "held"
        assert await job.aexception(10) is None
        assert await job.adone() is True
        assert (await job.ainfo()).state is State.SUCCEEDED
        assert await job.acancel() is False


async def test_many_jobs_are_awaited_side_by_side(aapp: TaskQ) -> None:
    """More than there are threads for, and each needs another one to end."""
    app, gate = aapp, threading.Event()

    @app.task
    async def hold(number: int) -> int:
        await until(gate.is_set)
        return number

    @app.task
    def open_gate() -> None:
        gate.set()

    with app.worker():
        jobs = await hold.adelay_many([(number,) for number in range(100)])
        waiting = [asyncio.ensure_future(job.aresult(30)) for job in jobs]
        await asyncio.sleep(0.05)
        await (await open_gate.adelay())
        assert await asyncio.wait_for(asyncio.gather(*waiting), 20) == list(range(100))


def test_giving_up_an_await_leaves_nothing_behind(app: TaskQ) -> None:
    @app.task
    def never() -> None: ...

    async def main() -> None:
        job = await never.adelay()
        try:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(job.aresult(), 0.1)
        finally:
            await app.async_store().close()

    started = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - started < 5, "a thread waited on"


def test_those_who_wait_are_told_at_once(app: TaskQ, hold: Any, release: threading.Event) -> None:
    told: list[float] = []
    with app.worker():
        job = hold.delay()
        threads = [
            threading.Thread(target=lambda: (job.result(20), told.append(time.monotonic())))
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        wait_until(job.running)
        released = time.monotonic()
        release.set()
        for thread in threads:
            thread.join(20)
    assert len(told) == 5
    assert max(told) - released < 2


def test_a_failure_holds_the_remote_error(app: TaskQ) -> None:
    @app.task(max_retry=0)
    def fail() -> None:
        raise KeyError("user 7")

    with app.worker():
        job = fail.delay()
        with pytest.raises(JobFailed) as raised:
            job.result(10)
    error = raised.value
    assert (error.id, error.type, error.message) == (job.id, "KeyError", "'user 7'")
    assert str(error) == f"job {job.id} failed with KeyError: 'user 7'"
    assert 'raise KeyError("user 7")' in error.traceback
    assert isinstance(error, JobError)
    again = app.job(job.id).exception()
    assert isinstance(again, JobFailed)
    assert again.traceback == error.traceback


def test_a_result_from_another_process_by_its_id(store_kind: str, make_app: MakeApp) -> None:
    """RES-01"""
    app = make_app()

    @app.task(name="add", max_retry=1, backoff=None)
    def add(a: int, b: int) -> int:
        return a + b

    with app.worker():
        id = add.delay(1, 2).id
        app.job(id).result(10)
    other = app if store_kind == "memory" else make_app()
    job = other.job(id)
    info = job.info()
    assert job.result(0) == 3
    assert job.created is None
    assert (info.state, info.attempt, info.task) == (State.SUCCEEDED, 1, "add")
    assert info.enqueued_at is not None
    assert info.started_at is not None
    assert info.ended_at is not None
    assert info.enqueued_at <= info.started_at <= info.ended_at
    assert abs(info.ended_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_all_there_is_to_know_as_plain_data(app: TaskQ) -> None:
    @app.task(max_retry=0, tags=["a"])
    def fail(when: datetime) -> None:
        raise ValueError("no")

    with app.worker():
        job = fail.using(headers={"trace": "1"}).delay(datetime(2030, 1, 1, tzinfo=UTC))
        job.exception(10)
    plain = json.loads(json.dumps(job.info().to_dict()))
    assert (plain["id"], plain["state"], plain["tags"]) == (job.id, "failed", ["a"])
    assert plain["errors"][0]["type"] == "ValueError"
    assert plain["headers"] == {"trace": "1"}
    assert plain["enqueued_at"].startswith("20")


# -- how long -----------------------------------------------------------------------------------


def test_a_result_that_is_not_kept_says_so(app: TaskQ) -> None:
    @app.task(max_retry=0)
    def end(fail: bool) -> int:
        if fail:
            raise ValueError
        return 1

    with app.worker():
        for fail in (False, True):
            job = end.using(keep=0).delay(fail)
            with pytest.raises(ResultNotKept, match=job.id):
                job.result(10)
            assert job.done()
            with pytest.raises(JobNotFound):
                app.job(job.id).result(1)
    assert sum(app.inspector.totals().values()) == 0


def test_a_job_that_is_not_kept_has_ended_when_one_asks_to_cancel_it(app: TaskQ) -> None:
    @app.task
    def end() -> None: ...

    with app.worker():
        job = end.using(keep=0).delay()
        wait_until(job.done)
    assert job.cancel() is False


def test_results_go_when_their_time_is_up(app: TaskQ) -> None:
    """RES-02"""

    @app.task(max_retry=0)
    def end(fail: bool) -> int:
        if fail:
            raise ValueError
        return 1

    with app.worker():
        jobs = [
            end.using(keep=0.2).delay(False),
            end.using(keep=0.2).delay(True),
            end.using(keep=60).delay(False),
        ]
        for job in jobs:
            job.exception(10)
        wait_for(0.3)
        wait_until(lambda: app.store.prune() is not None and jobs[0].done() and gone(jobs[0]))
        assert gone(jobs[1])
        assert jobs[2].result(0) == 1
    assert sum(app.inspector.totals().values()) == 1


def gone(job: Any) -> bool:
    try:
        job.state
    except JobNotFound:
        return True
    return False


def test_how_long_ended_jobs_are_kept_can_be_set(make_app: MakeApp) -> None:
    """RES-02"""
    app = make_app(keep_succeeded=0, keep_failed=60)

    @app.task(max_retry=0)
    def end(fail: bool) -> None:
        if fail:
            raise ValueError

    with app.worker():
        jobs = [end.delay(False), end.delay(True)]
        wait_until(lambda: all(job.done() for job in jobs))
    assert app.inspector.totals()[State.FAILED] == 1
    assert app.inspector.totals()[State.SUCCEEDED] == 0


def test_an_expired_job_says_so(app: TaskQ) -> None:
    @app.task
    def run() -> None: ...

    job = run.using(expires=0.01).delay()
    wait_for(0.05)
    with app.worker(), pytest.raises(JobExpired, match=job.id):
        job.result(10)


@pytest.mark.parametrize(
    "ask",
    [
        lambda job: job.state,
        lambda job: job.info(),
        lambda job: job.result(1),
        lambda job: job.result(),
        lambda job: job.exception(),
        lambda job: job.cancel(),
        lambda job: asyncio.run(asked(job)),
    ],
)
def test_an_unknown_job_is_told(app: TaskQ, ask: Callable[[Any], object]) -> None:
    """RES-05"""
    with pytest.raises(JobNotFound, match=f"there is no job {NOBODY}"):
        ask(app.job(NOBODY))


async def asked(job: Any) -> None:
    try:
        await job
    finally:
        await job._app.async_store().close()


def test_unknown_ids_do_no_harm(app: TaskQ) -> None:
    """RES-05"""
    job = app.job(NOBODY)
    assert (job.done(), job.running(), job.cancelled()) == (True, False, False)
    look = app.inspector
    assert look.job(NOBODY) is None
    assert look.cancel([NOBODY, "x"]) == ["missing"] * 2
    assert look.retry([NOBODY, "x"]) == ["missing"] * 2
    assert look.delete([NOBODY]) == ["missing"]
    assert look.cancel([]) == []
    assert app.store.get([NOBODY]) == [None]


# -- the inspector --------------------------------------------------------------------------------


def test_counts_add_up_under_load(app: TaskQ) -> None:
    """RES-06"""

    @app.task(max_retry=1, backoff=0.01)
    def work(number: int) -> None:
        if number % 3 == 0:
            raise ValueError

    with app.worker(concurrency=4):
        jobs = work.delay_many([(number,) for number in range(300)])
        while not all(job.done() for job in jobs[-5:]):
            assert sum(app.inspector.totals().values()) == 300
        for job in jobs:
            job.exception(10)
        totals = app.inspector.totals()
    assert totals[State.SUCCEEDED] == 200
    assert totals[State.FAILED] == 100
    assert sum(totals.values()) == 300


def test_queues_with_their_counts(app: TaskQ) -> None:
    """RES-06"""

    @app.task
    def run() -> None: ...

    run.delay()
    run.using(queue="mail").delay()
    run.using(queue="mail").apply_at(3600)
    counts = {
        stats.queue: {state: n for state, n in stats.counts.items() if n}
        for stats in app.inspector.queues()
    }
    assert counts == {
        "default": {State.READY: 1},
        "mail": {State.READY: 1, State.SCHEDULED: 1},
    }
    oldest = app.inspector.queues(["mail"])[0].oldest_ready
    assert oldest is not None
    assert 0 <= oldest < 60


def test_deleting_all_leaves_what_runs(app: TaskQ, hold: Any, release: threading.Event) -> None:
    """RES-07"""
    with app.worker(concurrency=1):
        first = hold.delay()
        wait_until(first.running)
        others = [hold.delay(), hold.apply_at(3600)]
        ids = [job.id for job in app.inspector.jobs()]
        assert len(ids) == 3
        answers = dict(zip(ids, app.inspector.delete(ids), strict=True))
        assert answers == {first.id: "running", **{job.id: "deleted" for job in others}}
        release.set()
        assert first.result(10) == "held"
    assert [job.id for job in app.inspector.jobs()] == [first.id]


def test_a_long_listing_has_no_gaps_and_no_doubles(app: TaskQ) -> None:
    """RES-08"""

    @app.task
    def run(number: int) -> None: ...

    jobs = run.delay_many([(number,) for number in range(2500)])
    ids = [info.id for info in app.inspector.jobs(state="ready")]
    assert ids == [job.id for job in jobs]
    assert [info.id for info in app.inspector.jobs(limit=7)] == ids[:7]
    assert list(app.inspector.jobs(limit=0)) == []
    assert len(list(app.inspector.jobs(queue="default"))) == 2500
    assert list(app.inspector.jobs(queue="other")) == []


def test_an_unknown_state_is_refused(app: TaskQ) -> None:
    with pytest.raises(InvalidOption, match="there is no state 'done'; there are scheduled"):
        list(app.inspector.jobs(state="done"))


def test_arguments_that_cannot_be_read_do_not_stop_a_listing(app: TaskQ) -> None:
    from taskq.job import NewJob, new_id

    @app.task
    def run(number: int) -> None: ...

    bad = NewJob(id=new_id(), task=run.name, payload=b"\xff")
    app.store.enqueue([bad])
    good = run.delay(1)
    infos = {info.id: info for info in app.inspector.jobs()}
    assert infos[bad.id].unreadable
    assert infos[bad.id].args == ()
    assert infos[good.id].unreadable == ""
    assert infos[good.id].args == (1,)


def test_workers_that_live_are_listed(app: TaskQ, hold: Any, release: threading.Event) -> None:
    assert app.inspector.workers() == []
    with app.worker(queues=["default"], concurrency=3, async_concurrency=5):
        job = hold.delay()
        wait_until(job.running)
        (info,) = app.inspector.workers()
        assert (list(info.queues), info.concurrency, info.async_concurrency) == (["default"], 3, 5)
        assert (info.running, info.pid > 0, bool(info.host)) == (1, True, True)
        release.set()
        job.result(10)
    assert app.inspector.workers() == []


# -- cancel ----------------------------------------------------------------------------------------


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

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

    async def everything() -> list[int]:
        jobs = await hold.adelay_many([(number,) for number in range(150)])
        waiting = [asyncio.ensure_future(job.aresult(30)) for job in jobs]
        await asyncio.sleep(0.05)
        await (await open_gate.adelay())
        return await asyncio.gather(*waiting)

    with app.worker(grace=0):
        try:
            assert await asyncio.wait_for(everything(), 15) == list(range(150))
        finally:
            gate.set()


def test_giving_up_an_await_leaves_nothing_behind(app: TaskQ) -> None:
    @app.task
    def never() -> None: ...

    async def main() -> None:
        job = await never.adelay()
        try:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(job.aresult(), 0.1)
        finally:
            await app.aclose()

    started = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - started < 5, "a thread waited on"


def test_those_who_wait_are_told_at_once(app: TaskQ, hold: Any, release: threading.Event) -> None:
    told: list[float] = []
    with app.worker():
        job = hold.delay()

        def wait() -> None:
            job.result(20)
            told.append(time.monotonic())

        threads = [threading.Thread(target=wait) for _ in range(5)]
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
    ],
)
def test_an_unknown_job_is_told(app: TaskQ, ask: Callable[[Any], object]) -> None:
    """RES-05"""
    with pytest.raises(JobNotFound, match=f"there is no job {NOBODY}"):
        ask(app.job(NOBODY))


async def test_an_unknown_job_is_told_in_asyncio(aapp: TaskQ) -> None:
    """RES-05"""
    with pytest.raises(JobNotFound, match=f"there is no job {NOBODY}"):
        await aapp.job(NOBODY)


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

        def adds_up_and_all_ended() -> bool:
            assert sum(app.inspector.totals().values()) == 300
            return all(job.done() for job in jobs[-5:])

        wait_until(adds_up_and_all_ended, 30)
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

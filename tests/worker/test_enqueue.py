"""From a call to a job: every way to enqueue, and what is refused."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskq import EncodeError, InvalidOption, State, StoreUnavailable, TaskQ, TaskQError
from tests.support.wait import wait_until
from tests.worker.conftest import MakeApp


def stored(app: TaskQ) -> int:
    return sum(app.inspector.totals().values())


# -- ways to enqueue ------------------------------------------------------------------------


def test_arguments_arrive_as_they_were_given_once(app: TaskQ) -> None:
    """ENQ-01"""
    calls: list[Any] = []

    @app.task
    def record(*args: Any, **kwargs: Any) -> None:
        calls.append((args, kwargs))

    with app.worker():
        record.delay(1, "two", [3], four={"five": None}, six=True).result(10)
    assert calls == [((1, "two", [3]), {"four": {"five": None}, "six": True})]


def test_a_direct_call_runs_here_and_now(app: TaskQ) -> None:
    @app.task
    def double(number: int) -> int:
        return number * 2

    assert double(4) == 8
    assert stored(app) == 0


def test_jobs_from_before_there_was_a_worker_run(app: TaskQ) -> None:
    """ENQ-02"""

    @app.task
    def double(number: int) -> int:
        return number * 2

    jobs = [double.delay(number) for number in range(5)]
    assert [job.state for job in jobs] == [State.READY] * 5
    with app.worker():
        assert [job.result(10) for job in jobs] == [0, 2, 4, 6, 8]


def test_every_way_to_enqueue_gives_the_result(app: TaskQ) -> None:
    @app.task
    def add(a: int, b: int = 10) -> int:
        return a + b

    @app.task
    async def aadd(a: int, b: int = 10) -> int:
        await asyncio.sleep(0)
        return a + b

    with app.worker():
        for task in (add, aadd):
            jobs = [
                task.delay(1),
                task.delay(1, b=2),
                task.apply_at(datetime.now(UTC), 1),
                task.apply_at(timedelta(milliseconds=20), 1, b=3),
                task.apply_at(0.02, 1, 4),
                task.apply_async((1,)),
                task.apply_async((1,), {"b": 5}, countdown=0.02, priority=3),
                task.apply_async(kwargs={"a": 1, "b": 6}, eta=datetime.now(UTC)),
                task.using(priority=10, tags=["x"]).delay(1, 7),
                task.using(expires=60).apply_at(0.02, 1, 8),
                *task.delay_many([(1, 9), {"a": 2}, [3, 4]]),
                *task.using(priority=1).delay_many([(1,)]),
                app.enqueue(task, 1, b=11),
                app.enqueue(task.name, 1, 12),
            ]
            wanted = [11, 3, 11, 4, 5, 11, 6, 7, 8, 9, 10, 12, 7, 11, 12, 13]
            assert [job.result(10) for job in jobs] == wanted


async def test_every_async_way_to_enqueue_gives_the_result(aapp: TaskQ) -> None:
    app = aapp

    @app.task
    def add(a: int, b: int = 10) -> int:
        return a + b

    with app.worker():
        jobs = [
            await add.adelay(1),
            await add.aapply_at(0.02, 1, b=2),
            await add.aapply_at(datetime.now(UTC), 1),
            await add.aapply_async((1,), {"b": 3}, countdown=0.02),
            await add.using(priority=5).adelay(1, 4),
            *await add.adelay_many([(1, 5), {"a": 2}]),
            *await add.using(priority=5).adelay_many([(1, 6)]),
        ]
        assert [await job for job in jobs] == [11, 3, 11, 4, 5, 6, 12, 7]


async def test_a_sync_call_inside_of_a_running_loop_works(aapp: TaskQ) -> None:
    """ENQ-11"""
    app = aapp

    @app.task
    def double(number: int) -> int:
        return number * 2

    with app.worker():
        assert await double.delay(4).aresult(10) == 8


def test_a_task_enqueues_others(app: TaskQ) -> None:
    @app.task
    def child(number: int) -> int:
        return number + 1

    @app.task
    def parent(number: int) -> str:
        return child.delay(number).id

    @app.task
    async def aparent(number: int) -> str:
        return (await child.adelay(number)).id

    with app.worker():
        for task in (parent, aparent):
            assert app.job(task.delay(1).result(10)).result(10) == 2


# -- what travels -----------------------------------------------------------------------------


def test_a_retry_sees_the_arguments_as_they_were(app: TaskQ) -> None:
    """ENQ-03"""
    seen: list[Any] = []

    @app.task(max_retry=1, backoff=None)
    def spoil(items: list[int], options: dict[str, int]) -> None:
        seen.append(([*items], {**options}))
        items.append(99)
        options.clear()
        if len(seen) == 1:
            raise ValueError("again")

    with app.worker():
        spoil.delay([1], {"a": 2}).result(10)
    assert seen == [([1], {"a": 2})] * 2


NESTED: Any = "core"
for _level in range(30):
    NESTED = {"list": [NESTED, None, True, 1.5], "text": "ü\n\"'\\ 日本 🎉", "empty": [{}, [], ""]}


@pytest.mark.parametrize(
    "value",
    [2**53 + 1, -(2**63), 2**200, NESTED, "", "\0", [], {}, None, 0.1, -0.0],
    ids=lambda value: repr(value)[:20],
)
def test_values_arrive_unchanged(app: TaskQ, value: Any) -> None:
    """ENQ-04, ENQ-05"""

    @app.task
    def echo(value: Any) -> Any:
        return value

    with app.worker():
        given = echo.delay(value).result(10)
    assert given == value
    assert type(given) is type(value)


@pytest.mark.parametrize(
    "value",
    [object(), open, float("nan"), {"a": [object()]}, "\ud800"],
    ids=["object", "function", "nan", "deep inside", "surrogate"],
)
def test_what_cannot_travel_is_refused_at_once(app: TaskQ, value: Any) -> None:
    """ENQ-06"""

    @app.task
    def echo(value: Any) -> None: ...

    with pytest.raises(EncodeError, match=r"args\[0\]") as raised:
        echo.delay(value)
    assert raised.value.path.startswith("args[0]")
    assert stored(app) == 0


def test_a_call_that_does_not_fit_is_refused_at_once(app: TaskQ) -> None:
    @app.task
    def add(a: int, *, b: int = 1) -> int:
        return a + b

    with pytest.raises(TypeError, match="missing 1 required positional argument: 'a'"):
        add.delay()  # type: ignore[call-arg]  # the slip that is meant
    with pytest.raises(TypeError, match="unexpected keyword argument 'c'"):
        add.using(priority=1).delay(1, c=2)  # type: ignore[call-arg]  # likewise
    with pytest.raises(TypeError, match="positional argument"):
        add.apply_async((1, 2))
    assert stored(app) == 0


def test_arguments_that_are_too_large_are_refused(make_app: MakeApp) -> None:
    app = make_app(max_size=1000)

    @app.task
    def echo(value: Any) -> None: ...

    with pytest.raises(EncodeError, match="limit is 1,000"):
        echo.delay("x" * 1000)
    assert stored(app) == 0


# -- batches -----------------------------------------------------------------------------------


def test_a_batch_is_stored_in_its_order_each_with_its_own_id(app: TaskQ) -> None:
    """ENQ-07"""

    @app.task
    def echo(number: int) -> int:
        return number

    jobs = echo.delay_many([(number,) for number in range(1000)])
    assert len({job.id for job in jobs}) == 1000
    assert all(job.created for job in jobs)
    there = [(info.id, info.args) for info in app.inspector.jobs(state=State.READY)]
    assert there == [(job.id, (number,)) for number, job in enumerate(jobs)]


def test_an_empty_batch_is_nothing(app: TaskQ) -> None:
    """ENQ-08"""

    @app.task
    def echo(number: int) -> int:
        return number

    assert echo.delay_many([]) == []
    assert stored(app) == 0


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ((object(),), EncodeError),
        ((1, 2), TypeError),
        ((), TypeError),
        ({"nummer": 1}, TypeError),
        ("abc", InvalidOption),
        (5, InvalidOption),
    ],
    ids=["value", "too many", "too few", "name", "text", "number"],
)
def test_a_bad_call_in_a_batch_is_named_and_nothing_is_stored(
    app: TaskQ, bad: Any, error: type[Exception]
) -> None:
    """ENQ-09"""

    @app.task
    def echo(number: Any) -> None: ...

    with pytest.raises(error, match="call 3"):
        echo.delay_many([(0,), (1,), (2,), bad, (4,)])
    assert stored(app) == 0


def test_a_batch_cannot_have_one_id(app: TaskQ) -> None:
    @app.task
    def echo(number: int) -> None: ...

    with pytest.raises(InvalidOption, match="job_id"):
        echo.using(job_id="x").delay_many([(1,), (2,)])


# -- producers ---------------------------------------------------------------------------------


def test_threads_share_one_app(app: TaskQ) -> None:
    """ENQ-10"""

    @app.task
    def echo(who: int, number: int) -> None: ...

    ids: list[list[str]] = [[] for _ in range(4)]
    start = threading.Barrier(4)
    errors: list[BaseException] = []

    def produce(who: int) -> None:
        try:
            start.wait(10)
            ids[who].extend(echo.delay(who, number).id for number in range(50))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=produce, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len({id for mine in ids for id in mine}) == 200
    assert app.inspector.totals()[State.READY] == 200


def test_an_id_that_is_there_is_not_overwritten(app: TaskQ) -> None:
    """ENQ-12"""

    @app.task
    def echo(number: int) -> int:
        return number

    first = echo.using(job_id="order-7").delay(1)
    second = echo.apply_async((2,), task_id="order-7")
    assert (first.id, first.created) == ("order-7", True)
    assert (second.id, second.created) == ("order-7", False)
    assert stored(app) == 1
    with app.worker():
        assert second.result(10) == 1
        third = echo.using(job_id="order-7").delay(3)
        assert third.created is False
        assert third.result(10) == 1


def test_countdown_and_eta_exclude_each_other(app: TaskQ) -> None:
    @app.task
    def echo(number: int) -> None: ...

    with pytest.raises(InvalidOption, match="countdown or eta"):
        echo.apply_async((1,), countdown=1, eta=datetime.now(UTC))


def test_options_of_a_call_are_checked_where_they_are_written(app: TaskQ) -> None:
    """ORD-03"""

    @app.task
    def echo(number: int) -> None: ...

    with pytest.raises(InvalidOption, match=r"priority takes -100 to 100, not 101"):
        echo.using(priority=101)
    with pytest.raises(InvalidOption, match="did you mean priority"):
        echo.using(priorty=1)  # type: ignore[call-arg]  # the slip that is meant
    assert stored(app) == 0


def test_what_an_app_says_of_its_jobs(app: TaskQ) -> None:
    @app.task(tags=["mail"], headers={"tenant": "a"})
    def send(to: str, *, subject: str = "") -> None: ...

    job = send.using(
        queue="fast", priority=7, tags=["now"], headers={"trace": "1"}, deadline=3600
    ).delay("you", subject="hi")
    info = job.info()
    assert (info.id, info.task, info.queue, info.priority) == (job.id, send.name, "fast", 7)
    assert (info.state, info.attempt, info.errors) == (State.READY, 0, [])
    assert (info.args, info.kwargs) == (("you",), {"subject": "hi"})
    assert info.tags == ("mail", "now")
    assert info.headers == {"tenant": "a", "trace": "1"}
    assert info.enqueued_at is not None
    assert info.deadline is not None
    assert info.deadline - info.enqueued_at == pytest.approx(
        timedelta(hours=1), abs=timedelta(seconds=1)
    )
    assert abs(datetime.now(UTC) - info.enqueued_at) < timedelta(minutes=1)
    assert info.started_at is None
    assert app.inspector.job(job.id) == info


@pytest.mark.parametrize("count", [1, 2])
async def test_a_store_that_is_away_is_told_within_the_budget(count: int) -> None:
    """ENQ-13"""
    app = TaskQ("redis://127.0.0.1:1/0", budget=0.3)

    @app.task
    def echo(number: int) -> None: ...

    calls = [(number,) for number in range(count)]
    started = time.monotonic()
    with pytest.raises(StoreUnavailable) as raised:
        echo.delay_many(calls)
    with pytest.raises(StoreUnavailable) as araised:
        await echo.adelay_many(calls)
    assert time.monotonic() - started < 5
    assert len(raised.value.ids) == len(araised.value.ids) == count
    assert isinstance(raised.value, TaskQError)
    await app.aclose()
    app.forget()


def test_a_worker_finds_a_task_that_was_declared_after_it_started(app: TaskQ) -> None:
    with app.worker():

        @app.task
        def late(number: int) -> int:
            return number

        assert late.delay(5).result(30) == 5


def test_handles_compare_by_their_job(app: TaskQ) -> None:
    @app.task
    def echo(number: int) -> None: ...

    job = echo.delay(1)
    assert job == app.job(job.id)
    assert len({job, app.job(job.id), echo.delay(2)}) == 2
    assert wait_until(lambda: job.id in repr(job))

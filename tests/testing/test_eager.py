"""`taskq.testing.eager`: each job runs at once, where it is enqueued."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from taskq import (
    Cancel,
    Duplicate,
    EncodeError,
    Fail,
    JobCancelled,
    JobFailed,
    Retry,
    Snooze,
    State,
    TaskQ,
    Unique,
    current_job,
)
from taskq.testing import TravelClock, eager


@dataclass
class Order:
    id: int
    when: datetime


@pytest.fixture
def app(tmp_path):
    """One whose own store is a file that must never be made."""
    app = TaskQ(f"sqlite:///{tmp_path}/own.db")
    yield app
    app.forget()
    assert not list(tmp_path.iterdir())


def test_a_job_runs_in_the_callers_thread_and_its_handle_answers(app):
    seen = []

    @app.task(queue="mail")
    def send(user: int, *, greeting: str = "Hi") -> str:
        seen.append((threading.current_thread(), current_job().queue, current_job().attempt))
        return f"{greeting} {user}"

    with eager(app):
        job = send.delay(7, greeting="Hello")
        assert job.result() == "Hello 7"
        assert job.state is State.SUCCEEDED
        assert job.exception() is None
        assert job.created is True
    assert seen == [(threading.current_thread(), "mail", 1)]


def test_the_apps_own_store_is_put_back_also_after_an_error(app):
    own = app.store
    with eager(app):
        assert app.store is not own
    assert app.store is own
    with pytest.raises(KeyError), eager(app):
        {}["the test fails"]
    assert app.store is own


def test_arguments_and_results_go_through_the_codec(app):
    got = []

    @app.task
    def keep(order: Order, names: list[str]) -> Order:
        got.append((order, names))
        return order

    order, names = Order(7, datetime(2026, 5, 1, tzinfo=UTC)), ["ada"]
    with eager(app):
        result = keep.delay(order, names).result()
        assert result == order
        assert result is not order
        assert got == [(order, names)]
        assert got[0][0] is not order
        assert got[0][1] is not names
        with pytest.raises(EncodeError, match="args"):
            keep.delay(order, object())  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="names"):
            keep.delay(order)  # type: ignore[call-arg]


def test_a_result_that_cannot_travel_fails_the_job(app):
    @app.task
    def bad():
        return object()

    with eager(app):
        job = bad.delay()
        assert job.state is State.FAILED
        with pytest.raises(JobFailed, match="result"):
            job.result()


def test_retries_follow_at_once_and_the_failures_are_kept(app):
    attempts = []

    @app.task(max_retry=5, backoff=3600)
    def flaky() -> str:
        attempts.append(current_job().attempt)
        if len(attempts) < 3:
            raise ConnectionError(f"try {len(attempts)}")
        return "done"

    with eager(app):
        job = flaky.delay()
        assert job.result() == "done"
        assert attempts == [1, 2, 3]
        assert [failure.message for failure in job.info().errors] == ["try 1", "try 2"]
        assert job.info().attempt == 3


def test_out_of_attempts_it_is_failed_and_the_call_does_not_raise(app):
    runs = []

    @app.task(max_retry=2)
    def doomed():
        runs.append(1)
        raise ValueError("no")

    with eager(app):
        job = doomed.delay()
        assert job.state is State.FAILED
        error = job.exception()
        assert error is not None
        assert (error.type, error.message) == ("ValueError", "no")
        assert "doomed" in error.traceback
    assert len(runs) == 3


def test_options_that_decide_about_retries_are_obeyed(app):
    runs = []

    @app.task(max_retry=9, give_up_on=KeyError)
    def picky(how: str):
        runs.append(how)
        raise {"key": KeyError, "fail": Fail, "cancel": Cancel, "retry": Retry}[how]("why")

    with eager(app):
        assert picky.delay("key").state is State.FAILED
        assert picky.delay("fail").state is State.FAILED
        assert picky.using(max_retry=1).delay("retry").state is State.FAILED
        job = picky.delay("cancel")
        with pytest.raises(JobCancelled):
            job.result()
    assert runs == ["key", "fail", "retry", "retry", "cancel"]


def test_a_retry_may_change_the_arguments(app):
    @app.task
    def step(n: int) -> int:
        if n < 3:
            raise Retry(delay=60, args=(n + 1,))
        return n

    with eager(app):
        assert step.delay(1).result() == 3


def test_raise_errors_raises_the_tasks_own_last_exception_at_the_call(app):
    made = []

    @app.task(max_retry=1)
    def doomed():
        made.append(LookupError(f"number {len(made)}"))
        raise made[-1]

    with eager(app, raise_errors=True), pytest.raises(LookupError) as caught:
        doomed.delay()
    assert caught.value is made[1]
    assert "doomed" in caught.value.__notes__[0]
    assert "attempt 2" in caught.value.__notes__[0]
    assert [entry.name for entry in caught.traceback][-1] == "doomed"


def test_raise_errors_reaches_the_outermost_call_only(app):
    after = []

    @app.task(max_retry=0)
    def child():
        raise ValueError("child")

    @app.task
    def parent():
        job = child.delay()
        after.append(job.state)

    with eager(app, raise_errors=True) as jobs:
        with pytest.raises(ValueError, match="child"):
            parent.delay()
        assert after == [State.FAILED]
        assert app.job(jobs[0].id).state is State.SUCCEEDED


def test_raise_errors_runs_the_whole_batch_first(app):
    ran = []

    @app.task(max_retry=0)
    def one(n: int):
        ran.append(n)
        if n == 2:
            raise ValueError("two")

    with eager(app, raise_errors=True), pytest.raises(ValueError, match="two"):
        one.delay_many([(1,), (2,), (3,)])
    assert ran == [1, 2, 3]


def test_raise_errors_tells_of_failures_that_no_exception_of_the_task_caused(app):
    @app.task
    def bad():
        return object()

    with eager(app, raise_errors=True), pytest.raises(JobFailed, match="EncodeError"):
        bad.delay()


def test_jobs_that_a_job_enqueues_run_too_and_before_it_goes_on(app):
    order = []

    @app.task
    def leaf(n: int) -> int:
        order.append(f"leaf {n}")
        return n * 10

    @app.task
    def root() -> int:
        order.append("root")
        total = sum(job.result() for job in leaf.delay_many([(1,), (2,)]))
        order.append("root again")
        return total

    with eager(app) as jobs:
        assert root.delay().result() == 30
        assert [job.task.rpartition(".")[2] for job in jobs] == ["root", "leaf", "leaf"]
    assert order == ["root", "leaf 1", "leaf 2", "root again"]


def test_what_is_due_later_waits_until_the_clock_travels_there(app):
    ran = []

    @app.task
    def note(text: str):
        ran.append(text)

    with eager(app) as jobs:
        late = note.apply_at(timedelta(hours=2), "late")
        note.apply_at(60, "soon")
        note.apply_at(datetime.now(UTC) - timedelta(days=1), "past")
        note.apply_at(datetime.now(UTC) + timedelta(hours=1), "absolute")
        assert ran == ["past"]
        assert late.state is State.SCHEDULED
        jobs.clock.travel(59)
        assert ran == ["past"]
        jobs.clock.travel(1)
        assert ran == ["past", "soon"]
        jobs.clock.travel(7200)
        assert ran == ["past", "soon", "absolute", "late"]
        assert late.state is State.SUCCEEDED


def test_a_clock_of_ones_own_that_stands_still(app):
    times = []

    @app.task
    def note():
        times.append(current_job().enqueued_at)

    clock = TravelClock(1_000_000.0)
    with eager(app, clock=clock):
        note.delay()
        note.apply_at(10)
        clock.travel(10)
    assert times == [1_000_000.0, 1_000_000.0]


def test_snooze_waits_for_the_clock_unless_it_is_for_no_time(app):
    @app.task
    def poll(n: int, wait: float) -> int:
        if n:
            raise Snooze(wait, args=(n - 1, wait))
        return current_job().attempt

    with eager(app) as jobs:
        assert poll.delay(3, 0).result() == 1
        job = poll.delay(2, 60)
        assert job.state is State.SCHEDULED
        jobs.clock.travel(60)
        assert job.state is State.SCHEDULED
        jobs.clock.travel(60)
        assert job.result() == 1


def test_waiting_without_end_for_what_nobody_runs_is_an_error(app):
    @app.task
    def later(): ...

    with eager(app):
        job = later.apply_at(3600)
        with pytest.raises(TimeoutError, match=r"is scheduled, due in 3\.6e\+03 s.*clock\.travel"):
            job.result()
        with pytest.raises(TimeoutError, match="is scheduled after 0"):
            job.result(timeout=0)


def test_a_job_may_expire_or_be_cancelled_before_the_clock_comes(app):
    ran = []

    @app.task
    def later(n: int):
        ran.append(n)

    with eager(app) as jobs:
        job = later.apply_at(60, 1)
        assert job.cancel()
        old = later.using(expires=5).apply_at(60, 2)
        jobs.clock.travel(3600)
        assert job.state is State.CANCELLED
        assert old.state is State.EXPIRED
    assert ran == []


def test_due_together_one_may_cancel_the_next(app):
    ran = []

    @app.task
    def later(other: str | None):
        ran.append(other)
        if other:
            app.job(other).cancel()

    with eager(app) as jobs:
        second = later.using(job_id="second").apply_at(20, None)
        later.apply_at(10, "second")
        jobs.clock.travel(60)
        assert second.state is State.CANCELLED
    assert ran == ["second"]


def test_unique_jobs_are_refused_while_one_waits(app):
    @app.task(unique=True)
    def once(n: int): ...

    @app.task(unique=Unique(), on_duplicate="raise")
    def strict(n: int): ...

    with eager(app) as jobs:
        first = once.apply_at(60, 1)
        again = once.delay(1)
        assert again.id == first.id
        assert again.created is False
        strict.apply_at(60, 1)
        with pytest.raises(Duplicate):
            strict.delay(1)
        jobs.clock.travel(60)
        assert once.delay(1).created is True


def test_middleware_and_notes(app):
    entered = []

    @app.middleware
    @contextmanager
    def layer(job):
        entered.append(job.id)
        yield

    @app.task(max_retry=1)
    def work():
        job = current_job()
        before = job.checkpoint()
        job.progress(1, 2, "half")
        job.log("a line")
        job.checkpoint([1])
        if before is None:
            raise ValueError
        return before

    with eager(app):
        job = work.delay()
        assert job.result() == [1]
        assert job.info().progress == {"done": 1, "total": 2, "text": "half"}
        assert job.info().log == ["a line", "a line"]
    assert entered == [job.id, job.id]


def test_a_task_leaves_no_trace_in_its_callers_context(app):
    @app.task
    def work() -> str:
        return current_job().id

    with eager(app):
        work.delay()
        with pytest.raises(RuntimeError, match="outside of a job"):
            current_job()


def test_an_unknown_task_stays_retrying(app):
    with eager(app):
        assert app.enqueue("no.such.task", 1).state is State.RETRYING


def test_a_failed_job_runs_again_when_it_is_requeued(app):
    runs = []

    @app.task(max_retry=0)
    def work():
        runs.append(1)
        if len(runs) == 1:
            raise ValueError

    with eager(app):
        job = work.delay()
        assert app.inspector.retry([job.id]) == ["requeued"]
        assert job.state is State.SUCCEEDED


def test_a_paused_queue_waits(app):
    @app.task
    def work() -> int:
        return 1

    with eager(app):
        app.inspector.pause("default")
        job = work.delay()
        assert job.state is State.READY
        app.inspector.resume("default")
        assert job.result() == 1


def test_keep_0_leaves_nothing(app):
    @app.task(keep=0)
    def work(): ...

    with eager(app) as jobs:
        work.delay()
        assert app.inspector.totals()[State.SUCCEEDED] == 0
        jobs.assert_enqueued(work)


class Interrupted(BaseException):
    """As Ctrl-C, or pytest.fail()."""


def test_what_is_not_for_the_task_passes_through(app):
    @app.task
    def work():
        raise Interrupted

    @app.task
    async def awork():
        raise Interrupted

    with eager(app) as jobs:
        for task in (work, awork):
            with pytest.raises(Interrupted):
                task.delay()
        assert [app.job(job.id).state for job in jobs] == [State.CANCELLED] * 2


def test_a_system_exit_is_the_tasks_failure(app):
    @app.task(max_retry=0)
    def work():
        raise SystemExit(3)

    with eager(app):
        assert work.delay().state is State.FAILED


def test_threads_run_their_own_jobs(app):
    where: dict[int, str] = {}

    @app.task
    def work(n: int):
        where[n] = threading.current_thread().name

    def many(start: int):
        for n in range(start, start + 50):
            work.delay(n)

    with eager(app):
        threads = [threading.Thread(target=many, args=(k * 50,), name=str(k)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert where == {n: str(n // 50) for n in range(200)}


# -- coroutines ---------------------------------------------------------------------------
def test_a_coroutine_runs_from_synchronous_code(app):
    @app.task
    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return 2 * n

    with eager(app):
        assert double.delay(4).result() == 8


async def test_awaited_calls_run_coroutines_in_the_callers_loop(app):
    loops = []

    @app.task
    async def double(n: int) -> int:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return 2 * n

    @app.task
    async def quadruple(n: int) -> int:
        return await (await double.adelay(await (await double.adelay(n))))

    with eager(app):
        job = await quadruple.adelay(2)
        assert await job == 8
        assert await job.astate() is State.SUCCEEDED
        assert await job.aexception() is None
    assert set(loops) == {asyncio.get_running_loop()}


async def test_a_call_that_is_not_awaited_works_inside_of_a_running_loop(app):
    @app.task
    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return 2 * n

    @app.task
    def plain(n: int) -> int:
        return n

    with eager(app) as jobs:
        assert double.delay(4).result() == 8
        assert plain.delay(4).result() == 4
        job = await double.aapply_at(60, 5)
        with pytest.raises(TimeoutError, match="travel"):
            await job
        jobs.clock.travel(60)
        assert await job == 10
        handles = await plain.adelay_many([(1,), (2,)])
        assert [await handle for handle in handles] == [1, 2]


async def test_failing_coroutines(app):
    @app.task(max_retry=1)
    async def doomed():
        raise LookupError("gone")

    with eager(app, raise_errors=True), pytest.raises(LookupError, match="gone"):
        await doomed.adelay()
    with eager(app):
        job = await doomed.adelay()
        with pytest.raises(JobFailed, match="gone"):
            await job


async def test_a_caller_that_is_cancelled_cancels_its_job(app):
    started = asyncio.Event()

    @app.task
    async def endless():
        started.set()
        await asyncio.Event().wait()

    @app.task(max_retry=0)
    async def cancels_itself():
        raise asyncio.CancelledError

    with eager(app) as jobs:
        call = asyncio.create_task(endless.adelay())
        await started.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert app.job(jobs[0].id).state is State.CANCELLED
        assert await (await cancels_itself.adelay()).astate() is State.FAILED


async def test_side_by_side(app):
    both = asyncio.Barrier(2)

    @app.task
    async def meet(n: int) -> int:
        await both.wait()
        return n

    with eager(app):
        one, two = await asyncio.gather(meet.adelay(1), meet.adelay(2))
        assert (await one, await two) == (1, 2)

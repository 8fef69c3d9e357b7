"""`taskq.testing.recorded`: nothing runs, and what was enqueued can be asserted."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from unittest.mock import ANY

import pytest

from taskq import InvalidOption, NoAppError, State, TaskQ, task
from taskq.testing import eager, recorded


@pytest.fixture
def app(tmp_path):
    """One whose own store is a file that must never be made."""
    app = TaskQ(f"sqlite:///{tmp_path}/own.db")
    yield app
    app.forget()
    assert not list(tmp_path.iterdir())


@pytest.fixture
def send(app):
    @app.task(name="shop.send", queue="mail")
    def send(user: int, greeting: str = "Hi", *, copy: bool = False):
        raise AssertionError("it must not run")

    return send


@pytest.fixture
def resize(app):
    @app.task(name="shop.resize")
    def resize(path: str, *sizes: int, **more: str):
        raise AssertionError("it must not run")

    return resize


def failure(call, *args, **kwargs) -> str:
    with pytest.raises(AssertionError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def test_nothing_runs_and_jobs_are_listed_with_their_arguments(app, send, resize):
    with recorded(app) as jobs:
        first = send.delay(7, copy=True)
        resize.using(priority=5, tags=["x"], headers={"trace": "1"}).delay("a.png", 1, 2, k="v")
        assert first.state is State.READY
        assert len(jobs) == 2
    send_job, resize_job = jobs
    assert (send_job.id, send_job.task, send_job.queue) == (first.id, "shop.send", "mail")
    assert (send_job.args, send_job.kwargs) == ((7,), {"copy": True})
    assert send_job.arguments == {"user": 7, "greeting": "Hi", "copy": True}
    assert resize_job.arguments == {"path": "a.png", "sizes": (1, 2), "more": {"k": "v"}}
    assert (resize_job.priority, resize_job.tags) == (5, ("x",))
    assert resize_job.headers == {"trace": "1"}
    assert jobs[0:1] == [send_job]


def test_position_name_and_defaults_do_not_matter(app, send):
    with recorded(app) as jobs:
        send.delay(7)
        send.delay(user=8, greeting="Hi")
        for n in (7, 8):
            assert jobs.assert_enqueued(send, args=(n,)).arguments["user"] == n
            jobs.assert_enqueued(send, kwargs={"user": n})
            jobs.assert_enqueued(send, args=(n, "Hi"), kwargs={"copy": False})
            jobs.assert_enqueued("shop.send", args=(n,))
        jobs.assert_enqueued(send)
        jobs.assert_enqueued(send, times=2)
        jobs.assert_enqueued(send, args=(ANY,), times=2)
        jobs.assert_enqueued(send, args=(7,), queue="mail", at=0, times=1)
        jobs.assert_not_enqueued(send, args=(9,))
        jobs.assert_not_enqueued(send, args=(7, "Hello"))
        jobs.assert_not_enqueued(send, args=(7,), queue="default")
    assert [job.arguments["user"] for job in jobs.find(send)] == [7, 8]
    assert jobs.find(send, args=(8,)) == [jobs[1]]


def test_failure_messages_show_what_was_enqueued_instead(app, send, resize):
    with recorded(app) as jobs:
        assert failure(jobs.assert_enqueued, send) == "shop.send was not enqueued: nothing was"
        resize.delay("a.png", 10)
        send.delay(7)
        send.using(queue="slow").apply_at(60, 8, greeting="Hello")
    assert failure(jobs.assert_enqueued, send, args=(8,), queue="mail").splitlines() == [
        "shop.send(8) on mail was not enqueued. 3 jobs in all:",
        "  shop.send(7) on mail   # user is 7, not 8",
        "  shop.send(8, greeting='Hello') on slow in 60 s"
        "   # greeting is 'Hello', not 'Hi', on slow, not mail",
        "  shop.resize('a.png', 10)",
    ]
    text = failure(jobs.assert_enqueued, send, times=3)
    assert text.startswith("shop.send was enqueued twice, not 3 times. 3 jobs in all:\n")
    text = failure(jobs.assert_not_enqueued, resize)
    assert text.startswith("shop.resize was enqueued. 3 jobs in all:\n  shop.resize('a.png', 10)\n")
    text = failure(jobs.assert_nothing_enqueued)
    assert text.startswith("something was enqueued. 3 jobs in all:\n  shop.resize")
    text = failure(jobs.assert_enqueued, send, args=(8, "Hello"), at=0)
    assert "due 60 s too late" in text
    text = failure(jobs.assert_enqueued, send, args=(8, "Hello"), at=timedelta(minutes=2))
    assert text.startswith("shop.send(8, 'Hello') in 120 s was not enqueued")
    assert "due 60 s too early" in text


def test_many_jobs_and_long_values_are_cut(app, resize):
    with recorded(app) as jobs:
        resize.delay_many([("x" * 1000, n) for n in range(500)])
    lines = failure(jobs.assert_nothing_enqueued).splitlines()
    assert len(lines) == 22
    assert max(map(len, lines)) < 120
    assert lines[-1] == "  … and 480 more"


def test_an_assertion_that_could_never_hold_is_an_error(app, send):
    with recorded(app) as jobs:
        with pytest.raises(TypeError, match="greting"):
            jobs.assert_not_enqueued(send, args=(7,), kwargs={"greting": "x"})
        with pytest.raises(TypeError, match="user"):
            jobs.assert_enqueued(send, args=())
        with pytest.raises(TypeError, match="tuple"):
            jobs.assert_enqueued(send, args="7")
        with pytest.raises(ValueError, match="assert_not_enqueued"):
            jobs.assert_enqueued(send, times=0)
        with pytest.raises(InvalidOption, match="naive"):
            jobs.assert_enqueued(send, at=datetime(2026, 1, 1))


def test_at_takes_instants_and_durations(app, send):
    moment = datetime.now(UTC) + timedelta(hours=1)
    with recorded(app) as jobs:
        send.apply_at(moment, 1)
        send.apply_at(timedelta(minutes=5), 2)
        send.apply_at(datetime.now(UTC) - timedelta(days=1), 3)
    jobs.assert_enqueued(send, args=(1,), at=moment)
    jobs.assert_enqueued(send, args=(1,), at=timedelta(hours=1))
    jobs.assert_enqueued(send, args=(2,), at=300)
    jobs.assert_enqueued(send, args=(2,), at=datetime.now(UTC) + timedelta(minutes=5))
    jobs.assert_enqueued(send, args=(3,), at=0)
    jobs.assert_not_enqueued(send, at=timedelta(minutes=6))


def test_an_assertion_without_jobs(app, send):
    with recorded(app) as jobs:
        jobs.assert_nothing_enqueued()
        send.delay(1)
        jobs.clear()
        jobs.assert_nothing_enqueued()
        jobs.assert_not_enqueued(send)
        assert not jobs


def test_what_was_there_already_is_not_counted_and_a_replaced_job_is_as_it_became(app):
    @app.task(unique=True)
    def once(n: int): ...

    @app.task
    def plain(n: int): ...

    with recorded(app) as jobs:
        assert once.delay(1).created is True
        assert once.delay(1).created is False
        jobs.assert_enqueued(once, times=1)
        once.using(on_duplicate="replace").apply_at(60, 1)
        assert jobs.assert_enqueued(once, times=1).wait == 60
        plain.using(job_id="a").delay(1)
        plain.using(job_id="a").delay(2)
        jobs.assert_enqueued(plain, args=(1,), times=1)
        jobs.assert_not_enqueued(plain, args=(2,))


def test_tasks_that_only_the_worker_knows(app):
    with recorded(app) as jobs:
        app.enqueue("elsewhere.task", 1, b=2)
        jobs.assert_enqueued("elsewhere.task", args=(1,), kwargs={"b": 2})
        text = failure(jobs.assert_enqueued, "elsewhere.task", args=(2,))
    assert "elsewhere.task(1, b=2)   # other arguments" in text
    assert jobs[0].arguments is None


def test_waiting_without_end_for_what_nobody_runs_is_an_error(app, send):
    with recorded(app):
        job = send.delay(1)
        with pytest.raises(TimeoutError, match=r"is ready.*run_jobs\(\)"):
            job.result()
        with pytest.raises(TimeoutError, match="is ready after 0"):
            job.result(timeout=0)


async def test_asyncio(app, send):
    with recorded(app) as jobs:
        job = await send.adelay(1)
        await send.adelay_many([(2,), {"user": 3}])
        jobs.assert_enqueued(send, times=3)
        assert await job.astate() is State.READY
        with pytest.raises(TimeoutError, match="run_jobs"):
            await job
        assert await job.acancel()


def test_other_threads_are_recorded_too(app, send):
    with recorded(app) as jobs:
        thread = threading.Thread(target=send.delay, args=(1,))
        thread.start()
        thread.join()
        jobs.assert_enqueued(send, args=(1,))


def test_blocks_may_be_nested(app):
    @app.task
    def work() -> int:
        return 1

    with recorded(app) as outer:
        with eager(app) as inner:
            assert work.delay().result() == 1
        work.delay()
        assert (len(outer), len(inner)) == (1, 1)


def test_without_an_app_the_only_one_is_meant(app, send):
    with recorded() as jobs:
        send.delay(1)
    jobs.assert_enqueued(send)
    other = TaskQ("memory://")
    with pytest.raises(NoAppError, match=r"recorded\(\) .* as recorded\(app\)"), recorded():
        pass
    with pytest.raises(NoAppError, match=r"eager\(app\)"), eager():
        pass
    other.forget()


@task(name="tests.testing.of_a_library")
def of_a_library(n: int) -> int:
    return n + 1


def test_tasks_declared_without_an_app(app):
    with recorded() as jobs:
        of_a_library.delay(1)
        jobs.assert_enqueued(of_a_library, args=(1,))
    with eager():
        assert of_a_library.delay(1).result() == 2

"""Unique jobs: at most one that has not ended."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from taskq import Duplicate, State, TaskQ, Unique, WorkerInfo
from tests.support.wait import wait_for, wait_until
from tests.worker.conftest import MakeApp


@pytest.fixture
def send(app: TaskQ) -> Any:
    @app.task(name="send", unique=True)
    def send(user_id: int, options: dict[str, int] | None = None) -> int:
        return user_id

    return send


def test_the_same_call_gives_the_job_that_is_there(send: Any) -> None:
    """UNQ-01"""
    first, second = send.delay(7), send.delay(user_id=7)
    assert second.id == first.id
    assert (first.created, second.created) == (True, False)


def test_a_scheduled_job_holds_its_key_too(send: Any) -> None:
    """UNQ-01"""
    first = send.apply_at(3600, 7)
    assert send.delay(7).id == first.id
    assert first.state is State.SCHEDULED


def test_raise_tells_the_job_that_is_there(send: Any) -> None:
    """UNQ-01"""
    first = send.delay(7)
    with pytest.raises(Duplicate, match=first.id) as raised:
        send.using(on_duplicate="raise").delay(7)
    assert raised.value.id == first.id


def test_threads_that_race_store_one(app: TaskQ, send: Any) -> None:
    """UNQ-02"""
    start = threading.Barrier(8)
    handles: list[Any] = []

    def produce() -> None:
        start.wait(10)
        handles.append(send.delay(7))

    threads = [threading.Thread(target=produce) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({job.id for job in handles}) == 1
    assert sum(job.created for job in handles) == 1
    assert sum(app.inspector.totals().values()) == 1


def test_different_calls_are_kept_apart_and_order_of_keys_does_not_matter(send: Any) -> None:
    """UNQ-03"""
    ids = {
        send.delay(7).id,
        send.delay(8).id,
        send.delay(7, {"a": 1, "b": 2}).id,
        send.delay(7, {"b": 2, "a": 1}).id,
        send.delay(7, {"a": 2, "b": 1}).id,
    }
    assert len(ids) == 4


def test_duplicates_within_a_batch(send: Any) -> None:
    """UNQ-01"""
    jobs = send.delay_many([(1,), (2,), (1,), (2,), (3,)])
    assert [job.created for job in jobs] == [True, True, False, False, True]
    assert jobs[2].id == jobs[0].id


def test_after_the_end_it_is_accepted_again(app: TaskQ) -> None:
    """UNQ-04, UNQ-10"""

    @app.task(unique=True, max_retry=0)
    def end(how: str) -> None:
        if how == "fail":
            raise ValueError

    with app.worker():
        for how in ("succeed", "fail"):
            first = end.delay(how)
            first.exception(10)
            second = end.delay(how)
            assert second.created
            assert second.id != first.id
            second.exception(10)
    waiting = end.delay("wait")
    waiting.cancel()
    again = end.delay("wait")
    assert again.created
    app.inspector.delete([again.id])
    assert end.delay("wait").created


def test_a_retrying_job_keeps_its_key(app: TaskQ) -> None:
    """UNQ-04"""

    @app.task(unique=True, max_retry=5, backoff=60)
    def fail() -> None:
        raise ValueError

    with app.worker():
        job = fail.delay()
        wait_until(lambda: job.state is State.RETRYING)
        assert fail.delay().id == job.id


def test_a_running_job_keeps_its_key(app: TaskQ) -> None:
    """UNQ-06"""
    release = threading.Event()

    @app.task(unique=True)
    def hold() -> None:
        assert release.wait(30)

    with app.worker():
        job = hold.delay()
        wait_until(job.running)
        assert hold.delay().created is False
        release.set()
        job.result(10)


def test_until_start_lets_the_next_one_in_once_it_runs(app: TaskQ) -> None:
    """UNQ-06"""
    release = threading.Event()

    @app.task(unique=Unique(until="start"))
    def hold() -> None:
        assert release.wait(30)

    with app.worker(concurrency=1):
        first = hold.delay()
        wait_until(first.running)
        second, third = hold.delay(), hold.delay()
        assert (second.created, third.created) == (True, False)
        release.set()
        second.result(10)


def test_after_the_ttl_it_is_accepted_again(app: TaskQ) -> None:
    """UNQ-05, UNQ-07: also while the first one still waits."""

    @app.task
    def send(user_id: int) -> None: ...

    call = send.using(unique=0.2)
    first = call.delay(7)
    assert call.delay(7).created is False
    wait_for(0.3)
    second = call.delay(7)
    assert second.created
    assert first.state is State.READY
    with app.worker():
        first.result(10)
        second.result(10)


def test_the_key_is_free_once_a_dead_workers_job_has_been_recovered(make_app: MakeApp) -> None:
    """UNQ-05"""
    app = make_app(lease=1)

    @app.task(unique=True)
    def send(user_id: int) -> int:
        return user_id

    job = send.delay(7)
    dead = app.store.open(WorkerInfo(host="gone", pid=1), 30)
    assert len(app.store.claim(dead, 1, ["default"], {"thread": 1}).claims) == 1
    app.store.end(dead)
    assert send.delay(7).created is False, "and not before"
    with app.worker():
        assert job.result(10) == 7
        assert send.delay(7).created


def test_replace_overwrites_what_waits(app: TaskQ) -> None:
    """UNQ-08"""
    ran: list[str] = []

    @app.task(unique=Unique(by="user_id"))
    def send(user_id: int, word: str) -> str:
        ran.append(word)
        return word

    first = send.delay(7, "old")
    replace = send.using(on_duplicate="replace", priority=9, queue="fast")
    second = replace.delay(7, "new")
    assert second.id == first.id
    assert second.created
    info = first.info()
    assert (info.args, info.priority, info.queue) == ((7, "new"), 9, "fast")
    later = send.using(on_duplicate="replace").apply_at(3600, 7, "later")
    assert later.id == first.id
    assert first.state is State.SCHEDULED
    assert send.using(on_duplicate="replace").delay(7, "last").id == first.id
    assert sum(app.inspector.totals().values()) == 1
    with app.worker(queues=["default", "fast"]):
        assert first.result(10) == "last"
    assert ran == ["last"]


def test_replace_starts_the_attempts_over(app: TaskQ) -> None:
    """UNQ-08"""

    @app.task(unique=True, max_retry=1, backoff=60)
    def fail() -> None:
        raise ValueError

    with app.worker():
        job = fail.delay()
        wait_until(lambda: job.state is State.RETRYING)
        assert fail.using(on_duplicate="replace").delay().id == job.id
        wait_until(lambda: job.state is State.RETRYING and len(job.info().errors) == 2)
        assert job.info().attempt == 1


def test_a_running_job_cannot_be_replaced(app: TaskQ) -> None:
    """UNQ-08"""
    release = threading.Event()

    @app.task(unique=True)
    def hold() -> None:
        assert release.wait(30)

    with app.worker():
        job = hold.delay()
        wait_until(job.running)
        with pytest.raises(Duplicate, match="running") as raised:
            hold.using(on_duplicate="replace").delay()
        assert raised.value.id == job.id
        release.set()
        job.result(10)


def test_uniqueness_can_be_switched_off_for_a_call(send: Any) -> None:
    first = send.delay(7)
    assert send.using(unique=False).delay(7).id != first.id


def test_two_tasks_do_not_share_a_key(app: TaskQ) -> None:
    """UNQ-03"""

    @app.task(unique=True)
    def one(number: int) -> None: ...

    @app.task(unique=True)
    def other(number: int) -> None: ...

    assert one.delay(1).created
    assert other.delay(1).created

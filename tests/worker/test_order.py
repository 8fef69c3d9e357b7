"""Which job runs first: queues, priorities, order of arrival, pauses."""

from __future__ import annotations

import threading

import pytest

from taskq import ConfigError, State, TaskQ
from taskq.worker.queues import QueueOrder, parse_queues
from tests.support.wait import wait_for, wait_until


def test_equal_priorities_run_in_order_of_arrival(app: TaskQ) -> None:
    """ORD-01"""
    ran: list[int] = []

    @app.task
    def note(number: int) -> None:
        ran.append(number)

    for number in range(20):
        note.delay(number)
    note.delay_many([(number,) for number in range(20, 200)])
    with app.worker(concurrency=1, burst=True) as worker:
        assert worker.wait(30)
    assert ran == list(range(200))


def test_higher_priorities_run_first_equal_ones_in_order(app: TaskQ) -> None:
    """ORD-02"""
    ran: list[tuple[int, int]] = []

    @app.task
    def note(priority: int, number: int) -> None:
        ran.append((priority, number))

    given = [(priority, n) for n in range(4) for priority in (0, 5, -3, 100, 0, -100, 1)]
    for number, (priority, _) in enumerate(given):
        note.using(priority=priority).delay(priority, number)
    with app.worker(concurrency=1, burst=True) as worker:
        assert worker.wait(30)
    assert ran == sorted(ran, key=lambda row: (-row[0], row[1]))
    assert len(ran) == len(given)


def test_strict_queues_are_emptied_in_their_order(app: TaskQ) -> None:
    """ORD-04"""
    ran: list[str] = []

    @app.task
    def note(queue: str) -> None:
        ran.append(queue)

    for queue in ("low", "high", "mid") * 20:
        note.using(queue=queue).delay(queue)
    with app.worker(queues=["high", "mid", "low"], concurrency=1, burst=True) as worker:
        assert worker.wait(30)
    assert ran == ["high"] * 20 + ["mid"] * 20 + ["low"] * 20


def test_strict_weights_go_by_weight(app: TaskQ) -> None:
    """ORD-04"""
    ran: list[str] = []

    @app.task
    def note(queue: str) -> None:
        ran.append(queue)

    for queue in ("low", "high") * 20:
        note.using(queue=queue).delay(queue)
    queues = {"low": 1, "high": 5}
    with app.worker(queues=queues, strict=True, concurrency=1, burst=True) as worker:
        assert worker.wait(30)
    assert ran == ["high"] * 20 + ["low"] * 20


def test_weighted_queues_all_make_progress() -> None:
    """ORD-05: each comes first about as often as its share of the weights."""
    order = QueueOrder({"a": 6, "b": 3, "c": 1})
    first = [order.next()[0] for _ in range(5000)]
    shares = {name: first.count(name) / 5000 for name in "abc"}
    assert shares == pytest.approx({"a": 0.6, "b": 0.3, "c": 0.1}, abs=0.05)
    assert sorted(order.next()) == ["a", "b", "c"], "and none is left out"


def test_a_weighted_queue_does_not_starve(app: TaskQ) -> None:
    """ORD-05"""
    release = threading.Event()
    low_ran = threading.Event()

    @app.task(queue="high")
    def high() -> None:
        if not release.is_set():
            high.delay()  # the queue is never empty

    @app.task(queue="low")
    def low() -> None:
        low_ran.set()

    high.delay_many([()] * 20)
    low.delay()
    with app.worker(queues={"high": 9, "low": 1}, concurrency=1):
        assert low_ran.wait(30)
        release.set()


def test_a_queue_that_is_not_served_is_left_alone(app: TaskQ) -> None:
    """ORD-06"""

    @app.task
    def one() -> None: ...

    served, other = one.delay(), one.using(queue="other").delay()
    with app.worker(queues=["default"], burst=True) as worker:
        assert worker.wait(30)
    assert (served.state, other.state) == (State.SUCCEEDED, State.READY)


def test_an_excluded_queue_is_left_alone(app: TaskQ) -> None:
    """ORD-07"""

    @app.task(queue="mail")
    def mail() -> None: ...

    @app.task(queue="slow")
    def slow() -> None: ...

    @app.task
    def plain() -> None: ...

    jobs = [mail.delay(), slow.delay(), plain.delay()]
    with app.worker(exclude=["slow"], burst=True) as worker:
        assert worker.wait(30)
    assert [job.state for job in jobs] == [State.SUCCEEDED, State.READY, State.SUCCEEDED]


def test_without_names_all_queues_of_the_tasks_are_served(app: TaskQ) -> None:
    @app.task(queue="mail")
    def mail() -> None: ...

    @app.task(queue="video")
    async def video() -> None: ...

    @app.task
    def plain() -> None: ...

    with app.worker():
        for task in (mail, video, plain):
            task.delay().result(10)


def test_a_paused_queue_starts_nothing_until_it_is_resumed(app: TaskQ) -> None:
    """ORD-08, DLY-07"""

    @app.task(queue="mail")
    def mail(number: int) -> int:
        return number

    @app.task
    def other() -> None: ...

    app.inspector.pause("mail")
    jobs = [mail.delay(1), mail.apply_at(0.05, 2)]
    assert app.inspector.queues(["mail"])[0].paused
    with app.worker(queues=["mail", "default"]):
        other.delay().result(10)
        wait_until(lambda: jobs[1].state is State.READY)
        assert jobs[0].state is State.READY
    with app.worker(queues=["mail", "default"]):
        other.delay().result(10)
        assert [job.state for job in jobs] == [State.READY] * 2, "it survives a restart"
        app.inspector.resume("mail")
        assert [job.result(10) for job in jobs] == [1, 2]
    assert not app.inspector.queues(["mail"])[0].paused


def test_a_pause_lets_what_runs_finish(app: TaskQ) -> None:
    """ORD-09"""
    release = threading.Event()

    @app.task
    def hold() -> str:
        assert release.wait(30)
        return "done"

    with app.worker(concurrency=1):
        running = hold.delay()
        wait_until(running.running)
        app.inspector.pause("default")
        waiting = hold.delay()
        release.set()
        assert running.result(10) == "done"
        wait_for(0.2)
        assert waiting.state is State.READY
        app.inspector.resume("default")
        assert waiting.result(10) == "done"


@pytest.mark.parametrize("name", ["", "a b", "a,b", "q" * 101])
def test_a_wrong_queue_cannot_be_paused(app: TaskQ, name: str) -> None:
    with pytest.raises(ConfigError, match="queue takes a name"):
        app.inspector.pause(name)


# -- naming queues -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("mail", ["mail"]),
        ("critical,default", ["critical", "default"]),
        (" critical , default ", ["critical", "default"]),
        ("critical=6,default=3", {"critical": 6, "default": 3}),
        ("critical = 6 , default=1", {"critical": 6, "default": 1}),
    ],
)
def test_queues_as_text(text: str, means: object) -> None:
    assert parse_queues(text) == means


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "at least one queue"),
        (" , ", "at least one queue"),
        ("a=1,b", "every queue a weight or none"),
        ("a,a", "named twice"),
        ("a=0", "1 to 1000000"),
        ("a=x", "a weight is a whole number"),
        ("a=-1", "a weight is a whole number"),
        ("a=1.5", "a weight is a whole number"),
        ("a=10000000", "1 to 1000000"),
        ("a b", "queue takes a name"),
    ],
)
def test_wrong_queues_are_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        QueueOrder(text)


def test_what_leaves_no_queue_is_refused(app: TaskQ) -> None:
    with pytest.raises(ConfigError, match="no queue is left"):
        app.worker(queues=["mail"], exclude=["mail"])
    with pytest.raises(ConfigError, match="no queue is left"):
        app.worker(queues=[])


def test_strict_needs_an_order(app: TaskQ) -> None:
    with pytest.raises(ConfigError, match="in their order"):
        app.worker(strict=True)


def test_exclude_takes_a_text_as_queues_does() -> None:
    assert QueueOrder("low,high,mail", exclude="low,mail").names() == ["high"]


def test_queues_for_people() -> None:
    assert QueueOrder({"a": 6, "b": 1}).describe() == "a=6, b=1"
    assert QueueOrder(["a", "b"]).describe() == "a, b"

"""cancel, retry, pause, resume and enqueue: what they do, say and answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from taskq import State, TaskQ
from tests.cli.tools import run, run_json

Drain = Callable[[], None]
HERE = "tests.cli.test_changing"
found: list[TaskQ] = []


def known() -> TaskQ:
    """What ``--app tests.cli.test_changing:known`` means."""
    return found[0]


@pytest.fixture
def spec(app: TaskQ) -> Iterator[str]:
    found.append(app)
    yield f"{HERE}:known"
    found.clear()


class TestCancel:
    def test_several(self, app: TaskQ) -> None:
        one, two = app.enqueue("shop.add", 1), app.enqueue("shop.add", 2)
        result = run("cancel", one.id, two.id)
        assert result.exit_code == 0
        assert result.stdout.splitlines() == [f"{one.id}  cancelled", f"{two.id}  cancelled"]
        assert one.state is two.state is State.CANCELLED

    def test_what_is_not_there_or_has_ended_is_exit_code_1(self, app: TaskQ, drain: Drain) -> None:
        done = app.enqueue("shop.add", 1)
        drain()
        waiting = app.enqueue("shop.add", 2)
        result = run("cancel", waiting.id, "nope", done.id)
        assert result.exit_code == 1
        assert result.stdout == f"{waiting.id}  cancelled\n"
        assert result.stderr.splitlines() == [
            "nope  is not there",
            f"{done.id}  has ended already",
        ]
        assert waiting.state is State.CANCELLED

    def test_json(self, app: TaskQ) -> None:
        one = app.enqueue("shop.add", 1)
        assert run_json("cancel", one.id, "nope", code=1) == [
            {"id": one.id, "result": "cancelled", "ok": True},
            {"id": "nope", "result": "missing", "ok": False},
        ]

    def test_it_needs_an_id(self, app: TaskQ) -> None:
        assert run("cancel").exit_code == 2


class TestRetry:
    def test_by_id(self, app: TaskQ, drain: Drain) -> None:
        handle = app.enqueue("shop.boom", "x")
        drain()
        assert handle.state is State.FAILED
        result = run("retry", handle.id, "nope")
        assert result.exit_code == 1
        assert result.stdout == f"{handle.id}  is ready again\n"
        assert result.stderr == "nope  is not there\n"
        assert handle.state is State.READY

    def test_all_failed_ones(self, app: TaskQ, drain: Drain) -> None:
        handles = [app.enqueue("shop.boom", str(number)) for number in range(3)]
        good = app.enqueue("shop.add", 1)
        drain()
        result = run("retry", "--all")
        assert (result.exit_code, result.stdout) == (0, "3 jobs are ready again.\n")
        assert {handle.state for handle in handles} == {State.READY}
        assert good.state is State.SUCCEEDED

    def test_all_of_a_state_and_a_queue(self, app: TaskQ, drain: Drain) -> None:
        later = app.enqueue("shop.later", "x")
        boom = app.enqueue("shop.boom", "x")
        drain()
        told = run_json("retry", "--all", "--state", "retrying", "--queue", "mail")
        assert (told["found"], told["requeued"]) == (1, 1)
        assert (later.state, boom.state) == (State.READY, State.FAILED)
        assert run_json("retry", "--all", "--queue", "default")["found"] == 0

    def test_more_than_a_page(self, app: TaskQ, drain: Drain) -> None:
        handles = [app.enqueue("shop.add", 1) for _ in range(620)]
        assert set(app.inspector.cancel([handle.id for handle in handles])) == {"cancelled"}
        assert run_json("retry", "--all", "--state", "cancelled")["requeued"] == 620
        assert app.inspector.totals()[State.READY] == 620

    def test_nothing_to_retry(self, app: TaskQ) -> None:
        result = run("retry", "--all")
        assert (result.exit_code, result.stdout) == (0, "There is no failed job.\n")

    @pytest.mark.parametrize(
        "args", [(), ("x", "--all"), ("x", "--queue", "mail"), ("--all", "--state", "running")]
    )
    def test_wrong_usage(self, app: TaskQ, args: tuple[str, ...]) -> None:
        assert run("retry", *args).exit_code == 2


class TestPause:
    def test_pause_and_resume(self, app: TaskQ) -> None:
        app.enqueue("shop.add", 1)
        app.enqueue("shop.boom", "x")
        result = run("pause", "mail", "default")
        assert result.stdout.splitlines() == ["mail  paused", "default  paused"]
        assert {q.queue: q.paused for q in app.inspector.queues()} == {
            "default": True,
            "mail": True,
        }
        assert run_json("resume", "mail") == [{"queue": "mail", "paused": False}]
        assert run_json("stats")["paused"] == ["default"]

    def test_a_name_that_no_queue_can_have(self, app: TaskQ) -> None:
        result = run("pause", "a b")
        assert result.exit_code == 2
        assert result.stderr.startswith("Error: queue")


class TestEnqueue:
    def test_prints_the_id(self, app: TaskQ, spec: str) -> None:
        result = run("enqueue", "shop.add", "[1, 2]", "--app", spec)
        assert result.exit_code == 0
        id = result.stdout.strip()
        info = app.job(id).info()
        assert (info.task, info.args, info.kwargs) == ("shop.add", (1, 2), {})

    def test_keyword_arguments(self, app: TaskQ, spec: str) -> None:
        one = run_json("enqueue", "shop.add", '{"a": 1}', "--kwargs", '{"b": 2}', "--app", spec)
        two = run_json("enqueue", "shop.add", "[3]", "--kwargs", '{"b": 4}', "--app", spec)
        assert app.job(one["id"]).info().kwargs == {"a": 1, "b": 2}
        assert app.job(two["id"]).info().args == (3,)
        assert app.job(two["id"]).info().kwargs == {"b": 4}

    def test_options(self, app: TaskQ, spec: str) -> None:
        args = ("--in", "60", "--queue", "fast", "--priority", "7", "--id", "my-1", "--app", spec)
        assert run_json("enqueue", "shop.add", "[1]", *args) == {"id": "my-1", "created": True}
        info = app.job("my-1").info()
        assert (info.queue, info.priority, info.state) == ("fast", 7, State.SCHEDULED)
        assert run_json("enqueue", "shop.add", "[1]", *args) == {"id": "my-1", "created": False}

    def test_the_tasks_own_options_hold(self, app: TaskQ, spec: str) -> None:
        told = run_json("enqueue", "shop.boom", '["x"]', "--app", spec)
        assert app.job(told["id"]).info().queue == "mail"

    @pytest.mark.parametrize(
        ("args", "told"),
        [
            (("shop.ad", "[1]"), "did you mean shop.add?"),
            (("shop.add", "[]"), "missing 1 required positional argument: 'a'"),
            (("shop.add", '{"c": 1}'), "unexpected keyword argument 'c'"),
            (("shop.add", "[1"), "not JSON"),
            (("shop.add", "7"), "such as '[7]'"),
            (("shop.add", "[1]", "--kwargs", "[1]"), "--kwargs"),
            (("shop.add", '{"a": 1}', "--kwargs", '{"a": 1}'), "given twice"),
            (("shop.add", "[NaN]"), "args[0]"),
            (("shop.add", "[1]", "--priority", "1000"), "priority"),
            (("shop.add", "[1]", "--in", "nan"), "--in"),
            (("shop.add", "[1]", "--queue", "a b"), "queue"),
            (("shop.add", "[" * 100_000), "not JSON"),
        ],
    )
    def test_what_is_wrong_is_told_and_nothing_is_stored(
        self, app: TaskQ, spec: str, args: tuple[str, ...], told: str
    ) -> None:
        result = run("enqueue", *args, "--app", spec)
        assert result.exit_code == 2
        assert told in result.stderr
        assert "Traceback" not in result.stderr
        assert sum(app.inspector.totals().values()) == 0

    def test_with_a_url_alone_the_name_and_arguments_travel_as_they_are(
        self, app: TaskQ, drain: Drain
    ) -> None:
        args = ("--queue", "mail", "--priority", "-3", "--json")
        result = run("enqueue", "shop.add", '{"a": 5}', "--url", app.store.url, *args)
        handle = app.job(json.loads(result.stdout)["id"])
        info = handle.info()
        assert (info.queue, info.priority, info.kwargs) == ("mail", -3, {"a": 5})
        drain()
        assert handle.result(timeout=0) == 6

    def test_wait_for_the_result(self, app: TaskQ, spec: str) -> None:
        with app.worker():
            result = run("enqueue", "shop.talk", '["hi"]', "--wait", "20", "--app", spec)
            assert result.exit_code == 0
            id, value = result.stdout.splitlines()
            assert value == '"HI"'
            assert app.job(id).state is State.SUCCEEDED
            told = run_json("enqueue", "shop.add", "[1]", "--wait", "20", "--app", spec)
            assert (told["result"], told["error"]) == (2, None)

    def test_wait_for_a_failure_is_exit_code_1(self, app: TaskQ, spec: str) -> None:
        with app.worker():
            result = run("enqueue", "shop.boom", '["no"]', "--wait", "20", "--app", spec)
            assert result.exit_code == 1
            assert "failed with ValueError: no" in result.stderr
            told = run_json("enqueue", "shop.boom", '["no"]', "--wait", "20", code=1)
            assert told["result"] is None
            assert "ValueError: no" in told["error"]

    def test_wait_too_short_is_exit_code_1(self, app: TaskQ, spec: str) -> None:
        result = run("enqueue", "shop.add", "[1]", "--wait", "0.05", "--app", spec)
        assert result.exit_code == 1
        assert "is ready after 0.05 seconds" in result.stderr
        assert app.job(result.stdout.strip()).state is State.READY


class TestHealth:
    def test_no_worker(self, app: TaskQ) -> None:
        result = run("health")
        assert result.exit_code == 1
        assert result.stderr == f"Error: no worker lives ({app.store.url})\n"
        assert run("health", "--no-workers").exit_code == 0

    def test_a_worker(self, app: TaskQ) -> None:
        with app.worker():
            assert app.enqueue("shop.add", 1).result(timeout=20) == 2
            result = run("health")
            assert (result.exit_code, result.stdout) == (
                0,
                f"ok: {app.store.url} answers, 1 worker\n",
            )
            assert run_json("health")["workers"] == 1

    def test_no_store(self) -> None:
        result = run("health", "--url", "redis://:s3cret@127.0.0.1:1/0")
        assert result.exit_code == 1
        assert "127.0.0.1:1" in result.stderr
        assert "s3cret" not in result.output
        told = run_json("health", "--url", "redis://127.0.0.1:1/0", code=1)
        assert told["ok"] is False
        assert told["problem"]

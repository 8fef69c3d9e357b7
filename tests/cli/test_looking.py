"""stats, queues, workers, jobs and get: what they show of the jobs that are there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from taskq import State, TaskQ
from tests.cli.tools import run, run_json
from tests.support.wait import wait_until

Drain = Callable[[], None]


class TestNothing:
    """An empty store is told in words."""

    @pytest.mark.parametrize(
        ("args", "text"),
        [
            (("queues",), "There is no queue yet"),
            (("workers",), "No worker lives."),
            (("jobs",), "There is no job."),
            (("jobs", "--state", "failed"), "There is no failed job."),
            (("jobs", "--queue", "mail"), "There is no job in the queue mail."),
            (("stats",), "0 queues, no worker lives"),
        ],
    )
    def test_in_words(self, app: TaskQ, args: tuple[str, ...], text: str) -> None:
        result = run(*args)
        assert result.exit_code == 0
        assert text in result.stdout

    @pytest.mark.parametrize("name", ["queues", "workers", "jobs"])
    def test_json_is_an_empty_list(self, app: TaskQ, name: str) -> None:
        assert run_json(name) == []


class TestStats:
    def test_counts_by_state(self, app: TaskQ, drain: Drain) -> None:
        app.enqueue("shop.add", 1)
        app.enqueue("shop.boom", "x")
        drain()
        app.enqueue("shop.add", 2)
        app.inspector.pause("mail")
        told = run_json("stats")
        assert told["jobs"] == {
            "scheduled": 0, "ready": 1, "running": 0, "retrying": 0,
            "succeeded": 1, "failed": 1, "cancelled": 0, "expired": 0,
        }  # fmt: skip
        assert told["total"] == 3
        assert told["queues"] == ["default", "mail"]
        assert told["paused"] == ["mail"]
        assert told["workers"] == told["running"] == 0
        assert 0 <= told["oldest_ready"] < 60
        assert told["store"] == app.store.url

    def test_as_a_table(self, app: TaskQ) -> None:
        for number in range(3):
            app.enqueue("shop.add", number)
        lines = run("stats").stdout.splitlines()
        assert lines[0] == app.store.url
        assert [line.split()[:2] for line in lines if line.startswith("ready")] == [["ready", "3"]]
        assert lines[-1] == "1 queue, no worker lives"

    def test_says_what_the_worker_does(self, app: TaskQ) -> None:
        with app.worker():
            wait_until(app.inspector.workers)
            assert "1 worker running 0 jobs" in run("stats").stdout


class TestQueues:
    def test_json(self, app: TaskQ, drain: Drain) -> None:
        app.enqueue("shop.boom", "x")
        drain()
        app.enqueue("shop.add", 1)
        app.inspector.pause("default")
        default, mail = run_json("queues")
        assert (default["queue"], mail["queue"]) == ("default", "mail")
        assert default["counts"]["ready"] == 1
        assert default["paused"] is True
        assert default["oldest_ready"] >= 0
        assert default["workers"] == 0
        assert mail["counts"]["failed"] == 1
        assert mail["oldest_ready"] is None

    def test_only_those_named(self, app: TaskQ) -> None:
        app.enqueue("shop.add", 1)
        app.enqueue("shop.boom", "x")
        assert [queue["queue"] for queue in run_json("queues", "mail")] == ["mail"]

    def test_as_a_table(self, app: TaskQ) -> None:
        app.enqueue("shop.add", 1)
        app.inspector.pause("default")
        title, row = run("queues").stdout.splitlines()
        assert title.split()[:2] == ["QUEUE", "READY"]
        assert row.split()[:2] == ["default", "1"]
        assert row.endswith("paused")

    def test_how_many_workers_serve_each(self, app: TaskQ) -> None:
        app.enqueue("shop.boom", "x")
        with app.worker(queues=["default"]):
            wait_until(app.inspector.workers)
            app.enqueue("shop.add", 1).result(timeout=20)
            assert {q["queue"]: q["workers"] for q in run_json("queues")} == {
                "default": 1,
                "mail": 0,
            }


class TestWorkers:
    def test_a_live_worker(self, app: TaskQ) -> None:
        with app.worker(queues=["default", "mail"], concurrency=3):
            wait_until(app.inspector.workers)
            (told,) = run_json("workers")
            table = run("workers").stdout
        assert told["queues"] == ["default", "mail"]
        assert told["concurrency"] == 3
        assert told["running"] == 0
        assert told["started_at"].endswith("+00:00")
        assert told["pid"] > 0
        title, row = table.splitlines()
        assert title.split()[:3] == ["HOST", "PID", "QUEUES"]
        assert "default, mail" in row
        assert str(told["pid"]) in row


class TestJobs:
    def test_filtered(self, app: TaskQ, drain: Drain) -> None:
        boom = app.enqueue("shop.boom", "x")
        drain()
        add = app.enqueue("shop.add", 1)
        assert [job["id"] for job in run_json("jobs", "--state", "failed")] == [boom.id]
        assert [job["id"] for job in run_json("jobs", "--queue", "default")] == [add.id]
        assert {job["id"] for job in run_json("jobs")} == {boom.id, add.id}
        assert run_json("jobs", "--state", "failed", "--queue", "default") == []

    def test_a_failed_one_shows_its_error(self, app: TaskQ, drain: Drain) -> None:
        handle = app.enqueue("shop.boom", "no such user")
        drain()
        title, row = run("jobs", "--state", "failed").stdout.splitlines()
        assert title.split() == ["ID", "TASK", "QUEUE", "TRY", "WHEN", "WHAT"]
        assert row.startswith(f"{handle.id}  shop.boom  mail ")
        assert " s ago" in row
        assert row.endswith("ValueError: no such user")

    def test_waiting_ones_show_when_they_are_due_and_their_arguments(
        self, app: TaskQ, drain: Drain
    ) -> None:
        app.enqueue("shop.later", "x")
        drain()
        row = run("jobs", "--state", "retrying").stdout.splitlines()[1]
        assert " in 60 min" in row or " in 59 min" in row
        app.enqueue("shop.add", 1, b=2)
        assert run("jobs", "--state", "ready").stdout.splitlines()[1].endswith("(1, b=2)")

    def test_limit(self, app: TaskQ) -> None:
        handles = [app.enqueue("shop.add", number) for number in range(5)]
        ids = [handle.id for handle in handles]
        assert [job["id"] for job in run_json("jobs", "--limit", "2")] == ids[:2]
        assert [job["id"] for job in run_json("jobs", "--limit", "0")] == ids
        assert len(run("jobs", "--limit", "2").stdout.splitlines()) == 3

    def test_an_unknown_state_is_refused(self, app: TaskQ) -> None:
        result = run("jobs", "--state", "broken")
        assert result.exit_code == 2
        assert "'failed'" in result.stderr

    def test_other_peoples_texts_cannot_steer_the_terminal(self, app: TaskQ, drain: Drain) -> None:
        handle = app.enqueue("shop.boom", "\x1b[2J\x07\u202eevil\nsecond")
        app.enqueue("shop.\x1b]0;title\x07", "\x9b")
        drain()
        for args in (("jobs",), ("get", handle.id), ("get", handle.id, "--json"), ("queues",)):
            text = run(*args).output
            assert not set(text) & set("\x1b\x07\x9b\u202e"), args
        rows = run("jobs", "--state", "failed").stdout.splitlines()
        assert len(rows) == 2


class TestGet:
    def test_json_holds_everything(self, app: TaskQ, drain: Drain) -> None:
        handle = app.enqueue("shop.talk", "hello")
        drain()
        told = run_json("get", handle.id)
        assert told["id"] == handle.id
        assert told["task"] == "shop.talk"
        assert told["state"] == "succeeded"
        assert told["args"] == ["hello"]
        assert told["result"] == "HELLO"
        assert told["tags"] == ["loud"]
        assert told["log"] == ["saying hello"]
        assert told["progress"] == {"done": 1, "total": 2, "text": "half"}
        assert told["attempt"] == 1
        assert told["errors"] == []
        assert told["started_at"] <= told["ended_at"]

    def test_for_people(self, app: TaskQ, drain: Drain) -> None:
        handle = app.enqueue("shop.talk", "hello")
        drain()
        text = run("get", handle.id).stdout
        assert text.startswith("shop.talk  succeeded\n")
        rows = [line.split(None, 1) for line in text.splitlines() if line.startswith("  ")]
        fields = dict(row for row in rows if len(row) == 2)
        assert fields["id"] == handle.id
        assert fields["arguments"] == "('hello')"
        assert fields["result"] == "'HELLO'"
        assert fields["progress"] == "1 of 2, half"
        assert "ago)" in fields["ended"]
        assert "    saying hello" in text.splitlines()

    def test_a_failure_with_its_traceback(self, app: TaskQ, drain: Drain) -> None:
        handle = app.enqueue("shop.boom", "no such user")
        drain()
        text = run("get", handle.id).stdout
        assert "ValueError: no such user" in text
        assert "Traceback (most recent call last):" in text
        assert "raise ValueError(text)" in text
        (error,) = run_json("get", handle.id)["errors"]
        assert error["type"] == "ValueError"

    def test_a_job_that_is_not_there(self, app: TaskQ) -> None:
        result = run("get", "nope")
        assert result.exit_code == 1
        assert "there is no job nope" in result.stderr
        assert result.stdout == ""

    def test_a_waiting_job_has_no_result(self, app: TaskQ) -> None:
        handle = app.enqueue("shop.add", 1)
        assert handle.state is State.READY
        told = run_json("get", handle.id)
        assert told["result"] is None
        assert told["ended_at"] is None
        assert "result" not in run("get", handle.id).stdout

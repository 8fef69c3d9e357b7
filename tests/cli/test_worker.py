"""``taskq worker`` as a process of its own, started and stopped as a user does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskq import State, TaskQ
from tests.cli.tools import run
from tests.support.processes import WorkerProcess, worker_process
from tests.support.wait import wait_until

APP = """
import os, signal, time
from pathlib import Path
from taskq import TaskQ

HERE = Path(__file__).parent
with (HERE / "imported").open("a") as file:
    file.write(f"{{os.getpid()}}\\n")
app = TaskQ({url!r}, lease=3)


@app.task
def add(a: int, b: int = 1) -> int:
    return a + b


@app.task
async def aadd(a: int) -> int:
    return a + 1


@app.task(queue="mail")
def mail() -> None:
    pass


@app.task
def hold() -> str:
    (HERE / "held").touch()
    while not (HERE / "go").exists():
        time.sleep(0.01)
    return "held"


@app.task
def die_once() -> str:
    if not (HERE / "died").exists():
        (HERE / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"
"""


@pytest.fixture
def shop(url: str, tmp_path: Path) -> Iterator[TaskQ]:
    """The app of ``shop:app`` in the folder; the tasks themselves are not known here."""
    (tmp_path / "shop.py").write_text(APP.format(url=url))
    app = TaskQ(url)
    yield app
    app.forget()


on_sqlite = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


def ready(worker: WorkerProcess) -> None:
    wait_until(lambda: "taskq 0" in worker.log and " serves " in worker.log, 60)


def test_runs_jobs_until_it_is_told_to_stop(shop: TaskQ, tmp_path: Path) -> None:
    with worker_process(tmp_path, "--app", "shop:app") as worker:
        ready(worker)
        assert shop.enqueue("shop.add", 1, b=2).result(timeout=30) == 3
        assert shop.enqueue("shop.aadd", 1).result(timeout=30) == 2
        assert shop.enqueue("shop.mail").result(timeout=30) is None
        worker.terminate()
        assert worker.wait() == 0
        assert "stopped" in worker.log
        assert "Traceback" not in worker.log
    assert shop.inspector.workers() == []


def test_burst_ends_when_all_is_done(shop: TaskQ, tmp_path: Path) -> None:
    handles = [shop.enqueue("shop.add", number) for number in range(50)]
    with worker_process(tmp_path, "--burst", env={"TASKQ_APP": "shop:app"}) as worker:
        assert worker.wait() == 0
    assert [handle.result(timeout=0) for handle in handles] == list(range(1, 51))


def test_a_killed_process_is_replaced_and_its_job_runs_again(shop: TaskQ, tmp_path: Path) -> None:
    with worker_process(tmp_path, "--app", "shop:app") as worker:
        handle = shop.enqueue("shop.die_once")
        assert handle.result(timeout=60) == "alive"
        assert "was killed by SIGKILL; starting another" in worker.log
        worker.terminate()
        assert worker.wait() == 0
    assert handle.info().attempt == 1


@on_sqlite
class TestStopping:
    def test_a_running_job_may_finish(self, shop: TaskQ, tmp_path: Path) -> None:
        with worker_process(tmp_path, "--app", "shop:app") as worker:
            handle = shop.enqueue("shop.hold")
            wait_until((tmp_path / "held").exists, 60)
            worker.terminate()
            wait_until(lambda: "stopping" in worker.log)
            (tmp_path / "go").touch()
            assert worker.wait() == 0
        assert handle.result(timeout=0) == "held"

    def test_also_when_every_process_gets_the_signal(self, shop: TaskQ, tmp_path: Path) -> None:
        """As systemd and many containers do."""
        with worker_process(tmp_path, "--app", "shop:app") as worker:
            handle = shop.enqueue("shop.hold")
            wait_until((tmp_path / "held").exists, 60)
            os.killpg(worker.process.pid, signal.SIGTERM)
            wait_until(lambda: "stopping" in worker.log)
            (tmp_path / "go").touch()
            assert worker.wait() == 0
        assert handle.result(timeout=0) == "held"

    def test_a_second_signal_ends_it_now(self, shop: TaskQ, tmp_path: Path) -> None:
        with worker_process(tmp_path, "--app", "shop:app", "--grace", "600") as worker:
            handle = shop.enqueue("shop.hold")
            wait_until((tmp_path / "held").exists, 60)
            worker.terminate()
            wait_until(lambda: "stopping" in worker.log)

            def ended() -> bool:
                # One more than a second after the first is the second; sooner is the same.
                if worker.process.poll() is None:
                    worker.terminate()
                return worker.process.poll() is not None

            wait_until(ended)
            assert worker.wait() == 0
        assert handle.state is State.READY
        assert handle.info().attempt == 0

    def test_after_the_grace_a_job_is_given_back(self, shop: TaskQ, tmp_path: Path) -> None:
        with worker_process(tmp_path, "--app", "shop:app", "--grace", "0.1") as worker:
            handle = shop.enqueue("shop.hold")
            wait_until((tmp_path / "held").exists, 60)
            worker.terminate()
            assert worker.wait() == 0
        assert handle.state is State.READY
        assert handle.info().attempt == 0

    def test_while_it_starts(self, shop: TaskQ, tmp_path: Path) -> None:
        started = time.monotonic()
        with worker_process(tmp_path, "--app", "shop:app") as worker:
            wait_until(worker.children)
            worker.terminate()
            assert worker.wait() == 0
        assert time.monotonic() - started < 20


@on_sqlite
class TestServing:
    def test_what_was_asked_for(self, shop: TaskQ, tmp_path: Path) -> None:
        args = ("-q", "default=3,mail=1", "-q", "low=1", "--exclude", "low", "-c", "3", "-p", "2")
        with worker_process(tmp_path, "--app", "shop:app", "--async-concurrency", "7", *args):
            wait_until(lambda: len(shop.inspector.workers()) == 2, 60)
            workers = shop.inspector.workers()
        assert {tuple(worker.queues) for worker in workers} == {("default", "mail")}
        assert {(w.concurrency, w.async_concurrency) for w in workers} == {(3, 7)}

    def test_only_the_queues_named(self, shop: TaskQ, tmp_path: Path) -> None:
        id = run("enqueue", "shop.mail", "-q", "mail", "--url", shop.store.url).stdout.strip()
        mail, add = shop.job(id), shop.enqueue("shop.add", 1)
        with worker_process(tmp_path, "--app", "shop:app", "-q", "default", "--burst") as worker:
            assert worker.wait() == 0
        assert (add.state, mail.state) == (State.SUCCEEDED, State.READY)

    def test_under_a_command_of_a_framework(self, shop: TaskQ, tmp_path: Path) -> None:
        handle = shop.enqueue("shop.add", 1)
        text = (
            "from taskq.cli import group_for\n\ngroup_for('shop:app')(prog_name='manage taskq')\n"
        )
        (tmp_path / "manage.py").write_text(text)
        done = subprocess.run(
            [sys.executable, "manage.py", "worker", "--burst"],
            cwd=tmp_path, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert handle.result(timeout=0) == 2

    def test_only_the_children_import_the_app(self, shop: TaskQ, tmp_path: Path) -> None:
        with worker_process(tmp_path, "--app", "shop:app", "--burst") as worker:
            supervisor = worker.process.pid
            assert worker.wait() == 0
        pids = [int(line) for line in (tmp_path / "imported").read_text().split()]
        assert len(pids) == 1
        assert supervisor not in pids

    def test_one_line_says_what_is_served_where_nobody_reads(
        self, shop: TaskQ, tmp_path: Path
    ) -> None:
        with worker_process(tmp_path, "--app", "shop:app", "-c", "4", "--burst") as worker:
            assert worker.wait() == 0
            (line,) = [line for line in worker.log.splitlines() if " serves " in line]
        assert "default, mail" in line
        assert shop.store.url in line
        assert "1 process of 4 threads + 1,000 coroutines, 5 tasks" in line
        assert "\x1b" not in worker.log

    def test_every_line_of_a_json_log_is_json(self, shop: TaskQ, tmp_path: Path) -> None:
        shop.enqueue("shop.add", 1)
        shop.enqueue("shop.add", "x")
        args = ("--burst", "--log-format", "json", "--log-level", "debug")
        with worker_process(tmp_path, "--app", "shop:app", *args) as worker:
            assert worker.wait() == 0
            lines = [json.loads(line) for line in worker.log.splitlines()]
        assert any("serves" in line["message"] for line in lines)
        assert {line["level"] for line in lines} >= {"info", "warning"}

    def test_an_app_without_tasks_is_told(self, tmp_path: Path, url: str) -> None:
        text = f"from taskq import TaskQ\napp = TaskQ({url!r})\n"
        (tmp_path / "bare.py").write_text(text)
        with worker_process(tmp_path, "--app", "bare:app", "--burst") as worker:
            assert worker.wait() == 0
            assert "bare:app has no tasks" in worker.log


class TestRefused:
    """What cannot start says why, at once, with exit code 2."""

    def failed(self, folder: Path, *args: str) -> str:
        with worker_process(folder, *args) as worker:
            assert worker.wait() == 2
            return worker.log

    def test_an_app_that_does_not_import(self, tmp_path: Path) -> None:
        (tmp_path / "broken.py").write_text("import os\n\nraise ValueError('kaputt')\n")
        log = self.failed(tmp_path, "--app", "broken:app", "-p", "3")
        assert log.startswith("Error: the module broken does not import:\n")
        assert "line 3, in <module>" in log
        assert log.endswith("ValueError: kaputt\n")
        assert log.count("Traceback") == 1

    def test_an_app_that_exits_when_imported(self, tmp_path: Path) -> None:
        (tmp_path / "leaving.py").write_text("import sys\n\nsys.exit(0)\n")
        assert "leaving does not import" in self.failed(tmp_path, "--app", "leaving:app")

    def test_an_app_that_kills_the_process_when_imported(self, tmp_path: Path) -> None:
        text = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
        (tmp_path / "killer.py").write_text(text)
        with worker_process(tmp_path, "--app", "killer:app") as worker:
            wait_until(lambda: "was killed by SIGKILL" in worker.log)
            worker.terminate()
            assert worker.wait() == 0

    def test_no_such_module(self, tmp_path: Path) -> None:
        assert "there is no module 'nothing'" in self.failed(tmp_path, "--app", "nothing:app")

    def test_memory(self, tmp_path: Path) -> None:
        (tmp_path / "mem.py").write_text("from taskq import TaskQ\napp = TaskQ('memory://')\n")
        log = self.failed(tmp_path, "--app", "mem:app")
        assert log.startswith("Error: memory://")
        assert "with app.worker()" in log
        assert "Traceback" not in log

    @pytest.mark.parametrize(
        ("args", "told"),
        [
            ((), "--app module:name"),
            (("--app", "x:app", "-q", "a=1,b"), "give every queue a weight or none"),
            (("--app", "x:app", "-q", ","), "name at least one queue"),
            (("--app", "x:app", "-q", "a,a"), "'a' is named twice"),
            (("--app", "x:app", "--strict"), "--strict needs -q"),
            (("--app", "x:app", "-p", "0"), "processes takes"),
            (("--app", "x:app", "-c", "x"), "'x' is not a valid integer"),
            (("--app", "x:app", "-c", "0"), "concurrency takes"),
            (("--app", "x:app", "--async-concurrency", "0"), "async_concurrency takes"),
            (("--app", "x:app", "--grace", "-1"), "grace takes"),
            (("--app", "x:app", "--grace", "nan"), "grace takes"),
            (("--app", "x:app", "--log-level", "loud"), "'loud' is not one of"),
            (("--app", "x:app", "--url", "redis://x"), "No such option"),
        ],
    )
    def test_wrong_usage(self, args: tuple[str, ...], told: str) -> None:
        result = run("worker", *args)
        assert result.exit_code == 2
        assert told in result.stderr

    def test_a_wrong_setting_of_the_environment(self) -> None:
        result = run("worker", "--app", "x:app", env={"TASKQ_PROCESSES": "many"})
        assert result.exit_code == 2
        assert "TASKQ_PROCESSES takes a whole number" in result.stderr

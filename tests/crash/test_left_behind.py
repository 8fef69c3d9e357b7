"""Tasks that leave processes behind, hang again and again, or raise what cannot be handled."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskq import State, TaskQ
from tests.support.processes import worker_process
from tests.support.wait import wait_until

APP = """
import os, sys, time
from taskq import TaskQ

app = TaskQ({url!r}, lease=2)


@app.task
def add(a: int, b: int) -> int:
    return a + b


@app.task
def orphan(marker: str) -> str:
    if os.path.exists(marker):
        return "second life"
    open(marker, "w").close()
    os.system("sleep 60 &")
    os._exit(1)


@app.task(timeout=0.2, max_retry=0)
def hang() -> None:
    time.sleep(120)


class Hostile(Exception):
    def __str__(self) -> str:
        sys.exit(1)

    def with_traceback(self, tb):
        raise RuntimeError("not even that")


@app.task(max_retry=0, timeout=None)
def hostile() -> None:
    raise Hostile
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/jobs.db"
    (tmp_path / "oddshop.py").write_text(APP.format(url=url))
    return url


@pytest.mark.crash
def test_a_process_that_a_dead_child_left_behind_holds_nothing_up(url: str, tmp_path: Path) -> None:
    """It inherited the child's end of the pipe, so the end of that pipe never comes."""
    app = TaskQ(url)
    with worker_process(tmp_path, "--app", "oddshop:app", "-c", "1") as worker:
        job = app.enqueue("oddshop.orphan", str(tmp_path / "marker"))
        assert job.result(30) == "second life"
        worker.terminate()
        assert worker.wait(30) == 0, worker.log
    app.forget()


@pytest.mark.crash
def test_hanging_tasks_do_not_multiply_processes(url: str, tmp_path: Path) -> None:
    app = TaskQ(url)
    with worker_process(tmp_path, "--app", "oddshop:app", "-c", "4", "--grace", "1") as worker:
        hung = [app.enqueue("oddshop.hang") for _ in range(4)]
        for job in hung:
            failure = job.exception(40)
            assert failure is not None
            assert failure.type == "taskq.errors.TimedOut"
        assert app.enqueue("oddshop.add", 1, 2).result(30) == 3
        wait_until(lambda: len(worker.children()) == 1, 30, lambda: worker.log)
        assert worker.log.count("it is replaced") <= 4
        worker.terminate()
        assert worker.wait(30) == 0, worker.log
    app.forget()


@pytest.mark.crash
def test_an_exception_that_cannot_be_handled_costs_no_slot(url: str, tmp_path: Path) -> None:
    app = TaskQ(url)
    with worker_process(tmp_path, "--app", "oddshop:app", "-c", "1") as worker:
        bad = [app.enqueue("oddshop.hostile") for _ in range(3)]
        assert app.enqueue("oddshop.add", 1, 2).result(30) == 3
        for job in bad:
            wait_until(lambda job=job: job.state is State.FAILED, 30, lambda: worker.log)
        worker.terminate()
        assert worker.wait(30) == 0, worker.log
    app.forget()

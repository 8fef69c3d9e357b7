"""What people see: on a terminal, with colours and cut to its width."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskq import TaskQ
from taskq.cli.output import width
from tests.cli.tools import on_terminal

APP = """
from taskq import TaskQ

app = TaskQ({url!r})

for number in range({tasks}):
    @app.task(name=f"shop.tasks.send_number_{{number}}")
    def send() -> None: ...
"""

ESCAPE = "\x1b["


@pytest.fixture
def place(tmp_path: Path) -> Iterator[TaskQ]:
    app = TaskQ(f"sqlite:///{tmp_path}/jobs.db")
    yield app
    app.forget()


def interrupt_when(words: str, text: str, terminal: int) -> bool:
    if words not in text:
        return False
    os.write(terminal, b"\x03")
    return True


@pytest.mark.parametrize("tasks", [1, 500])
def test_the_worker_shows_on_one_screen_what_it_serves(
    place: TaskQ, tmp_path: Path, tasks: int
) -> None:
    (tmp_path / "shop.py").write_text(APP.format(url=place.store.url, tasks=tasks))
    text, code = on_terminal(
        tmp_path,
        *("worker", "--app", "shop:app", "-q", "critical=6,default=3", "-p", "2", "--no-color"),
        then=lambda text, fd: interrupt_when("Ctrl-C stops it", text, fd),
    )
    assert code == 0
    banner = text.partition("\x03")[0].splitlines()
    pairs = [line.strip().split("  ", 1) for line in banner if line.startswith("  ")]
    rows = {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}
    assert rows["app"] == "shop:app"
    assert rows["store"] == place.store.url
    assert rows["queues"] == "critical=6, default=3  (by weight)"
    assert rows["workers"].startswith("2 processes × (10 threads + 1,000 coroutines)")
    assert "shop.tasks.send_number_0" in text
    end = next(at for at, line in enumerate(banner) if "Ctrl-C stops it" in line)
    assert end < 24
    if tasks == 1:
        assert rows["1 task"] == "shop.tasks.send_number_0"
    else:
        assert rows["500 tasks"].startswith("shop.tasks.send_number_0, ")
        assert any(line.endswith(" more") for line in banner)
    named = [line for line in banner[:end] if "shop.tasks." in line]
    assert len(named) <= 3
    assert max(width(line) for line in named) <= 80
    assert "stopping" in text


def test_no_password_is_shown(tmp_path: Path) -> None:
    url = "redis://me:s3cret@127.0.0.1:1/0"
    (tmp_path / "shop.py").write_text(APP.format(url=url, tasks=1))
    text, code = on_terminal(
        tmp_path,
        *("worker", "--app", "shop:app"),
        then=lambda text, fd: interrupt_when("Ctrl-C stops it", text, fd),
    )
    assert code == 0
    assert "127.0.0.1:1" in text
    assert "s3cret" not in text


def test_colours_on_a_terminal_only(place: TaskQ, tmp_path: Path) -> None:
    place.enqueue("shop.add", 1)
    args = ("jobs", "--url", place.store.url)
    assert ESCAPE in on_terminal(tmp_path, *args).text
    assert ESCAPE not in on_terminal(tmp_path, *args, env={"NO_COLOR": "1"}).text
    assert ESCAPE not in on_terminal(tmp_path, "--no-color", *args).text
    assert ESCAPE not in on_terminal(tmp_path, *args, env={"TERM": "dumb"}).text


def test_an_error_is_red(tmp_path: Path) -> None:
    args = ("get", "x", "--url", "memory://")
    text, code = on_terminal(tmp_path, *args)
    assert text.startswith(f"{ESCAPE}31mError: memory://")
    assert code == 2
    assert on_terminal(tmp_path, *args, env={"NO_COLOR": "1"}).text.startswith("Error: memory://")


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_list_fits_the_terminal(place: TaskQ, tmp_path: Path, columns: int) -> None:
    handle = place.enqueue("a.task.with.a.rather.long.name", "an argument " * 20)
    args = ("--no-color", "jobs", "--url", place.store.url, "--limit", "1")
    place.enqueue("shop.add")
    title, row, more = on_terminal(tmp_path, *args, columns=columns).text.splitlines()
    assert title.startswith("ID ")
    assert row.startswith(handle.id)  # never cut: it is there to be copied
    assert width(row) <= max(columns, 68)
    assert ("an argument" in row) is (columns == 120)
    assert "--limit 0 shows all" in more


def test_errors_have_room_on_a_usual_terminal(place: TaskQ, tmp_path: Path) -> None:
    handle = place.enqueue("shop.tasks.unknown", 1)

    @place.task(name="shop.tasks.unknown", max_retry=0)
    def fails(number: int) -> None:
        raise ValueError("no such user")

    with place.worker(burst=True) as worker:
        assert worker.wait(30)
    args = ("--no-color", "jobs", "--state", "failed", "--url", place.store.url)
    _, row = on_terminal(tmp_path, *args).text.splitlines()
    assert row.startswith(handle.id)
    assert "ValueError:" in row
    assert width(row) <= 80


def test_ready_jobs_that_nobody_serves_are_told(place: TaskQ, tmp_path: Path) -> None:
    place.enqueue("shop.add", 1)
    text, code = on_terminal(tmp_path, "queues", "--url", place.store.url)
    assert "no worker serves: default" in text
    assert code == 0

"""The fixtures, as a project that has taskq installed gets them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

CONFTEST = """
import pytest
from taskq import TaskQ

app = TaskQ("redis://localhost:1/0")        # must never be reached

@app.task
def add(a: int, b: int) -> int:
    return a + b

@pytest.fixture
def add_task():
    return add
"""

TESTS = """
def test_eager(taskq_eager, add_task):
    assert add_task.delay(1, 2).result() == 3

def test_recorded(taskq_recorded, add_task):
    add_task.delay(1, 2)
    taskq_recorded.assert_enqueued(add_task, args=(1, 2), times=1)

def test_gone_with_its_test(taskq_recorded):
    taskq_recorded.assert_nothing_enqueued()

def test_run_jobs(taskq_run_jobs, taskq_recorded, taskq_clock, add_task):
    job = add_task.apply_at(60, 1, 2)
    assert taskq_run_jobs().ended == 0
    taskq_clock.travel(60)
    assert taskq_run_jobs(timeout=5).succeeded == 1
    assert job.result() == 3
    taskq_recorded.assert_enqueued(add_task)

def test_app(taskq_app, add_task):
    assert taskq_app is add_task.app
    assert str(taskq_app.store.url).startswith("redis://")
"""


def pytest_in(
    folder: Path, *options: str, autoload: bool = False
) -> subprocess.CompletedProcess[str]:
    (folder / "pytest.ini").write_text("[pytest]\n")
    env = os.environ.copy()
    if not autoload:
        # The plugins of everybody else take seconds to load.
        env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        options = ("-p", "taskq.testing.plugin", *options)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_fixtures_work_with_nothing_but_an_app(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_shop.py").write_text(TESTS)
    done = pytest_in(tmp_path, autoload=True)
    assert "5 passed" in done.stdout, done.stdout + done.stderr


def test_the_app_fixture_can_be_overridden(tmp_path):
    (tmp_path / "conftest.py").write_text(
        CONFTEST
        + textwrap.dedent(
            """
            other = TaskQ("memory://")

            @pytest.fixture
            def taskq_app():
                return app
            """
        )
    )
    (tmp_path / "test_shop.py").write_text(TESTS)
    done = pytest_in(tmp_path)
    assert "5 passed" in done.stdout, done.stdout + done.stderr


def test_without_an_app_the_error_says_what_to_do(tmp_path):
    (tmp_path / "test_shop.py").write_text("def test_it(taskq_eager): ...\n")
    done = pytest_in(tmp_path)
    assert "NoAppError" in done.stdout
    assert "there is no app yet" in done.stdout


def test_fixtures_are_documented(tmp_path):
    shown = pytest_in(tmp_path, "--fixtures").stdout
    for name in ("app", "clock", "eager", "recorded", "run_jobs"):
        assert f"taskq_{name} -- " in shown
        assert f"taskq_{name} -- no docstring" not in shown


def test_the_plugin_loads_next_to_nothing():
    # Every run of pytest of every project that has taskq installed pays for this.
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import pytest, sys; before = set(sys.modules); import taskq.testing.plugin;"
            "print(*sorted(set(sys.modules) - before))",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert [name for name in loaded if name.startswith("taskq")] == [
        "taskq",
        "taskq.testing",
        "taskq.testing.plugin",
    ]
    assert len(loaded) < 10

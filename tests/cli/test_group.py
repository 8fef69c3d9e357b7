"""The group: help, how the app is found, errors and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import taskq
from taskq import TaskQ
from taskq.cli import COMMANDS, group_for, main
from tests.cli.tools import call, run, run_json

HERE = "tests.cli.test_group"
found: list[TaskQ] = []


def known() -> TaskQ:
    """What ``--app tests.cli.test_group:known`` means."""
    return found[0]


@pytest.fixture
def known_app(app: TaskQ) -> Iterator[TaskQ]:
    found.append(app)
    yield app
    found.clear()


def test_help_names_every_command() -> None:
    text = run("--help").output
    for name in COMMANDS:
        assert f"\n  {name} " in text
    assert "TASKQ_APP" in text
    assert "Exit codes" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    result = run(name, "-h")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: taskq {name} ")
    assert "--app" in result.output


def test_help_of_the_commands_is_one_whole_sentence_each() -> None:
    assert "..." not in run("--help").output.partition("Commands:")[2]


def test_version() -> None:
    assert run("--version").output == f"taskq {taskq.__version__}\n"


def test_a_slip_is_told_with_what_was_meant() -> None:
    result = run("stat")
    assert result.exit_code == 2
    assert "did you mean stats?" in result.stderr
    assert "No such command" in run("nothing-like-it").stderr


@pytest.mark.parametrize("args", [("stats",), ("worker",), ("enqueue", "shop.add")])
def test_without_app_and_url_it_says_what_to_give(args: tuple[str, ...]) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert "--app module:name" in result.stderr


def test_the_default_store_is_used_only_where_there_is_one(tmp_path: Path) -> None:
    assert run("stats").exit_code == 2
    assert not (tmp_path / "taskq.db").exists()
    app = TaskQ()
    app.enqueue("shop.add", 1)
    app.forget()
    assert run_json("stats")["jobs"]["ready"] == 1


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
class TestFinding:
    """``--app`` and ``--url``, before and after the command, and the environment."""

    def test_app_before_and_after(self, known_app: TaskQ) -> None:
        known_app.enqueue("shop.add", 1)
        for args in (("--app", f"{HERE}:known", "stats"), ("stats", "--app", f"{HERE}:known")):
            assert run_json(*args)["jobs"]["ready"] == 1

    def test_url_before_and_after(self, app: TaskQ, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TASKQ_URL")
        app.enqueue("shop.add", 1)
        for args in (("--url", app.store.url, "stats"), ("stats", "--url", app.store.url)):
            assert run_json(*args)["jobs"]["ready"] == 1

    def test_a_url_given_goes_before_an_app_of_the_environment(self, app: TaskQ) -> None:
        result = run("stats", "--url", app.store.url, env={"TASKQ_APP": "no_such_module:app"})
        assert result.exit_code == 0

    def test_app_of_the_environment(self, known_app: TaskQ) -> None:
        result = run("stats", "--json", env={"TASKQ_APP": f"{HERE}:known", "TASKQ_URL": None})
        assert json.loads(result.stdout)["store"] == known_app.store.url

    def test_both_are_refused(self, app: TaskQ) -> None:
        result = run("stats", "--url", app.store.url, "--app", f"{HERE}:known")
        assert result.exit_code == 2
        assert "not both" in result.stderr

    def test_the_group_of_a_known_app(self, known_app: TaskQ) -> None:
        """As a framework hangs it under a command of its own."""

        @click.group()
        @click.pass_context
        def flask(ctx: click.Context) -> None:
            ctx.obj = "an object of the framework's own"

        flask.add_command(group_for(f"{HERE}:known"))
        known_app.enqueue("shop.add", 1)
        runner = CliRunner()
        result = runner.invoke(flask, ["taskq", "stats", "--json"])
        assert json.loads(result.stdout)["jobs"]["ready"] == 1
        result = runner.invoke(flask, ["taskq", "enqueue", "shop.ad"])
        assert result.exit_code == 2
        assert "did you mean shop.add?" in result.stderr
        help_text = runner.invoke(flask, ["taskq", "stats", "-h"]).output
        assert "Usage: flask taskq stats" in help_text
        assert "--app" not in help_text
        assert "--app" in run("stats", "-h").output

    def test_main_under_another_group(self, app: TaskQ) -> None:
        @click.group()
        def manage() -> None:
            pass

        manage.add_command(main, "taskq")
        result = CliRunner().invoke(manage, ["taskq", "--url", app.store.url, "health", "--json"])
        assert json.loads(result.stdout)["problem"] == "no worker lives"


def test_memory_is_refused_with_a_hint() -> None:
    result = run("stats", "--url", "memory://")
    assert result.exit_code == 2
    assert "with app.worker()" in result.stderr
    assert "sqlite:///" in result.stderr


@pytest.mark.parametrize("command", [("stats",), ("jobs",), ("cancel", "x"), ("enqueue", "t")])
def test_a_store_that_is_not_reached_is_exit_code_3(command: tuple[str, ...]) -> None:
    result = run(*command, "--url", "redis://me:s3cret@127.0.0.1:1/0")
    assert result.exit_code == 3
    assert result.stderr.startswith("Error: ")
    assert "127.0.0.1:1" in result.stderr
    assert "s3cret" not in result.output
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "url", ["nothing://host", "redis://:s3cret@host:port/0", "s3cret", "sqlite:relative.db"]
)
def test_a_wrong_url_is_exit_code_2(url: str) -> None:
    result = run("stats", "--url", url)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert "s3cret" not in result.output


def test_a_wrong_setting_is_exit_code_2() -> None:
    result = run("stats", "--url", "sqlite:///jobs.db", env={"TASKQ_KEEP_FAILED": "soon"})
    assert result.exit_code == 2
    assert "TASKQ_KEEP_FAILED takes" in result.stderr


def test_python_m_taskq(tmp_path: Path) -> None:
    result = call(tmp_path, "--help")
    assert result.returncode == 0
    assert result.stdout.startswith("Usage: python -m taskq ")


def test_a_module_that_does_not_import_is_told_with_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import os\n\nraise ValueError('kaputt')\n")
    result = call(tmp_path, "stats", "--app", "broken:app")
    assert result.returncode == 2
    assert "Error: the module broken does not import" in result.stderr
    assert "line 3, in <module>" in result.stderr
    assert "ValueError: kaputt" in result.stderr
    assert "importlib" not in result.stderr
    assert "taskq/cli" not in result.stderr


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("no_such_module:app", "there is no module 'no_such_module'"),
        ("empty:app", "empty has no 'app'"),
        ("empty", "empty has no app"),
        ("empty:__name__", "is not a TaskQ app but str"),
        (":app", "module:name"),
    ],
)
def test_what_is_no_app_is_told(tmp_path: Path, spec: str, told: str) -> None:
    (tmp_path / "empty.py").write_text("")
    result = call(tmp_path, "stats", "--app", spec)
    assert result.returncode == 2
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_an_encoding_that_cannot_say_it_is_no_error(tmp_path: Path) -> None:
    app = TaskQ(f"sqlite:///{tmp_path}/jobs.db")
    app.enqueue("shop.add", "日本")
    result = call(tmp_path, "jobs", "--url", app.store.url, env={"PYTHONIOENCODING": "latin-1"})
    app.forget()
    assert result.returncode == 0
    assert "\\u65e5" in result.stdout


@pytest.mark.parametrize("args", [("get", "\udcff"), ("jobs", "-q", "a\udcff"), ("\udcff",)])
def test_bytes_that_are_no_text_are_refused(args: tuple[str, ...]) -> None:
    result = run(*args, env={"TASKQ_URL": "sqlite:///jobs.db"})
    assert result.exit_code == 2
    assert "\\udcff' is no text" in result.stderr


def test_help_imports_no_store_and_no_asyncio(tmp_path: Path) -> None:
    (tmp_path / "look.py").write_text(
        "import sys\n"
        "from taskq.cli import main\n"
        "main(['worker', '--help'], standalone_mode=False)\n"
        "print(sorted({'asyncio', 'redis', 'sqlite3', 'taskq.app', 'taskq.stores'}"
        " & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "look.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"

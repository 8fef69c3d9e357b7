"""What the pages and README show does what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from taskq.cli import main
from tests.docs.examples import examples
from tests.support.processes import worker_process

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(page for page in (ROOT / "docs").glob("*.md") if examples(page))
README = ROOT / "README.md"


def run(folder: Path, *command: str, **env: str) -> str:
    """What a command of this Python printed; its output is shown if it fails."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(folder))), **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write_files(page: Path, folder: Path) -> None:
    """The blocks with a title, as the files that they are; a later one replaces an earlier."""
    for example in examples(page):
        if example.title is not None:
            (folder / example.title).write_text(example.code, "utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_of_a_page_run(page: Path, tmp_path: Path) -> None:
    run(tmp_path, "-m", "tests.docs.examples", str(page))


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_the_quickstart_works_on_each_store(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    env = {}
    if kind == "redis":
        env["TASKQ_URL"] = str(request.getfixturevalue("redis_url"))
        env["TASKQ_PREFIX"] = f"docs-{os.urandom(4).hex()}"
    write_files(ROOT / "docs/quickstart.md", tmp_path)
    with worker_process(tmp_path, "--app", "shop:app", env=env):
        assert run(tmp_path, "client.py", **env).split()[-1] == "5"
        told = run(
            tmp_path, "-m", "taskq", "enqueue", "--app", "shop:app", "shop.flaky", "--wait", "60",
            **env,
        )  # fmt: skip
        assert told.split()[-1] == '"done"'


def test_the_line_for_redis_is_all_that_changes(tmp_path: Path) -> None:
    write_files(ROOT / "docs/quickstart.md", tmp_path)
    changed = (tmp_path / "shop_on_redis.py").read_text()
    assert changed.replace('"redis://localhost:6379/0"', "") in (tmp_path / "shop.py").read_text(
        "utf-8"
    ).replace(", current_job", "")


def test_the_first_task_of_readme_works(tmp_path: Path) -> None:
    write_files(README, tmp_path)
    with worker_process(tmp_path, "--app", "shop:app"):
        assert run(tmp_path, "shop.py") == "welcome, 7\n"


def test_commands_in_the_pages_are_commands() -> None:
    """Every ``taskq …`` that a page shows has a command and options that exist."""
    context = click.Context(main)
    known = {name: main.get_command(context, name) for name in main.list_commands(context)}
    shown = 0
    for page in [README, *sorted((ROOT / "docs").rglob("*.md"))]:
        for line in re.findall(r"^\$ (?:\S+/)?taskq (.*)$", page.read_text("utf-8"), re.MULTILINE):
            words = line.partition("#")[0].split()
            name = words[0]
            command = known.get(name)
            assert command is not None, f"{page.name}: taskq {line}"
            options = {word for parameter in command.params for word in parameter.opts}
            for word in words:
                if word.startswith("-"):
                    assert word in options, f"{page.name}: taskq {line}"
            shown += 1
    assert shown > 10

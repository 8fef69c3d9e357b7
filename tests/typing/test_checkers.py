"""The types hold for users: mypy and pyright take right uses and refuse wrong ones."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

Found = tuple[dict[int, str], dict[int, str]]
"""Errors by line, and revealed types by line."""
Checker = Callable[[Path], Found]


def mypy(file: Path) -> Found:
    told = run(["mypy", "--strict", "--no-error-summary", "--no-pretty", str(file)])
    errors: dict[int, str] = {}
    types: dict[int, str] = {}
    for line in told.splitlines():
        where = re.match(r"(\S+):(\d+): (error|note): (.*)", line)
        assert where is not None, f"mypy could not check: {told}"
        assert Path(where[1]).name == file.name, f"an error elsewhere: {line}"
        number, kind, text = int(where[2]), where[3], where[4]
        if kind == "error":
            errors[number] = text
        elif text.startswith("Revealed type is"):
            types[number] = plain(text.split('"')[1])
    return errors, types


def pyright(file: Path) -> Found:
    told = run(["pyright", "--pythonpath", sys.executable, "--outputjson", str(file)])
    try:
        found = json.loads(told)["generalDiagnostics"]
    except ValueError:
        raise AssertionError(f"pyright could not check: {told}") from None
    errors: dict[int, str] = {}
    types: dict[int, str] = {}
    for one in found:
        line = one["range"]["start"]["line"] + 1
        if one["severity"] == "error":
            errors[line] = one["message"]
        elif match := re.search(r' is "(.*)"$', one["message"]):
            types[line] = plain(match[1])
    return errors, types


def run(command: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout or done.stderr


def plain(text: str) -> str:
    """A type as one would write it, without the modules of its parts."""
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text)


def marked(file: Path, mark: str) -> dict[int, str]:
    lines = enumerate(file.read_text().splitlines(), 1)
    return {number: line.partition(mark)[2].strip() for number, line in lines if mark in line}


checkers = pytest.mark.parametrize("check", [mypy, pyright], ids=["mypy", "pyright"])


@checkers
def test_right_uses_pass_and_have_their_types(check: Checker) -> None:
    file = HERE / "right.py"
    errors, types = check(file)
    assert errors == {}
    assert types == marked(file, "  # type: ")


@checkers
def test_wrong_uses_are_refused_where_they_stand(check: Checker) -> None:
    file = HERE / "wrong.py"
    errors, _ = check(file)
    wrong = marked(file, "  # wrong")
    assert len(wrong) > 20
    assert sorted(errors) == sorted(wrong)

"""The floors of the house: who may import whom, no circles, no file too long.

``FLOORS`` is the plan. A module may import modules of a floor below its own, and on its own
floor those that stand left of it. Imports for types only, imports inside of functions and
imports by name count like any other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import taskq

ROOT = Path(taskq.__file__).parent

MAX_LINES = 500

FLOORS: list[list[str]] = [
    ["errors", "clock", "log"],
    [
        "job",
        "failure",
        "retry",
        "options",
        "cron",
        "codec",
        "unique",
        "config",
    ],
    ["store"],
    ["stores"],
    [
        "signals",
        "context",
        "middleware",
        "handle",
        "tasks",
        "registry",
        "schedule",
        "workflow",
        "inspector",
        "app",
    ],
    ["worker"],
    ["testing", "cli", "web", "notify", "ext", "__main__"],
]
"""Module, or folder with all that is in it. Within a folder any order will do, but no circle."""

BY_NAME = {
    ("app", "worker.worker"): "app.worker() is a convenience: the app works without the worker",
    ("worker.worker", ""): "asks for the version, which the package's face holds",
}
"""Imports by name that go upwards on purpose, and why."""


class Import(NamedTuple):
    """One import of taskq by taskq; modules without the leading ``taskq.``, the package's face
    (``taskq/__init__.py``) as the empty text."""

    source: str
    target: str
    line: int
    by_name: bool = False


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = list(path.relative_to(ROOT).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found[".".join(parts)] = path
    return found


def imports_of(name: str, source: str, known: dict[str, Path]) -> Iterator[Import]:
    """Every import of taskq in a module's source, wherever it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if (target := inside(alias.name)) is not None:
                    yield Import(name, target, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: imports are absolute"
            base = inside(node.module or "")
            if base is None:
                continue
            for alias in node.names:
                deeper = f"{base}.{alias.name}" if base else alias.name
                yield Import(name, deeper if deeper in known else base, node.lineno)
        elif isinstance(node, ast.Call) and node.args and "import_module" in ast.dump(node.func):
            what = node.args[0]
            if isinstance(what, ast.Constant) and (target := inside(str(what.value))) is not None:
                yield Import(name, target, node.lineno, by_name=True)


def inside(name: str) -> str | None:
    if name == "taskq":
        return ""
    return name.removeprefix("taskq.") if name.startswith("taskq.") else None


def place(module: str) -> tuple[int, int] | None:
    """Floor and place on the floor of a module; None if it has none."""
    room = module.partition(".")[0]
    for floor, rooms in enumerate(FLOORS):
        if room in rooms:
            return floor, rooms.index(room)
    return None


@cache
def all_imports() -> list[Import]:
    known = modules()
    return [
        one for name, path in known.items() for one in imports_of(name, path.read_text(), known)
    ]


def test_every_module_has_a_place() -> None:
    homeless = [name for name in modules() if name and place(name) is None]
    assert not homeless, (
        f"{', '.join(homeless)}: without a place. Decide on which floor it stands and what may "
        f"import it, and enter it in FLOORS of tests/unit/test_layers.py"
    )


def test_no_room_is_on_two_floors() -> None:
    rooms = [room for floor in FLOORS for room in floor]
    assert len(rooms) == len(set(rooms))


def test_modules_import_only_downwards() -> None:
    wrong = []
    for one in all_imports():
        mine, its = place(one.source), place(one.target)
        if not one.source or mine is None:
            continue  # the package's face looks at all floors; the homeless fail above
        room, other = one.source.partition(".")[0], one.target.partition(".")[0]
        if one.by_name and (one.source, one.target) in BY_NAME:
            continue
        if room != other and (its is None or its >= mine):
            wrong.append(f"taskq.{one.source}:{one.line} imports taskq.{one.target}")
    assert not wrong, "not downwards:\n" + "\n".join(wrong)


def test_exceptions_are_still_needed() -> None:
    used = {(one.source, one.target) for one in all_imports() if one.by_name}
    assert set(BY_NAME) <= used, f"no longer imported by name: {set(BY_NAME) - used}"


def test_there_are_no_import_circles() -> None:
    edges: dict[str, set[str]] = {}
    for one in all_imports():
        if one.source and one.source != one.target and not one.by_name:
            edges.setdefault(one.source, set()).add(one.target)
    circle = find_circle(edges)
    assert circle is None, "a circle: " + " → ".join(circle or ())


def find_circle(edges: dict[str, set[str]]) -> list[str] | None:
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str] | None:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return None
        for target in sorted(edges.get(node, ())):
            if (found := walk(target, [*path, node])) is not None:
                return found
        done.add(node)
        return None

    for start in sorted(edges):
        if (found := walk(start, [])) is not None:
            return found
    return None


def test_no_file_is_too_long() -> None:
    long = {
        name: count
        for name, path in modules().items()
        if (count := len(path.read_text().splitlines())) > MAX_LINES
    }
    assert not long, f"more than {MAX_LINES} lines, so more than one subject: {long}"


# -- the checks themselves can fail -------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("import taskq.app", "app"),
        ("from taskq.app import TaskQ", "app"),
        ("from taskq import app", "app"),
        ("from taskq import TaskQ", ""),
        ("import taskq", ""),
        ("def f():\n    from taskq.app import TaskQ", "app"),
        ("if TYPE_CHECKING:\n    from taskq.app import TaskQ", "app"),
        ("importlib.import_module('taskq.app')", "app"),
        ("from importlib import import_module\nimport_module('taskq.app')", "app"),
        ("import taskqueue, json\nfrom taskqueue import app", None),
    ],
)
def test_every_way_to_import_is_seen(source: str, target: str | None) -> None:
    found = list(imports_of("job", source, {"app": ROOT}))
    assert [one.target for one in found] == ([] if target is None else [target])


def test_a_circle_is_found() -> None:
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"d", "b"}}) == ["b", "c", "b"]
    assert find_circle({"a": {"b", "c"}, "b": {"c"}}) is None

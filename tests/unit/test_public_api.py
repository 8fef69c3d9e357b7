"""What users can import, and how it is called: a snapshot, so nothing changes by accident.

``public_api.txt`` beside this file holds it. After a change on purpose, renew it with

    python -m tests.unit.test_public_api

and look at its difference: a line that goes or changes breaks somebody's code.
"""

from __future__ import annotations

import difflib
import enum
import inspect
import re
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import taskq

SNAPSHOT = Path(__file__).with_name("public_api.txt")
RENEW = "python -m tests.unit.test_public_api"


def describe() -> str:
    """The public names in the order of ``taskq.__all__``, with what can be called on them."""
    return "".join(f"{line}\n" for name in taskq.__all__ for line in lines_of(name))


def lines_of(name: str) -> Iterator[str]:
    value = getattr(taskq, name)
    if isinstance(value, type):
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        yield f"class {name}({bases})" if bases else f"class {name}"
        yield from members(value)
    elif inspect.isfunction(value):
        yield f"def {name}{overloads(value)}"
    elif name == "__version__":
        yield "__version__: str"  # its value changes with each release
    else:
        yield f"{name} = {value}"


def members(cls: type) -> Iterator[str]:
    if issubclass(cls, enum.Enum):
        yield from (f"    {member.name} = {member.value!r}" for member in cls)
        return
    if "__init__" in vars(cls) or "__new__" in vars(cls):
        yield f"    {cls.__name__}{signature(cls)}"
    for name in sorted(public_names(cls)):
        attribute = inspect.getattr_static(cls, name)
        if isinstance(attribute, property):
            yield f"    {name}: {returns(attribute.fget)}"
        elif isinstance(attribute, classmethod | staticmethod):
            yield f"    {type(attribute).__name__} {name}{signature(attribute.__func__)}"
        elif inspect.isfunction(attribute):
            word = "async def" if inspect.iscoroutinefunction(attribute) else "def"
            yield f"    {word} {name}{overloads(attribute)}"
        else:
            yield f"    {name}"


def public_names(cls: type) -> set[str]:
    """Names that taskq itself gave the class, its own and inherited ones."""
    return {
        name
        for base in cls.__mro__
        if base.__module__.partition(".")[0] == "taskq"
        for name in vars(base)
        if not name.startswith("_") or name in ("__call__", "__await__")
    }


def overloads(function: object) -> str:
    found = typing.get_overloads(function)  # type: ignore[arg-type]  # any function will do
    return " | ".join(signature(each) for each in found) or signature(function)


def signature(function: object) -> str:
    text = str(inspect.signature(function))  # type: ignore[arg-type]  # classes, too
    return re.sub(r"<object object at \w+>", "<unset>", text)


def returns(getter: object) -> str:
    return str(inspect.signature(getter).return_annotation)  # type: ignore[arg-type]  # a function


def test_public_names_and_signatures_are_as_recorded() -> None:
    recorded = SNAPSHOT.read_text() if SNAPSHOT.exists() else ""
    difference = "\n".join(
        difflib.unified_diff(
            recorded.splitlines(), describe().splitlines(), "recorded", "now", lineterm="", n=0
        )
    )
    assert not difference, (
        f"the public API changed:\n{difference}\nIf that is meant, run {RENEW} and say in the "
        f"changelog what users have to change."
    )


def test_every_public_name_exists_once_and_is_documented() -> None:
    assert len(taskq.__all__) == len(set(taskq.__all__))
    values = {name: getattr(taskq, name) for name in taskq.__all__}
    bare = [
        name
        for name, value in values.items()
        if (inspect.isclass(value) or inspect.isfunction(value)) and not inspect.getdoc(value)
    ]
    assert not bare, f"without a docstring: {bare}"


def test_what_is_not_listed_is_not_offered() -> None:
    """``from taskq import *`` gives exactly the listed names, and no module comes along."""
    space: dict[str, object] = {}
    exec("from taskq import *", space)
    assert set(space) - {"__builtins__"} == set(taskq.__all__)
    assert not [name for name, value in space.items() if inspect.ismodule(value)]


def test_names_mean_the_same_whatever_was_imported_before() -> None:
    """The names are made when they are first asked for, and no submodule may hide one."""
    for line in (
        "from taskq import task, TaskQ",
        "from taskq import TaskQ, task",
        "import taskq.app, taskq.worker; from taskq import task",
    ):
        told = subprocess.run(
            [sys.executable, "-c", f"{line}; print(type(task).__name__)"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.stdout.strip() == "function", f"{line}: {told.stdout}{told.stderr}"


if __name__ == "__main__":
    SNAPSHOT.write_text(describe())

"""Which task a name means, and what a task is."""

from __future__ import annotations

import functools
import inspect
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskq import InvalidOption, Task, TaskAlreadyRegistered, TaskNotFound, TaskQ
from taskq.registry import Registry
from taskq.tasks import task_name


@pytest.fixture
def app() -> Iterator[TaskQ]:
    made = TaskQ("memory://")
    yield made
    made.forget()


def double(number: int) -> int:
    """Twice as much."""
    return number * 2


def other(number: int) -> int:
    return number


# -- names -------------------------------------------------------------------------------------


def test_a_task_is_named_by_module_and_qualified_name(app: TaskQ) -> None:
    def inner() -> None: ...

    assert app.task(double).name == f"{__name__}.double"
    assert app.task(inner).name == (
        f"{__name__}.test_a_task_is_named_by_module_and_qualified_name.<locals>.inner"
    )


def test_a_name_of_ones_own(app: TaskQ) -> None:
    made = app.task(name="math.double")(double)
    assert app.tasks.find("math.double") is made
    assert app.tasks.find(f"{__name__}.double") is None


def test_the_name_is_the_same_when_the_file_is_run(tmp_path: Path) -> None:
    """As ``__main__``, imported, and run as a module, a task has one name."""
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("")
    text = (
        "from taskq import TaskQ\n"
        "app = TaskQ('memory://')\n"
        "@app.task\n"
        "def send(): ...\n"
        "print(send.name)\n"
    )
    (package / "jobs.py").write_text(text)
    (tmp_path / "jobs.py").write_text(text)
    told = {
        line: subprocess.run(
            [sys.executable, *line.split()],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for line in ("jobs.py", "-m jobs", "-m shop.jobs")
    }
    assert told == {
        "jobs.py": "jobs.send",
        "-m jobs": "jobs.send",
        "-m shop.jobs": "shop.jobs.send",
    }


def test_a_package_that_is_run_has_its_own_name(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(
        "from taskq.tasks import task_name\ndef send(): ...\nprint(task_name(send))\n"
    )
    told = subprocess.run(
        [sys.executable, "-m", "shop"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "shop.send"


def test_two_functions_cannot_share_a_name(app: TaskQ) -> None:
    app.task(name="same")(double)
    with pytest.raises(TaskAlreadyRegistered, match=r"'same' is taken by .*double.*name="):
        app.task(name="same")(other)
    assert app.tasks.get("same").fn is double


def test_a_function_defined_anew_takes_the_place_of_the_old_one(app: TaskQ) -> None:
    """A module that is loaded again declares its tasks again."""

    def declare() -> Any:
        @app.task
        def job() -> None: ...

        return job

    first, second = declare(), declare()
    assert first.name == second.name
    assert app.tasks.get(first.name) is second


def test_apps_do_not_share_their_tasks(app: TaskQ) -> None:
    second = TaskQ("memory://")
    app.task(name="same")(double)
    second.task(name="same")(other)
    assert (app.tasks.get("same").fn, second.tasks.get("same").fn) == (double, other)
    second.forget()


def test_a_parents_tasks_count_too_and_ones_own_come_first() -> None:
    parent = Registry()
    child = Registry(parent)
    theirs: Any = Task(double, {"name": "a"})
    shared: Any = Task(double, {"name": "b"})
    mine: Any = Task(other, {"name": "a"})
    parent.add(theirs)
    parent.add(shared)
    child.add(mine)
    assert child.get("a") is mine
    assert child.get("b") is shared
    assert [task.name for task in child] == ["a", "b"]
    assert next(iter(child)) is mine
    assert parent.get("a") is theirs


def test_an_unknown_name_is_told_with_the_nearest_one(app: TaskQ) -> None:
    app.task(name="mail.send")(double)
    with pytest.raises(TaskNotFound, match=r"'mail.sned'; did you mean mail.send\?"):
        app.tasks.get("mail.sned")
    with pytest.raises(TaskNotFound, match=r"no task 'xyzzy'$"):
        app.tasks.get("xyzzy")


# -- tasks -------------------------------------------------------------------------------------


def test_a_task_is_still_the_function_it_was(app: TaskQ) -> None:
    made = app.task(double)
    assert made(4) == 8
    assert vars(made)["__name__"] == "double"
    assert made.__doc__ == "Twice as much."
    assert made.__module__ == __name__
    assert inspect.signature(made) == inspect.signature(double)


async def test_an_async_task_called_gives_its_coroutine(app: TaskQ) -> None:
    @app.task
    async def later(number: int) -> int:
        return number

    assert await later(3) == 3
    assert later.lane == "loop"
    assert app.task(double).lane == "thread"


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


class Callable_:
    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    "what",
    [generator, async_generator, int, "double", None, 5, staticmethod(double)],
    ids=lambda what: getattr(what, "__name__", repr(what)),
)
def test_what_is_no_function_is_refused(app: TaskQ, what: Any) -> None:
    with pytest.raises(InvalidOption, match=r"@task takes a function"):
        app.task()(what)


def test_a_task_of_a_task_is_refused(app: TaskQ) -> None:
    with pytest.raises(InvalidOption, match=r"@task takes a function"):
        app.task(app.task(double))


@pytest.mark.parametrize(
    "what", [functools.partial(double, 1), Callable_()], ids=["partial", "object"]
)
def test_what_has_no_name_is_refused_or_needs_one(app: TaskQ, what: Any) -> None:
    """A callable without a name of its own: a clear error, not one about __qualname__."""
    with pytest.raises(InvalidOption):
        app.task(what)


def test_a_wrong_option_is_told_where_it_is_written(app: TaskQ) -> None:
    """Before there is a function, and before anything is registered."""
    with pytest.raises(InvalidOption, match="did you mean queue"):
        app.task(que="low")  # type: ignore[call-overload]  # the slip that is meant
    assert [task for task in app.tasks if task.app is app] == []


SIGNATURES = [
    "()",
    "(a)",
    "(a, b=1)",
    "(a, /, b, *, c)",
    "(a=1, /, *, c=2)",
    "(*args)",
    "(a, *args, b, c=1)",
    "(**kwargs)",
    "(a, /, **a_)",
    "(a, b=2, *args, c, d=4, **kwargs)",
]
CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    ((1,), {}),
    ((1, 2), {}),
    ((1, 2, 3), {}),
    ((), {"a": 1}),
    ((1,), {"a": 1}),
    ((1,), {"b": 2}),
    ((1,), {"c": 3}),
    ((1, 2), {"c": 3}),
    ((1,), {"b": 2, "c": 3}),
    ((1,), {"b": 2, "c": 3, "z": 9}),
]


@pytest.mark.parametrize("text", SIGNATURES)
def test_arguments_are_checked_exactly_as_a_call_would(text: str) -> None:
    space: dict[str, Any] = {}
    exec(f"def fn{text}: pass", space)
    task: Any = Task(space["fn"], {"name": "x"})
    for args, kwargs in CALLS:
        assert verdict(task.check, args, kwargs) == verdict(space["fn"], args, kwargs)


def verdict(call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    try:
        call(*args, **kwargs)
    except TypeError as error:
        return str(error)
    return ""


def test_checking_runs_nothing() -> None:
    ran = []
    task: Any = Task(lambda: ran.append(1), {"name": "x"})
    task.check()
    assert ran == []


def test_a_name_does_not_depend_on_a_function_that_moved() -> None:
    assert task_name(double) == f"{__name__}.double"

"""Which app a task without one belongs to, and that there is no job outside of a job."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskq import (
    NoAppError,
    TaskQ,
    add_app_finder,
    context,
    current_app,
    current_job,
    load_app,
    task,
)
from taskq.context import remove_app
from taskq.errors import ConfigError


@task
def lonely(number: int) -> int:
    return number


@pytest.fixture(autouse=True)
def _no_other_apps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apps that other test modules hold are out of sight here."""
    monkeypatch.setattr(context, "_apps", weakref.WeakSet())


@pytest.fixture
def app() -> Iterator[TaskQ]:
    made = TaskQ("memory://")
    yield made
    made.forget()


@pytest.fixture
def other() -> Iterator[TaskQ]:
    made = TaskQ("memory://")
    yield made
    made.forget()


def test_without_an_app_it_is_an_ordinary_function() -> None:
    assert lonely(3) == 3


def test_without_an_app_enqueuing_says_what_to_do() -> None:
    with pytest.raises(NoAppError, match=r"app = TaskQ\(\)"):
        lonely.delay(3)


def test_the_only_app_there_is(app: TaskQ) -> None:
    job = lonely.delay(3)
    assert app.job(job.id).info().args == (3,)


def test_with_several_apps_one_has_to_say_which(app: TaskQ, other: TaskQ) -> None:
    with pytest.raises(NoAppError, match=r"there are 2 apps.*@app.task.*app.enqueue"):
        lonely.delay(3)
    job = other.enqueue(lonely, 3)
    assert other.inspector.job(job.id) is not None
    assert app.inspector.job(job.id) is None


def test_an_app_that_is_forgotten_no_longer_counts(app: TaskQ) -> None:
    second = TaskQ("memory://")
    second.forget()
    assert current_app() is app


def test_an_app_that_is_gone_no_longer_counts(app: TaskQ) -> None:
    second = TaskQ("memory://")
    del second
    gc.collect()
    assert current_app() is app


def test_a_framework_says_which_app_is_the_current_one(app: TaskQ, other: TaskQ) -> None:
    says: list[TaskQ | None] = [other]  # None at the end: a finder cannot be taken away

    def finder() -> TaskQ | None:
        return says[0]

    add_app_finder(finder)
    add_app_finder(finder)  # twice is once
    job = lonely.delay(3)
    assert other.inspector.job(job.id) is not None
    assert app.inspector.job(job.id) is None
    says[0] = None
    with pytest.raises(NoAppError, match="2 apps"):
        current_app()
    remove_app(other)
    assert current_app() is app


def test_every_app_knows_the_tasks_without_one(app: TaskQ, other: TaskQ) -> None:
    assert app.tasks.find(lonely.name) is lonely
    assert other.tasks.find(lonely.name) is lonely


def test_the_options_of_the_app_lie_below_those_of_the_task() -> None:
    app = TaskQ("memory://", defaults={"queue": "low", "max_retry": 3})
    try:
        assert lonely.delay(1).info().queue == "low"
    finally:
        app.forget()


def test_by_name_also_a_task_that_is_not_known_here(app: TaskQ) -> None:
    job = app.enqueue("elsewhere.send", 7, subject="x")
    info = job.info()
    assert (info.task, info.args, info.kwargs) == ("elsewhere.send", (7,), {"subject": "x"})


def test_there_is_no_job_outside_of_a_job() -> None:
    with pytest.raises(RuntimeError, match="outside of a job"):
        current_job()


# -- finding an app by its name -----------------------------------------------------------------


MODULE = """
from taskq import TaskQ
app = TaskQ("memory://")
class holder:
    inner = app
def make():
    return app
number = 5
def nothing():
    return None
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = f"shop_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    yield name
    found = sys.modules.pop(name, None)
    if found is not None:
        found.app.forget()


@pytest.mark.parametrize("path", ["", ":app", ":holder.inner", ":make"])
def test_an_app_is_found_by_its_name(module: str, path: str) -> None:
    assert isinstance(load_app(module + path), TaskQ)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (":ap", "has no 'ap'"),
        (":holder.outer", "has no 'holder.outer'"),
        (":number", "is not a TaskQ app but int"),
        (":nothing", "is not a TaskQ app but NoneType"),
    ],
)
def test_what_is_no_app_is_told(module: str, path: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_app(module + path)


def test_a_module_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigError, match="there is no module 'no_such_shop'"):
        load_app("no_such_shop:app")


def test_a_name_without_a_module_is_told() -> None:
    with pytest.raises(ConfigError, match="module:name"):
        load_app(":app")


def test_an_error_in_the_module_is_shown_with_its_own_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_shop.py").write_text("def f():\n    return 1 / 0\nf()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    with pytest.raises(ConfigError) as raised:
        load_app("broken_shop:app")
    text = str(raised.value)
    assert "ZeroDivisionError" in text
    assert 'broken_shop.py", line 2' in text
    assert "importlib" not in text

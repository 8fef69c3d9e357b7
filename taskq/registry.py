"""Which task a name means. Workers run registered tasks only; nothing is imported from a job."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from taskq.errors import TaskAlreadyRegistered, TaskNotFound
from taskq.tasks import Task

AnyTask = Task[..., Any, Any]


class Registry:
    """Tasks by name; those of ``parent`` count too, its own come first."""

    def __init__(self, parent: Registry | None = None) -> None:
        self._tasks: dict[str, AnyTask] = {}
        self._parent = parent

    def add(self, task: AnyTask) -> None:
        """:raises TaskAlreadyRegistered: another function has that name already.

        The same function defined anew (a reloaded module) takes the place of the old one.
        """
        there = self._tasks.get(task.name)
        if there is not None and (there.fn.__module__, there.fn.__qualname__) != (
            task.fn.__module__,
            task.fn.__qualname__,
        ):
            raise TaskAlreadyRegistered(
                f"the task name {task.name!r} is taken by {there.fn.__module__}."
                f"{there.fn.__qualname__}; give this one another with @task(name=…)"
            )
        self._tasks[task.name] = task

    def find(self, name: str) -> AnyTask | None:
        task = self._tasks.get(name)
        if task is None and self._parent is not None:
            return self._parent.find(name)
        return task

    def get(self, name: str) -> AnyTask:
        """:raises TaskNotFound: with the nearest known name."""
        task = self.find(name)
        if task is None:
            near = difflib.get_close_matches(name, [t.name for t in self], 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise TaskNotFound(f"there is no task {name!r}{hint}")
        return task

    def __iter__(self) -> Iterator[AnyTask]:
        seen = dict(self._tasks)
        if self._parent is not None:
            for task in self._parent:
                seen.setdefault(task.name, task)
        return iter(sorted(seen.values(), key=lambda t: t.name))


shared = Registry()
"""Tasks declared without an app (``from taskq import task``); every app knows them."""

"""Middleware: context managers around each run of a task.

A middleware is a function of the running job that returns a context manager::

    @app.middleware
    @contextmanager
    def timing(job):
        started = time.monotonic()
        yield
        log.info("%s took %.3f s", job.task, time.monotonic() - started)

The same one serves ``def`` and ``async def`` tasks: it is entered and left in the thread,
or the coroutine, that runs the task. The first one added is the outermost. It sees the
task's exception and may replace it; one that raises fails the attempt. It must not wait.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from taskq.context import JobContext

Middleware = Callable[[JobContext], AbstractContextManager[Any]]

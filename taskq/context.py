"""What runs right now, and for which app: `current_job()` and how a task finds its app."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from taskq.errors import NoAppError

if TYPE_CHECKING:
    from taskq.options import Options

_UNSET: Any = object()


class Notebook(Protocol):
    """Where a running job's words go; the worker's side of :class:`JobContext`."""

    def progress(self, value: dict[str, Any]) -> None: ...
    def log(self, line: str) -> None: ...
    def checkpoint(self, value: object) -> None: ...
    def load_checkpoint(self) -> Any: ...
    def update(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None: ...
    def cancelled(self) -> bool: ...


class JobContext:
    """The running job, as its task sees it. Made by the worker; get it by `current_job`."""

    __slots__ = (
        "_deadline",
        "_notebook",
        "app",
        "args",
        "attempt",
        "enqueued_at",
        "headers",
        "id",
        "kwargs",
        "options",
        "priority",
        "queue",
        "tags",
        "task",
    )

    def __init__(
        self,
        *,
        app: Any,
        id: str,
        task: str,
        queue: str,
        attempt: int,
        priority: int,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        headers: Mapping[str, str],
        tags: Sequence[str],
        enqueued_at: float,
        deadline: float | None,
        options: Options,
        notebook: Notebook,
    ) -> None:
        self.app = app
        self.id = id
        self.task = task
        self.queue = queue
        self.attempt = attempt
        self.priority = priority
        self.args = args
        self.kwargs = kwargs
        self.headers = headers
        self.tags = tuple(tags)
        self.enqueued_at = enqueued_at
        self.options = options
        self._deadline = deadline
        self._notebook = notebook

    @property
    def deadline(self) -> datetime | None:
        """When the whole job must be over; None: no such time."""
        if self._deadline is None:
            return None
        return datetime.fromtimestamp(self._deadline, UTC)

    @property
    def max_retry(self) -> int:
        """How often a failed attempt of this job is repeated."""
        return self.options.max_retry

    @property
    def cancelled(self) -> bool:
        """True once somebody asked this job to stop, for those who want to look themselves."""
        return self._notebook.cancelled()

    def progress(self, done: float, total: float | None = None, text: str = "") -> None:
        """Tell how far the job is. Written within about a second, and before the job ends.

        Read it with ``handle.info().progress``.
        """
        value: dict[str, Any] = {"done": done}
        if total is not None:
            value["total"] = total
        if text:
            value["text"] = text
        self._notebook.progress(value)

    def log(self, line: str) -> None:
        """Keep a line with the job. Written as `progress` is."""
        self._notebook.log(line)

    def checkpoint(self, value: Any = _UNSET) -> Any:
        """With a value: store it with the job, now, so that the next attempt can go on from there.
        Without: what was stored last, or None.

        :raises EncodeError: the value cannot travel.
        :raises LeaseLost: the job is no longer this worker's; nothing was written.
        """
        if value is _UNSET:
            return self._notebook.load_checkpoint()
        self._notebook.checkpoint(value)
        return value

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Replace the job's arguments, now: the next attempt, if there is one, gets these.

        :raises TypeError: they do not fit the task's parameters.
        :raises LeaseLost: as for `checkpoint`.
        """
        self._notebook.update(args, kwargs)

    def __repr__(self) -> str:
        return f"<JobContext {self.task} {self.id} attempt {self.attempt}>"


running_job: ContextVar[JobContext | None] = ContextVar("taskq_running_job", default=None)


def current_job() -> JobContext:
    """The job that runs in this thread or coroutine.

    :raises RuntimeError: none does; the function was called directly.
    """
    job = running_job.get()
    if job is None:
        raise RuntimeError("current_job() was called outside of a job")
    return job


_apps: weakref.WeakSet[Any] = weakref.WeakSet()
_finders: list[Callable[[], Any | None]] = []


def add_app(app: Any) -> None:
    """Let tasks without an app find this one."""
    _apps.add(app)


def remove_app(app: Any) -> None:
    _apps.discard(app)


def add_app_finder(finder: Callable[[], Any | None]) -> None:
    """Let a framework say which app is the current one (None: none is)."""
    if finder not in _finders:
        _finders.append(finder)


def current_app() -> Any:
    """The app that a task without one belongs to at this moment.

    That of the job that runs, else the framework's current one, else the only one there is.

    :raises NoAppError: none, or more than one.
    """
    job = running_job.get()
    if job is not None:
        return job.app
    for finder in _finders:
        app = finder()
        if app is not None:
            return app
    apps = list(_apps)
    if len(apps) == 1:
        return apps[0]
    if not apps:
        raise NoAppError("there is no app yet: make one first, such as app = TaskQ()")
    raise NoAppError(
        f"there are {len(apps)} apps; declare the task with one of them (@app.task), "
        f"or enqueue it with app.enqueue(task, …)"
    )

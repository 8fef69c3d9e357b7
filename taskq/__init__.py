"""taskq: background jobs for Python web applications.

::

    from taskq import TaskQ

    app = TaskQ()                       # SQLite in the working folder; or a redis:// URL

    @app.task(queue="mail", max_retry=5)
    def send_welcome(user_id: int) -> str: ...

    job = send_welcome.delay(7)         # a worker runs it: taskq worker --app module:app
    job.result(timeout=5)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskq.app import TaskQ, load_app, task
    from taskq.codec import Codec
    from taskq.config import Config
    from taskq.context import JobContext, add_app_finder, current_app, current_job
    from taskq.errors import (
        Cancel,
        CancelRequested,
        CodecError,
        ConfigError,
        Control,
        DeadlineExceeded,
        DecodeError,
        Duplicate,
        EncodeError,
        Fail,
        Interrupt,
        InvalidOption,
        JobCancelled,
        JobError,
        JobExpired,
        JobFailed,
        JobNotFound,
        LeaseLost,
        NoAppError,
        NotSupported,
        ResultNotKept,
        Retry,
        SchemaError,
        Snooze,
        StoreError,
        StoreUnavailable,
        TaskAlreadyRegistered,
        TaskNotFound,
        TaskQError,
        TimedOut,
        WorkerStopping,
    )
    from taskq.failure import Failure
    from taskq.handle import JobHandle, JobInfo
    from taskq.inspector import Inspector
    from taskq.job import QueueStats, State, WorkerInfo
    from taskq.middleware import Middleware
    from taskq.options import Unique
    from taskq.retry import Exponential
    from taskq.tasks import Task

__version__ = "0.1.0"

__all__ = [
    # the app and its tasks
    "TaskQ",
    "Task",
    "task",
    "Exponential",
    "Unique",
    "Config",
    "Codec",
    "Middleware",
    # jobs from outside
    "JobHandle",
    "JobInfo",
    "Failure",
    "State",
    "Inspector",
    "QueueStats",
    "WorkerInfo",
    # jobs from inside
    "current_job",
    "JobContext",
    "Control",
    "Retry",
    "Snooze",
    "Cancel",
    "Fail",
    "Interrupt",
    "TimedOut",
    "DeadlineExceeded",
    "CancelRequested",
    "WorkerStopping",
    # errors
    "TaskQError",
    "ConfigError",
    "InvalidOption",
    "NoAppError",
    "TaskNotFound",
    "TaskAlreadyRegistered",
    "Duplicate",
    "CodecError",
    "EncodeError",
    "DecodeError",
    "StoreError",
    "StoreUnavailable",
    "LeaseLost",
    "NotSupported",
    "SchemaError",
    "JobError",
    "JobFailed",
    "JobCancelled",
    "JobExpired",
    "JobNotFound",
    "ResultNotKept",
    # for frameworks
    "load_app",
    "current_app",
    "add_app_finder",
    "__version__",
]

# Each name is imported when it is first asked for: a supervisor needs little of taskq, and
# what it does not import it does not hold in memory.
_HOMES = {
    "taskq.app": (
        "TaskQ",
        "load_app",
        "task",
    ),
    "taskq.codec": ("Codec",),
    "taskq.config": ("Config",),
    "taskq.context": (
        "JobContext",
        "add_app_finder",
        "current_app",
        "current_job",
    ),
    "taskq.errors": (
        "Cancel",
        "CancelRequested",
        "CodecError",
        "ConfigError",
        "Control",
        "DeadlineExceeded",
        "DecodeError",
        "Duplicate",
        "EncodeError",
        "Fail",
        "Interrupt",
        "InvalidOption",
        "JobCancelled",
        "JobError",
        "JobExpired",
        "JobFailed",
        "JobNotFound",
        "LeaseLost",
        "NoAppError",
        "NotSupported",
        "ResultNotKept",
        "Retry",
        "SchemaError",
        "Snooze",
        "StoreError",
        "StoreUnavailable",
        "TaskAlreadyRegistered",
        "TaskNotFound",
        "TaskQError",
        "TimedOut",
        "WorkerStopping",
    ),
    "taskq.failure": ("Failure",),
    "taskq.handle": (
        "JobHandle",
        "JobInfo",
    ),
    "taskq.inspector": ("Inspector",),
    "taskq.job": (
        "QueueStats",
        "State",
        "WorkerInfo",
    ),
    "taskq.middleware": ("Middleware",),
    "taskq.options": ("Unique",),
    "taskq.retry": ("Exponential",),
    "taskq.tasks": ("Task",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'taskq' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

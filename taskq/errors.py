"""Every exception that taskq raises, or that a task raises to steer its own job.

::

    TaskQError
      ConfigError                    a setting, a URL or an option is wrong
        InvalidOption
      NoAppError                     a task was called and no app could be found for it
      TaskNotFound
      TaskAlreadyRegistered
      Duplicate                      on_duplicate="raise", or nothing that could be replaced
      CodecError
        EncodeError                  an argument or a result that cannot travel
        DecodeError                  bytes that are not what taskq wrote
      StoreError
        StoreUnavailable             may be repeated
        LeaseLost                    somebody else took over; the worker opens a new lease
        NotSupported                 this store cannot do that
        SchemaError                  the stored layout is of another version
      JobError                       why ``JobHandle.result()`` has none
        JobFailed  JobCancelled  JobExpired  JobNotFound  ResultNotKept
    Control                          raised by a task on purpose
      Retry  Snooze  Cancel  Fail
    Interrupt (BaseException)        raised into a task; ``except Exception`` does not catch it
      TimedOut  DeadlineExceeded  CancelRequested  WorkerStopping
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any


class TaskQError(Exception):
    """The root of all errors that taskq raises."""


class ConfigError(TaskQError, ValueError):
    """A setting, a store URL or an option is wrong; the text says what would be right."""


class InvalidOption(ConfigError, TypeError):
    """An option of a task or of a call is unknown, of the wrong type or out of range."""


class NoAppError(TaskQError, RuntimeError):
    """A task declared with ``from taskq import task`` was enqueued and no app could be found."""


class TaskNotFound(TaskQError, LookupError):
    """No task of that name is registered."""


class TaskAlreadyRegistered(TaskQError, ValueError):
    """Two functions were registered under one task name."""


class Duplicate(TaskQError):
    """A job with the same unique key is there already. ``id`` is that job's id."""

    def __init__(self, message: str, id: str) -> None:
        super().__init__(message)
        self.id = id


class CodecError(TaskQError):
    """A value could not be turned into bytes or back."""


class EncodeError(CodecError, TypeError):
    """A value cannot travel. ``path`` says where it sits, such as ``args[0]['when']``."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class DecodeError(CodecError, ValueError):
    """Stored bytes are not what taskq wrote, or do not fit the task's parameters."""


class StoreError(TaskQError):
    """Something went wrong between taskq and the store."""


class StoreUnavailable(StoreError, ConnectionError):
    """The store was not reached, or did not answer in time.

    The only error that may be repeated, and repeating is safe. From an enqueue,
    ``ids`` holds the ids of the jobs that were on their way: each of them may have
    been stored, and enqueuing it again under the same id stores it once.
    """

    def __init__(self, message: str, ids: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.ids = tuple(ids)


class LeaseLost(StoreError):
    """The worker's lease ended: others may have its jobs. It has to open a new one."""


class NotSupported(StoreError):
    """This store cannot do what was asked; the text names what can."""


class SchemaError(StoreError):
    """The store's layout is of another version than this taskq understands."""


class JobError(TaskQError):
    """Why a job has no result. ``id`` is the job's id."""

    def __init__(self, message: str, id: str) -> None:
        super().__init__(message)
        self.id = id


class JobFailed(JobError):
    """The job failed for good.

    ``type`` is the qualified name of the remote exception (a text: nothing is
    imported), ``message`` its text, ``traceback`` the remote traceback as text.
    """

    def __init__(self, id: str, type: str, message: str, traceback: str = "") -> None:
        super().__init__(f"job {id} failed with {type}: {message}", id)
        self.type = type
        self.message = message
        self.traceback = traceback


class JobCancelled(JobError):
    """The job was cancelled."""


class JobExpired(JobError):
    """The job did not start within its ``expires`` and was not run."""


class JobNotFound(JobError, LookupError):
    """No such job: there never was one, or its record is no longer kept."""


class ResultNotKept(JobError):
    """The job ended, and its result was not kept (``keep=0``)."""


class Control(Exception):
    """Raised by a task to decide what becomes of its own job."""


def _checked(
    where: str, delay: float | timedelta | datetime | None
) -> float | timedelta | datetime | None:
    if isinstance(delay, datetime):
        if delay.utcoffset() is None:
            raise InvalidOption(f"{where} is a naive datetime ({delay}); give it a time zone")
    elif delay is not None and not isinstance(delay, timedelta):
        if isinstance(delay, bool) or not isinstance(delay, int | float):
            raise InvalidOption(f"{where} takes seconds or a timedelta, not {delay!r}")
        if not math.isfinite(delay):
            raise InvalidOption(f"{where} takes a finite number of seconds, not {delay!r}")
    return delay


def _checked_priority(where: str, priority: int | None) -> int | None:
    if priority is not None and (isinstance(priority, bool) or not isinstance(priority, int)):
        raise InvalidOption(f"{where} takes a whole number from -100 to 100, not {priority!r}")
    if priority is not None and not -100 <= priority <= 100:
        raise InvalidOption(f"{where} takes -100 to 100, not {priority}")
    return priority


class Retry(Control):
    """Try again. Uses an attempt; out of attempts the job fails.

    :param delay: seconds, timedelta or aware datetime until the next attempt; None takes the
        task's backoff.
    :param priority: a new priority.
    :param args: new positional arguments (bound to the task's signature at once).
    :param kwargs: new keyword arguments.
    """

    def __init__(
        self,
        reason: str = "",
        *,
        delay: float | timedelta | datetime | None = None,
        priority: int | None = None,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(reason or "the task asked for a retry")
        self.delay = _checked("Retry(delay)", delay)
        self.priority = _checked_priority("Retry(priority)", priority)
        self.args_ = args
        self.kwargs_ = kwargs


class Snooze(Control):
    """Run again later without using an attempt.

    :param delay: seconds, timedelta or aware datetime.
    :param priority, args, kwargs: as for :class:`Retry`. A job of several steps
        moves itself on this way.
    """

    def __init__(
        self,
        delay: float | timedelta | datetime = 0.0,
        *,
        priority: int | None = None,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__("the task asked to run again later")
        self.delay = _checked("Snooze(delay)", delay) or 0.0
        self.priority = _checked_priority("Snooze(priority)", priority)
        self.args_ = args
        self.kwargs_ = kwargs


class Cancel(Control):
    """End this job as cancelled; it is not retried."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "the task cancelled itself")


class Fail(Control):
    """End this job as failed now, whatever attempts are left."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "the task gave up")


class Interrupt(BaseException):
    """Raised into a running task from outside. Not an ``Exception``: tasks do not swallow it."""


class TimedOut(Interrupt):
    """The attempt ran longer than its ``timeout``."""


class DeadlineExceeded(Interrupt):
    """The job's ``deadline`` passed."""


class CancelRequested(Interrupt):
    """Somebody cancelled the job while it ran."""


class WorkerStopping(Interrupt):
    """The worker stops, and its grace is over; the job is given back, no attempt used."""

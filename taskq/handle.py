"""Looking at a job from outside: its state, its result, and stopping it.

:class:`JobHandle` has the vocabulary of ``concurrent.futures.Future``.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

from taskq.codec import Call
from taskq.errors import (
    CodecError,
    JobCancelled,
    JobExpired,
    JobFailed,
    JobNotFound,
    ResultNotKept,
)
from taskq.failure import Failure
from taskq.job import Job, State
from taskq.store import AsyncStore, Store

R = TypeVar("R")

LONGEST_WAIT = 60.0
"""One call to the store waits at most this long; a longer wait is several calls."""


class Reader(Protocol):
    """What a handle needs of its app."""

    @property
    def store(self) -> Store: ...
    def async_store(self) -> AsyncStore: ...
    def read_result(self, job: Job) -> Any: ...
    def read_call(self, job: Job) -> Call: ...
    def read_value(self, data: bytes) -> Any: ...


@dataclass(slots=True)
class JobInfo:
    """All there is to know of a job, read once. Times are aware (UTC)."""

    id: str
    task: str
    queue: str
    state: State
    priority: int
    attempt: int
    """The number of the run that goes on, or of the last one; 0 before the first."""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    unreadable: str = ""
    """Why the arguments could not be read, if so."""
    tags: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    deaths: int = 0
    enqueued_at: datetime | None = None
    due_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    deadline: datetime | None = None
    cancel_requested: bool = False
    errors: list[Failure] = field(default_factory=list)
    """Of each failed attempt, oldest first."""
    progress: Mapping[str, Any] | None = None
    log: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data: what ``taskq get --json`` prints.

        Times are ISO text; of the arguments, what JSON has no form for is its ``str()``.
        """
        named: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        named["errors"] = [asdict(error) for error in self.errors]
        return {name: _plain(value) for name, value in named.items()}


def info_of(app: Reader, job: Job) -> JobInfo:
    """What the store knows of a job, made readable."""
    running = job.state is State.RUNNING
    info = JobInfo(
        id=job.id,
        task=job.task,
        queue=job.queue,
        state=job.state,
        priority=job.priority,
        attempt=job.attempts + 1 if running else job.attempts,
        deaths=job.deaths,
        enqueued_at=_time(job.enqueued_at),
        due_at=_time(job.due_at),
        started_at=_time(job.started_at),
        ended_at=_time(job.ended_at),
        deadline=_time(job.deadline),
        cancel_requested=job.cancel_requested,
        errors=[Failure.from_bytes(data) for data in job.errors],
        log=[line.decode("utf-8", "replace") for line in job.log],
    )
    try:
        if job.progress is not None:
            info.progress = app.read_value(job.progress)
        call = app.read_call(job)
        info.args, info.kwargs = call.args, call.kwargs
        info.tags, info.headers = tuple(call.tags), call.headers
    except CodecError as error:
        info.unreadable = str(error)
    return info


def _plain(value: Any) -> Any:
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return str(value)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _time(seconds: float | None) -> datetime | None:
    if seconds is None:
        return None
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


class JobHandle(Generic[R]):
    """A job, seen from outside. It holds no state: each question asks the store.

    ``id`` is the job's id. ``created`` is False if the call stored nothing new, because the
    unique job or the id was there already; then this is that job's handle. None for a handle
    from ``app.job(id)``.
    """

    __slots__ = ("_app", "_keep", "created", "id")

    def __init__(
        self, app: Reader, id: str, created: bool | None = None, *, keep: bool = True
    ) -> None:
        self._app = app
        self.id = id
        self.created = created
        self._keep = keep

    # -- state ------------------------------------------------------------------------
    @property
    def state(self) -> State:
        """Where the job stands now.

        :raises JobNotFound: there is no such job, or its record is no longer kept.
        :raises ResultNotKept: it has ended, and its record was deleted at once (``keep=0``).
        """
        return self._there(self._app.store.get([self.id])[0]).state

    async def astate(self) -> State:
        return self._there((await self._app.async_store().get([self.id]))[0]).state

    def info(self) -> JobInfo:
        """Everything about the job. Raises as ``state`` does."""
        return info_of(self._app, self._there(self._app.store.get([self.id])[0]))

    async def ainfo(self) -> JobInfo:
        return info_of(self._app, self._there((await self._app.async_store().get([self.id]))[0]))

    def done(self) -> bool:
        """True when the job has ended, in whatever way; also when its record is gone."""
        return _done(self._app.store.get([self.id])[0])

    async def adone(self) -> bool:
        return _done((await self._app.async_store().get([self.id]))[0])

    def running(self) -> bool:
        """True while a worker runs it."""
        job = self._app.store.get([self.id])[0]
        return job is not None and job.state is State.RUNNING

    def cancelled(self) -> bool:
        """True when it ended as cancelled."""
        job = self._app.store.get([self.id])[0]
        return job is not None and job.state is State.CANCELLED

    # -- result ------------------------------------------------------------------------
    def result(self, timeout: float | None = None) -> R:
        """What the task returned; waits until the job has ended.

        :param timeout: seconds; None waits for ever.
        :raises JobFailed: with the remote type, message and traceback.
        :raises JobCancelled, JobExpired: it ended so.
        :raises ResultNotKept: it ended, and its record was deleted at once (``keep=0``).
        :raises JobNotFound: there is no such job (any more).
        :raises TimeoutError: it has not ended in time.
        """
        return self._value(self._wait(timeout))

    async def aresult(self, timeout: float | None = None) -> R:
        return self._value(await self._await(timeout))

    def exception(self, timeout: float | None = None) -> JobFailed | None:
        """The failure, or None if the job succeeded; waits and raises as ``result`` does."""
        return self._failure(self._wait(timeout))

    async def aexception(self, timeout: float | None = None) -> JobFailed | None:
        return self._failure(await self._await(timeout))

    def __await__(self) -> Generator[Any, None, R]:
        return self.aresult().__await__()

    def _wait(self, timeout: float | None) -> Job | None:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = LONGEST_WAIT if end is None else end - time.monotonic()
            job = self._app.store.wait([self.id], max(0.0, min(left, LONGEST_WAIT)))[0]
            if _done(job):
                return job
            self._in_time(end, timeout, job)

    async def _await(self, timeout: float | None) -> Job | None:
        end = None if timeout is None else time.monotonic() + timeout
        store = self._app.async_store()
        while True:
            left = LONGEST_WAIT if end is None else end - time.monotonic()
            job = (await store.wait([self.id], max(0.0, min(left, LONGEST_WAIT))))[0]
            if _done(job):
                return job
            self._in_time(end, timeout, job)

    def _in_time(self, end: float | None, timeout: float | None, job: Job | None) -> None:
        if end is not None and job is not None and time.monotonic() >= end:
            raise TimeoutError(f"job {self.id} is {job.state} after {timeout:g} seconds")

    def _value(self, job: Job | None) -> R:
        failure = self._failure(job)
        if failure is not None:
            raise failure
        assert job is not None
        value: R = self._app.read_result(job)
        return value

    def _failure(self, job: Job | None) -> JobFailed | None:
        job = self._there(job)
        if job.state is State.CANCELLED:
            raise JobCancelled(f"job {self.id} was cancelled", self.id)
        if job.state is State.EXPIRED:
            raise JobExpired(f"job {self.id} did not start in time and was not run", self.id)
        if job.state is not State.FAILED:
            return None
        if not job.errors:
            return JobFailed(self.id, "unknown", "no error was recorded")
        last = Failure.from_bytes(job.errors[-1])
        return JobFailed(self.id, last.type, last.message, last.traceback)

    def _there(self, job: Job | None) -> Job:
        if job is None and not self._keep:
            raise ResultNotKept(
                f"job {self.id} has ended and its record was not kept (keep=0)", self.id
            )
        if job is None:
            raise JobNotFound(
                f"there is no job {self.id}: there never was, or its record is no longer kept",
                self.id,
            )
        return job

    # -- control ----------------------------------------------------------------------
    def cancel(self) -> bool:
        """Stop the job. True: it is cancelled, or runs and was asked to stop.

        A running job that succeeds all the same stays succeeded; any other end becomes
        cancelled. False: it had ended already.

        :raises JobNotFound: there is no such job.
        """
        return self._cancelled(self._app.store.cancel([self.id])[0])

    async def acancel(self) -> bool:
        return self._cancelled((await self._app.async_store().cancel([self.id]))[0])

    def _cancelled(self, answer: str) -> bool:
        if answer == "missing" and self._keep:
            self._there(None)
        return answer in ("cancelled", "asked")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JobHandle) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<JobHandle {self.id}>"


def _done(job: Job | None) -> bool:
    return job is None or job.state.ended

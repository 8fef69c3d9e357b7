"""Running jobs with the real worker, until there is nothing left to run."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from taskq.context import JobContext
from taskq.errors import ConfigError
from taskq.handle import JobInfo, info_of
from taskq.job import Finished, Outcome, State
from taskq.options import not_negative
from taskq.store import Store
from taskq.testing.memory import RecordingStore, app_or_current, noted
from taskq.worker.worker import Worker

if TYPE_CHECKING:
    from taskq.app import TaskQ
    from taskq.testing.clock import TravelClock

LOOK = 0.005
"""Seconds between looks whether ``until`` holds."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a `run_jobs` did."""

    jobs: Sequence[JobInfo]
    """The jobs that ended, in the order in which they did; those of ``keep=0`` are only counted."""
    succeeded: int
    failed: int
    cancelled: int
    expired: int
    waiting: int
    """How many jobs are scheduled or retrying now."""

    @property
    def ended(self) -> int:
        return self.succeeded + self.failed + self.cancelled + self.expired

    def __str__(self) -> str:
        names = ("succeeded", "failed", "cancelled", "expired", "waiting")
        counts = {name: getattr(self, name) for name in names}
        return ", ".join(f"{n} {name}" for name, n in counts.items() if n) or "nothing ran"


def run_jobs(
    app: TaskQ | None = None,
    *,
    timeout: float = 10.0,
    until: Callable[[], bool] | None = None,
    travel: bool | float | timedelta = False,
    raise_errors: bool = False,
    concurrency: int = 1,
) -> Ran:
    """Run an app's jobs with the real worker: its threads, its event loop, timeouts and all.

    For jobs in memory: inside of `recorded`, or of an app made with ``memory://``. Returns when
    no job is ready or running any more, in whatever queue; jobs that are due later, retries
    included, are left waiting unless ``travel`` says otherwise.

    :param app: None: the only app, or the framework's current one.
    :param timeout: seconds (of real time) that it may take.
    :param until: return as soon as this gives True, and not before: ``until=job.done``.
    :param travel: let the clock of `recorded` leap to the next job that is due, whenever nothing
        is ready: True until none waits, else by so many seconds (or a timedelta) in all.
    :param raise_errors: when all is done, raise the last exception of the first job that
        failed for good (a note says which job it was).
    :param concurrency: threads for ``def`` tasks. With one they run one after the other.
    :raises TimeoutError: its text says what is not done. What still ran has been interrupted.
    :raises ConfigError: the app's store is not in memory: other workers' jobs are there.
    """
    app = app_or_current(app, "run_jobs()")
    if app.store.shared:
        raise ConfigError(
            f"run_jobs would run the jobs in {app.store.url}, which others see too; "
            f"use it inside of `with recorded(app):`, or start app.worker(burst=True)"
        )
    session = _Session(app, timeout, until, concurrency)
    leap = _Leap(app.store, travel)
    with session:
        while not session.over():
            if session.ready():
                session.burst()
            elif not leap.next() and until is None:
                break
            elif until is not None:
                time.sleep(LOOK)
        leap.finish()
    if raise_errors:
        session.raise_first()
    return session.ran()


async def arun_jobs(
    app: TaskQ | None = None,
    *,
    timeout: float = 10.0,
    until: Callable[[], bool] | None = None,
    travel: bool | float | timedelta = False,
    raise_errors: bool = False,
    concurrency: int = 1,
) -> Ran:
    """`run_jobs` for asyncio: the loop goes on meanwhile. ``until`` is called in another thread."""
    return await asyncio.to_thread(
        run_jobs,
        app,
        timeout=timeout,
        until=until,
        travel=travel,
        raise_errors=raise_errors,
        concurrency=concurrency,
    )


class _Leap:
    """How far the clock may be moved, and moving it."""

    def __init__(self, store: Store, travel: bool | float | timedelta) -> None:
        self._store = store
        self._clock: TravelClock | None = None
        self._left: float | None = None
        if travel is False:
            return
        if not isinstance(store, RecordingStore):
            raise ConfigError(
                "run_jobs(travel=…) moves the clock of `recorded`; use it inside of that"
            )
        self._clock = store.jobs.clock
        if travel is not True:
            self._left = not_negative("travel", travel)

    def next(self) -> bool:
        """Move to the next job that is due, if there is one and it is not too far."""
        if self._clock is None:
            return False
        wait = self._store.promote().next_due
        if wait is None or (self._left is not None and wait > self._left):
            return False
        self._move(wait)
        return True

    def finish(self) -> None:
        """Move by what is left."""
        if self._left:
            self._move(self._left)

    def _move(self, seconds: float) -> None:
        assert self._clock is not None
        self._clock.travel(seconds)
        if self._left is not None:
            self._left = max(0.0, self._left - seconds)


class _Watched:
    """The store of the app, told of what is written of jobs that end."""

    def __init__(self, store: Store, ended: Callable[[Outcome, State], None]) -> None:
        self._store = store
        self._ended = ended

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def finish(
        self, lease: str, outcomes: Sequence[Outcome], *, connection: Any = None
    ) -> list[Finished]:
        answers = self._store.finish(lease, outcomes, connection=connection)
        for outcome, answer in zip(outcomes, answers, strict=True):
            if answer == "cancelled":
                self._ended(outcome, State.CANCELLED)
            elif answer == "done" and outcome.state.ended:
                self._ended(outcome, outcome.state)
        return answers


class _Session:
    """One `run_jobs`: the app is watched from entering to leaving."""

    def __init__(
        self, app: TaskQ, timeout: float, until: Callable[[], bool] | None, concurrency: int
    ) -> None:
        self._app = app
        self._store = app.store
        self._timeout = timeout
        self._end = time.monotonic() + timeout
        self._until = until
        self._concurrency = concurrency
        self._counts: Counter[State] = Counter()
        self._ids: dict[str, None] = {}
        self._raised: dict[str, tuple[BaseException, TracebackType | None]] = {}
        """What came out of a job's last attempt."""
        self._failed: list[Outcome] = []

    def __enter__(self) -> None:
        self._app.store = cast("Store", _Watched(self._store, self._ended))
        self._app.layers.insert(0, self._layer)

    def __exit__(self, *error: object) -> None:
        self._app.layers.remove(self._layer)
        self._app.store = self._store

    @contextmanager
    def _layer(self, job: JobContext) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            # The worker keeps the text only, and clears the traceback.
            self._raised[job.id] = error, error.__traceback__
            raise

    def _ended(self, outcome: Outcome, state: State) -> None:
        id = outcome.claim.id
        self._counts[state] += 1
        self._ids.pop(id, None)
        self._ids[id] = None
        if state is State.FAILED:
            self._failed.append(outcome)
        else:
            self._raised.pop(id, None)

    def raise_first(self) -> None:
        """Raise the last exception of the first job that failed, if one did."""
        for outcome in self._failed[:1]:
            error, trace = self._raised.get(outcome.claim.id, (None, None))
            raise noted(error, outcome).with_traceback(trace)

    def over(self) -> bool:
        """True if what was waited for holds.

        :raises TimeoutError: there is no time left.
        """
        if self._until is not None and self._until():
            return True
        if time.monotonic() < self._end:
            return False
        raise TimeoutError(self._late())

    def ready(self) -> bool:
        self._store.promote()
        return any(queue.counts[State.READY] and not queue.paused for queue in self._store.stats())

    def burst(self) -> None:
        """Run until nothing is ready, the time is up, or ``until`` holds."""
        named = {self._app.options_of(task).queue for task in self._app.tasks}
        used = {queue.queue for queue in self._store.stats()}
        worker = Worker(
            self._app,
            queues=["default", *sorted((named | used) - {"default"})],
            concurrency=self._concurrency,
            burst=True,
        )
        grace = 0.0
        worker.start()
        try:
            while not worker.wait(LOOK if self._until else max(0.0, self._end - time.monotonic())):
                if self.over():
                    break
            grace = max(0.0, self._end - time.monotonic())
        finally:
            worker.stop(grace)
        if worker.broken is not None:
            raise RuntimeError(f"the worker's {worker.broken} broke; its log says why")

    def _late(self) -> str:
        waited = [
            f"{job.task} {job.id} is {job.state}"
            for state in (State.RUNNING, State.READY, State.RETRYING, State.SCHEDULED)
            for job in self._store.browse(state=state, limit=5).jobs
        ]
        what = "until() was not true" if self._until is not None else "not all was done"
        return f"{what} after {self._timeout:g} seconds; {'; '.join(waited) or 'no job waits'}"

    def ran(self) -> Ran:
        jobs = [job for job in self._store.get(list(self._ids)) if job is not None]
        waiting = sum(
            queue.counts[State.SCHEDULED] + queue.counts[State.RETRYING]
            for queue in self._store.stats()
        )
        return Ran(
            jobs=[info_of(self._app, job) for job in jobs],
            succeeded=self._counts[State.SUCCEEDED],
            failed=self._counts[State.FAILED],
            cancelled=self._counts[State.CANCELLED],
            expired=self._counts[State.EXPIRED],
            waiting=waiting,
        )

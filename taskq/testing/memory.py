"""What the modes share: an app's jobs in memory for a while, each enqueue remembered."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from taskq.context import current_app
from taskq.errors import JobFailed, NoAppError
from taskq.failure import Failure
from taskq.handle import LONGEST_WAIT
from taskq.job import WAITING, Enqueued, Job, NewJob, Outcome
from taskq.stores.memory import MemoryStore
from taskq.stores.memory.waits import MemoryAio, Waits
from taskq.testing.clock import TravelClock
from taskq.testing.jobs import EnqueuedJob, Jobs

if TYPE_CHECKING:
    from taskq.app import TaskQ


class TickingClock(TravelClock):
    """Goes on with the machine's clock, and travels besides. What the modes use by default.

    After ``travel``, scheduled and retrying jobs that became due run at once under `eager`, and
    in the next `run_jobs` else.
    """

    def __init__(self) -> None:
        super().__init__(0.0)

    def now(self) -> float:
        return time.time() + super().now()


class RecordingStore(MemoryStore):
    """A memory store that remembers what was enqueued. Nothing runs unless a worker is started."""

    advice = "nothing runs here by itself; let run_jobs() do it first"
    """What to do about a job that would be waited for without end."""

    def __init__(self, app: TaskQ, clock: TravelClock) -> None:
        super().__init__(clock=clock)
        self.app = app
        self.jobs = Jobs(app, clock)
        self.aio: MemoryAio = RecordingAio(self, self._waits)

    def enqueue(self, jobs: Sequence[NewJob], *, connection: Any = None) -> list[Enqueued]:
        answers = super().enqueue(jobs, connection=connection)
        now = self._clock.now()
        for job, answer in zip(jobs, answers, strict=True):
            if answer.status in ("created", "replaced"):
                self.jobs.add(EnqueuedJob.of(self.app, job, answer.id, now))
        return answers

    def prune(self, limit: int = 1000) -> int:
        # A clock that travels would take records away from the test that is to look at them.
        return 0

    def wait(self, ids: Sequence[str], timeout: float) -> list[Job | None]:
        self.refuse_endless(ids, timeout)
        return super().wait(ids, timeout)

    def refuse_endless(self, ids: Sequence[str], timeout: float) -> None:
        """A test that waits for what nobody runs would hang: tell it.

        :raises TimeoutError: ``timeout`` is that of a wait without one.
        """
        if timeout < LONGEST_WAIT or self.served():
            return
        now = self._clock.now()
        for job in self.get(ids):
            if job is not None and job.state in WAITING:
                due = f", due in {job.due_at - now:.3g} s" if job.due_at > now else ""
                raise TimeoutError(
                    f"job {job.id} ({job.task}) is {job.state}{due}, and would be waited for "
                    f"without end: {self.advice}"
                )

    def served(self) -> bool:
        """True if somebody else may run the jobs that wait."""
        return bool(self.workers())


class RecordingAio(MemoryAio):
    """The verbs for asyncio of a `RecordingStore`."""

    def __init__(self, store: RecordingStore, waits: Waits) -> None:
        super().__init__(store, waits)
        self._recording = store

    async def wait(self, ids: Sequence[str], timeout: float) -> list[Job | None]:
        self._recording.refuse_endless(ids, timeout)
        return await super().wait(ids, timeout)


def app_or_current(app: TaskQ | None, what: str) -> TaskQ:
    """The app that is meant.

    :raises NoAppError: none was given, and there is none or more than one.
    """
    if app is not None:
        return app
    try:
        found: TaskQ = current_app()
    except NoAppError as error:
        raise NoAppError(f"{what} needs to know its app, as {what[:-1]}app): {error}") from None
    return found


def noted(error: BaseException | None, outcome: Outcome) -> BaseException:
    """What to raise in the test for a job that failed: the task's own exception, if there is
    one, with a note of where it comes from."""
    claim = outcome.claim
    if error is None:
        record = Failure.from_bytes(outcome.error or b"")
        error = JobFailed(claim.id, record.type, record.message, record.traceback)
    with suppress(AttributeError):  # an exception may be a frozen dataclass
        error.add_note(f"raised in job {claim.id} ({claim.task}), attempt {outcome.attempts}")
    return error


@contextmanager
def swapped(app: TaskQ, store: MemoryStore) -> Iterator[None]:
    """Let an app use a store for a while, then its own one again."""
    own, app.store = app.store, store
    try:
        yield
    finally:
        app.store = own
        store.close()

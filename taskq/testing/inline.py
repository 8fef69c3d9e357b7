"""The mode in which each job runs at once, in the thread that enqueues it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from taskq.errors import CancelRequested, Interrupt
from taskq.job import Enqueued, NewJob, Outcome, State, WorkerInfo
from taskq.stores.memory.waits import Waits
from taskq.testing.clock import TravelClock
from taskq.testing.jobs import Jobs
from taskq.testing.memory import (
    RecordingAio,
    RecordingStore,
    TickingClock,
    app_or_current,
    noted,
    swapped,
)
from taskq.worker.executor import Executor
from taskq.worker.run import Run

if TYPE_CHECKING:
    from taskq.app import TaskQ

FOREVER = 100 * 366 * 86400.0
"""Seconds: a lease that no travelling outlasts."""
MOST = 1_000_000
"""Jobs of one claim: all there are."""


@contextmanager
def eager(
    app: TaskQ | None = None, *, raise_errors: bool = False, clock: TravelClock | None = None
) -> Iterator[Jobs]:
    """A block in which every job runs at once, where it is enqueued::

        with eager(app):
            job = send_welcome.delay(7)
            assert job.result() == "sent"

    All but the waiting is real: arguments and results go through the app's codec, middleware is
    entered, `current_job` works, a failed attempt is judged as in a worker, and jobs that a job
    enqueues run too. Retries follow at once, whatever the backoff. What is due later (``apply_at``,
    `Snooze`) waits until the clock of the block travels there: ``jobs.clock.travel(60)``.

    A ``def`` task runs in the thread that enqueues it. The coroutine of an ``async def`` one runs
    in the caller's loop if the call is awaited (``await task.adelay()``), else in a loop of its
    own. Timeouts are not enforced, so that one can stop in a debugger. Ask handles for results
    inside of the block.

    :param app: None: the only app, or the framework's current one.
    :param raise_errors: when a job fails for good, the outermost call that led to it raises the
        task's last exception itself (a note says which job it was).
    :param clock: the time of the block's jobs; None: a `TickingClock`.
    """
    app = app_or_current(app, "eager()")
    store = EagerStore(app, clock or TickingClock(), raise_errors)
    with swapped(app, store):
        yield store.jobs


@dataclass(slots=True)
class _End:
    """What a call of a task's function gave."""

    value: Any = None
    error: BaseException | None = None


Steps = Generator[Run, _End, list[Enqueued]]
"""Gives the runs to be called, takes what each of them gave."""

_failures: ContextVar[list[BaseException] | None] = ContextVar("taskq_failures", default=None)
"""Of the jobs that the outermost call led to, so far; None: no call goes on."""


class _Raising:
    """Around an outermost call: when it is over, raises the first failure that it led to."""

    def __init__(self, wanted: bool) -> None:
        self._outermost = wanted and _failures.get() is None

    def __enter__(self) -> None:
        if self._outermost:
            self._failed: list[BaseException] = []
            self._token = _failures.set(self._failed)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._outermost:
            _failures.reset(self._token)
            if self._failed and error is None:
                raise self._failed[0]


class EagerStore(RecordingStore):
    """A memory store that runs what becomes ready before the call that made it so returns."""

    advice = "it runs when the clock travels there, as with jobs.clock.travel(60)"

    def __init__(self, app: TaskQ, clock: TravelClock, raise_errors: bool) -> None:
        super().__init__(app, clock)
        self.aio = EagerAio(self, self._waits)
        self._raise_errors = raise_errors
        self._executor = Executor(app, self._write_note)
        self._worker = WorkerInfo("eager", os.getpid())
        # Held from where a job becomes ready until it is claimed: so a thread finds its own one.
        self._taking = threading.Lock()
        clock.listen(self._moved)

    # -- what makes jobs ready --------------------------------------------------------------
    def enqueue(self, jobs: Sequence[NewJob], *, connection: Any = None) -> list[Enqueued]:
        with _Raising(self._raise_errors):
            return self._drive(self._steps(jobs, connection))

    async def aenqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """`enqueue` for asyncio: coroutines run in the loop that runs."""
        with _Raising(self._raise_errors):
            return await self._adrive(self._steps(jobs))

    def requeue(
        self, ids: Sequence[str]
    ) -> list[Literal["requeued", "running", "ready", "refused", "missing"]]:
        answers = super().requeue(ids)
        self._run_ready()
        return answers

    def pause(self, queue: str, paused: bool = True) -> None:
        super().pause(queue, paused)
        self._run_ready()

    def _moved(self, seconds: float) -> None:
        while self.app.store is self and self.promote().moved:
            self._run_ready()

    def _run_ready(self) -> None:
        with _Raising(self._raise_errors):
            self._drive(self._steps())

    def served(self) -> bool:
        return False

    # -- what is done with them ---------------------------------------------------------------
    def _steps(self, jobs: Sequence[NewJob] = (), connection: Any = None) -> Steps:
        """Stores the jobs one by one, each one run to its end before the next is stored.
        Without jobs: runs what is ready."""
        answers: list[Enqueued] = []
        lease = self.open(self._worker, FOREVER)
        try:
            number = 0
            for job in jobs or (None,):
                with self._taking:
                    if job is not None:
                        answers += super().enqueue((job,), connection=connection)
                    number += 1
                    runs = deque(self._claim_ready(lease, number))
                while runs:
                    outcome = yield from self._one(runs.popleft())
                    with self._taking:
                        self.finish(lease, (outcome,))
                        if outcome.state is State.SCHEDULED and outcome.delay <= 0:
                            self.promote()
                        number += 1
                        runs += self._claim_ready(lease, number)
        finally:
            self.end(lease)
        return answers

    def _claim_ready(self, lease: str, number: int) -> list[Run]:
        ready = [queue.queue for queue in self.stats() if queue.counts[State.READY]]
        if not ready:
            return []
        claims = self.claim(lease, number, ready, {"thread": MOST, "loop": MOST}).claims
        return [Run(claim, lease, monotonic()) for claim in claims]

    def _one(self, run: Run) -> Generator[Run, _End, Outcome]:
        """From a claim to its outcome."""
        end = _End()
        conclude = self._executor.conclude
        [job] = self.get([run.claim.id])
        if job is not None and job.cancel_requested:
            return conclude(run, error=CancelRequested(), started=False, ours=True)
        outcome = self._executor.prepare(run)
        if outcome is None:
            try:
                end = yield run
            except BaseException:
                # It is not the task's: Ctrl-C, pytest.fail(), or the awaiting caller was cancelled.
                gone = conclude(run, error=CancelRequested("its caller went away"), ours=True)
                self.finish(run.lease, (gone,))
                raise
            outcome = conclude(run, end.value, end.error)
        run.end()
        if outcome.state is State.RETRYING and run.task is not None:
            outcome.delay = 0.0
        if outcome.state is State.FAILED:
            self._failed(outcome, end.error)
        return outcome

    def _failed(self, outcome: Outcome, error: BaseException | None) -> None:
        failures = _failures.get()
        if failures is not None:
            failures.append(noted(error, outcome))

    def _write_note(self, run: Run) -> None:
        with run.lock:
            note, run.note = run.note, None
        if note is not None:
            self.note(run.lease, run.claim, note)

    # -- calling ------------------------------------------------------------------------------
    def _drive(self, steps: Steps) -> list[Enqueued]:
        try:
            run = next(steps)
            while True:
                try:
                    end = self._call(run)
                except BaseException as error:
                    steps.throw(error)  # which raises it again
                    raise
                run = steps.send(end)
        except StopIteration as stop:
            answers: list[Enqueued] = stop.value
            return answers

    async def _adrive(self, steps: Steps) -> list[Enqueued]:
        try:
            run = next(steps)
            while True:
                try:
                    end = await self._acall(run)
                except BaseException as error:
                    steps.throw(error)
                    raise
                run = steps.send(end)
        except StopIteration as stop:
            answers: list[Enqueued] = stop.value
            return answers

    def _call(self, run: Run) -> _End:
        assert run.task is not None
        if run.task.lane == "thread":
            # A context of its own: what a task sets must not reach its caller.
            return copy_context().run(self._in_place, run)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._in_own_loop(run)
        with ThreadPoolExecutor(1, "taskq.eager") as pool:
            return pool.submit(copy_context().run, self._in_own_loop, run).result()

    async def _acall(self, run: Run) -> _End:
        assert run.task is not None
        if run.task.lane == "thread":
            return self._call(run)
        return await asyncio.get_running_loop().create_task(self._coroutine(run))

    def _in_place(self, run: Run) -> _End:
        assert run.task is not None
        try:
            with self._executor.around(run):
                return _End(run.task.fn(*run.args, **run.kwargs))
        except (Exception, SystemExit, Interrupt) as error:  # noqa: BLE001  # the task's, to be judged
            return _End(error=error)

    def _in_own_loop(self, run: Run) -> _End:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            return runner.run(self._coroutine(run))

    async def _coroutine(self, run: Run) -> _End:
        assert run.task is not None
        try:
            with self._executor.around(run):
                return _End(await run.task.fn(*run.args, **run.kwargs))
        except (Exception, SystemExit, Interrupt) as error:  # noqa: BLE001  # as above
            return _End(error=error)
        except asyncio.CancelledError as error:
            me = asyncio.current_task()
            if me is not None and me.cancelling():
                raise
            return _End(error=error)


class EagerAio(RecordingAio):
    """The verbs for asyncio of an `EagerStore`."""

    def __init__(self, store: EagerStore, waits: Waits) -> None:
        super().__init__(store, waits)
        self._eager = store

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        return await self._eager.aenqueue(jobs)

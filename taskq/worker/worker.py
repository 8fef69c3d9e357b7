"""One worker process's services: built, started and stopped in their order."""

from __future__ import annotations

import importlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from taskq.errors import CancelRequested, ConfigError, StoreError, WorkerStopping
from taskq.job import Lane, Outcome, State, WorkerInfo
from taskq.store import Store
from taskq.worker.claimer import Claimer
from taskq.worker.executor import Executor
from taskq.worker.finisher import Finisher
from taskq.worker.keeper import Keeper
from taskq.worker.lanes import LATE, MOST_AHEAD, TOO_LATE, LaneOfRuns, Pace
from taskq.worker.limits import Limits
from taskq.worker.queues import QueueOrder
from taskq.worker.run import Run
from taskq.worker.service import Service
from taskq.worker.threads import ThreadLane
from taskq.worker.upkeep import Upkeep

if TYPE_CHECKING:
    from taskq.app import TaskQ

logger = logging.getLogger("taskq.worker")

INTERRUPT_GRACE = 2.0
"""Seconds that an interrupted task has to end when the worker stops."""
FINISH_GRACE = 5.0
"""Seconds to write the last outcomes in; what is not written is recovered by others."""


class Slots(Protocol):
    """Where a supervised process shows what it runs; see ``taskq.worker.slots``."""

    def enter(self, run: Run) -> None: ...
    def leave(self, run: Run) -> None: ...


class _LoopLater:
    """Stands for the loop lane until the first coroutine comes."""

    def __init__(self, size: int, make: Callable[[], LaneOfRuns]) -> None:
        self.size = size
        self._make = make
        self._lane: LaneOfRuns | None = None

    @property
    def waiting(self) -> int:
        return 0 if self._lane is None else self._lane.waiting

    def put(self, runs: list[Run]) -> None:
        if self._lane is None:
            self._lane = self._make()
        self._lane.put(runs)

    def take_back(self) -> list[Run]:
        return [] if self._lane is None else self._lane.take_back()

    def close(self) -> None:
        if self._lane is not None:
            self._lane.close()

    def join(self, timeout: float) -> None:
        if self._lane is not None:
            self._lane.join(timeout)


class Worker:
    """Claims jobs from an app's store and runs them in threads and coroutines of this process.

    A queue that is first named by a task declared while the worker waits for a job is looked into
    from its next claim on, within about 30 seconds.

    :param queues: names in order (strict), names with weights, a text such as
        ``critical=6,default=3``, or None: ``default`` and all queues that the tasks name.
    :param exclude: queues not to serve.
    :param concurrency: threads for ``def`` tasks; the setting ``concurrency`` if None.
    :param async_concurrency: coroutines for ``async def`` tasks; likewise.
    :param strict: keep to the order of the queues (by weight, if there are weights).
    :param burst: end when nothing is ready any more.
    :param grace: seconds that running jobs have when it stops; the setting ``grace`` if None.
    :param supervised: the lease is renewed by another process.
    :param slots: where to show what runs.
    :param condemned: told when a task hangs for good, so the process has to be replaced.
    """

    def __init__(
        self,
        app: TaskQ,
        *,
        queues: Sequence[str] | Mapping[str, int] | None = None,
        exclude: Sequence[str] = (),
        concurrency: int | None = None,
        async_concurrency: int | None = None,
        strict: bool = False,
        burst: bool = False,
        grace: float | None = None,
        supervised: bool = False,
        slots: Slots | None = None,
        condemned: Callable[[], None] | None = None,
        stuck_after: float | None = None,
    ) -> None:
        config = app.config
        self.app = app
        self.store: Store = app.store
        self.burst = burst
        self.grace = config.grace if grace is None else grace
        self.order = QueueOrder(queues, exclude=exclude, strict=strict, named=self._named_queues)
        self.executor = Executor(app, self._noted)
        threads = _slots("concurrency", concurrency, config.concurrency)
        coroutines = _slots("async_concurrency", async_concurrency, config.async_concurrency)
        self.threads = ThreadLane(threads, self.executor, self._starting, self._finished)
        self.loop = _LoopLater(coroutines, self._make_loop)
        self.lanes: dict[Lane, LaneOfRuns] = {"thread": self.threads, "loop": self.loop}
        # Coroutines begin at once, so what is claimed ahead for them would be too many.
        self.paces: dict[Lane, Pace] = {"thread": Pace(MOST_AHEAD), "loop": Pace(0)}
        self.held: dict[Lane, dict[Run, None]] = {"thread": {}, "loop": {}}
        """What was claimed and has no outcome yet, by the claim's lane, oldest first."""
        self.lease: str | None = None
        self.done = threading.Event()
        """It has ended by itself: a burst is over, or something broke."""
        self.broken: str | None = None
        self._slots = slots
        self._condemned = condemned
        self._quiet = threading.Condition()
        self._stopped = False
        self._hurried = threading.Event()
        self.info = WorkerInfo(
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=self.order.names(),
            concurrency=threads,
            async_concurrency=coroutines,
            started_at=time.time(),
            version=importlib.import_module("taskq").__version__,
        )
        interval = config.lease / 3
        self.finisher = Finisher(self.store, self._written)
        self.upkeep = Upkeep(app, self.info, interval, config.lease)
        self.limits = Limits(
            self.executor,
            self.runs,
            self.give_back_late,
            self._stuck,
            **({} if stuck_after is None else {"stuck_after": stuck_after}),
        )
        self.keeper = Keeper(
            self.store,
            interval,
            lease=lambda: self.lease,
            running=self.running,
            stop=self.cancel,
            lost=self.lost,
        )
        self.claimer = Claimer(self)
        self._services: list[Service] = [self.finisher, self.limits, self.upkeep, self.claimer]
        if not supervised:
            self._services.insert(1, self.keeper)
        for service in self._services:
            service.crashed = self.crashed
        self.keeper.crashed = self.crashed

    # -- life -------------------------------------------------------------------------
    def start(self) -> Worker:
        for service in self._services:
            service.start()
        return self

    def wait(self, timeout: float | None = None) -> bool:
        """Until it has ended by itself (burst, or broken); True then."""
        return self.done.wait(timeout)

    def stop(self, grace: float | None = None) -> None:
        """Claim nothing more, let what runs finish within the grace, give the rest back.

        Jobs given back use no attempt. Returns when all is written, or cannot be.
        """
        if self._stopped:
            return
        self._stopped = True
        grace = self.grace if grace is None else grace
        self.upkeep.stop()
        self._stop_claiming()
        if not self._wait_quiet(grace, hurried=self._hurried):
            for run in self.runs():
                self.limits.cut(run, WorkerStopping("the worker stops"))
            if not self._wait_quiet(INTERRUPT_GRACE):
                for run in self.runs():
                    self._give_back(run)
        self._drain()
        for lane in self.lanes.values():
            lane.close()
        self.keeper.stop()
        for service in reversed(self._services):
            service.stop()
        for service in self._services:
            service.join(1.0)
        self.threads.join(1.0)
        self.loop.join(2.0)
        self._end_lease()
        self.done.set()

    def _stop_claiming(self) -> None:
        self.claimer.stop()
        end = time.monotonic() + FINISH_GRACE
        while not self.claimer.join(0.0) and time.monotonic() < end:
            lease = self.lease
            if lease is not None:
                try:
                    self.store.wake(lease)
                except StoreError as error:
                    logger.warning("the waiting claim could not be woken: %s", error)
            self.claimer.join(0.2)
        self.give_back(self.claimer.leftovers())
        for name in self.lanes:
            self._give_back_waiting(name)

    def _wait_quiet(self, timeout: float, hurried: threading.Event | None = None) -> bool:
        end = time.monotonic() + timeout
        with self._quiet:
            while self.busy:
                left = end - time.monotonic()
                if left <= 0 or (hurried is not None and hurried.is_set()):
                    return False
                self._quiet.wait(min(left, 0.5))
        return True

    def _drain(self) -> None:
        end = time.monotonic() + FINISH_GRACE
        with self._quiet:
            while not self.finisher.drained and time.monotonic() < end:
                self._quiet.wait(0.05)
        if not self.finisher.drained:
            logger.error("some outcomes could not be written; their jobs will run again")

    def _end_lease(self) -> None:
        lease, self.lease = self.lease, None
        if lease is not None:
            try:
                self.store.end(lease)
            except StoreError as error:
                logger.warning("the lease could not be ended, it will lapse: %s", error)

    def __enter__(self) -> Worker:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # -- lease ------------------------------------------------------------------------
    def open_lease(self) -> str:
        """A new lease; by the claimer."""
        self.store.ping()  # tells what is wrong with the store, and makes what it needs
        self.info.queues = self.order.names()
        self.lease = self.store.open(self.info, self.app.config.lease)
        self.on_lease(self.lease)
        return self.lease

    def on_lease(self, lease: str) -> None:
        """A new lease was opened; for the process that renews it."""

    def on_done(self) -> None:
        """It has ended by itself."""

    def renew_yourself(self) -> None:
        """The process that renewed the lease is gone."""
        self.keeper.start()

    def hurry(self) -> None:
        """Told to stop again: the grace is over now."""
        self._hurried.set()
        with self._quiet:
            self._quiet.notify_all()

    def lost(self, lease: str) -> None:
        """The lease is lost: interrupt what runs under it, and go on under a new one."""
        if self.lease != lease:
            return
        self.lease = None
        logger.warning("the lease was lost; going on under a new one")
        self.claimer.leftovers()
        for lane in self.lanes.values():
            for run in lane.take_back():
                self._drop(run)
        for run in self.runs():
            if run.lease == lease:
                self.limits.cut(run, WorkerStopping("the worker's lease was lost"))
        self.claimer.nudge()

    def running(self) -> list[str]:
        """The ids of the jobs that have started and not ended."""
        return [run.claim.id for run in self.runs() if run.started]

    def cancel(self, ids: Sequence[str]) -> None:
        """Interrupt these jobs: somebody cancelled them."""
        asked = set(ids)
        for run in self.runs():
            if run.claim.id in asked and not run.cancel_requested:
                run.cancel_requested = True
                if run.started:
                    self.limits.cut(run, CancelRequested("the job was cancelled"))

    def claimed(self, next_due: float | None) -> None:
        """A claim was answered."""
        self.upkeep.due_in(next_due)

    # -- runs -------------------------------------------------------------------------
    def _named_queues(self) -> list[str]:
        return sorted({self.app.options_of(task).queue for task in self.app.tasks})

    def has_tasks(self, lane: Lane) -> bool:
        """True if some task runs in this lane. (A job of the other lane, whose task changed
        its kind since, is taken along when there is room anyway.)"""
        tasks = list(self.app.tasks)
        return any(task.lane == lane for task in tasks) or (not tasks and lane == "thread")

    @property
    def busy(self) -> bool:
        """It holds claims that have no outcome yet."""
        return any(self.held.values())

    @property
    def drained(self) -> bool:
        """All outcomes are written."""
        return self.finisher.drained

    def runs(self) -> list[Run]:
        """The claims that have no outcome yet."""
        # A dict is copied in one step of the interpreter, whatever other threads do to it.
        return [run for held in self.held.values() for run in list(held)]

    def _adopt(self, runs: list[Run]) -> None:
        for run in runs:
            self.held[run.claim.lane][run] = None

    def dispatch(self, runs: list[Run]) -> None:
        """Hand claims to the lanes."""
        self._adopt(runs)
        parts: dict[Lane, list[Run]] = {"thread": [], "loop": []}
        for run in runs:
            # The task's own kind decides; the claim's lane is what it was at enqueue.
            task = self.app.tasks.find(run.claim.task)
            parts["thread" if task is None else task.lane].append(run)
        for name, part in parts.items():
            if part:
                self.lanes[name].put(part)
        # Lets go of the interpreter, so that the lanes start before the next claim is made.
        time.sleep(0)

    def _starting(self, run: Run) -> None:
        self.paces[run.claim.lane].started = run.started
        if self._slots is not None:
            self._slots.enter(run)
        if self.limits.sleeps:
            self.limits.nudge()
        if run.cancel_requested:
            raise CancelRequested("the job was cancelled")

    def _finished(self, run: Run, outcome: Outcome) -> None:
        if run.started:
            pace = self.paces[run.claim.lane]
            pace.ended(time.monotonic() - run.started)
        self._leave(run)
        self.finisher.put(run, outcome)

    def _leave(self, run: Run) -> None:
        if self._slots is not None:
            self._slots.leave(run)
        lane = run.claim.lane
        held = self.held[lane]
        held.pop(run, None)
        if lane in self.claimer.waits_without and self.lease is not None:
            self.claimer.waits_without = frozenset()
            self.finisher.wake_claim(self.lease)
        if len(held) <= self.claimer.enough.get(lane, len(held)):
            self.claimer.nudge()
        if not held and not self.busy:
            with self._quiet:
                self._quiet.notify_all()

    def _noted(self, run: Run) -> None:
        self.finisher.note(run)

    def _written(self) -> None:
        if self.finisher.drained:
            with self._quiet:
                self._quiet.notify_all()
            self.claimer.nudge()

    def give_back(self, runs: list[Run]) -> None:
        """Give back claims that were handed to no lane; no attempt is used."""
        self._adopt(runs)
        for run in runs:
            self._give_back(run)

    def give_back_late(self) -> None:
        """Give back what was claimed and could not start soon; no attempt is used."""
        now = time.monotonic()
        for name, lane in self.lanes.items():
            if lane.waiting:
                pace = self.paces[name]
                waiting = [run.received for run in list(self.held[name]) if not run.started]
                late = now - min(waiting, default=now)
                if late > TOO_LATE or (late > LATE and now - pace.started > LATE / 2):
                    pace.was_late()
                    self._give_back_waiting(name)

    def _give_back_waiting(self, name: Lane) -> None:
        for run in self.lanes[name].take_back():
            self._give_back(run)

    def _give_back(self, run: Run) -> None:
        if not run.end():
            return
        if run.started:
            outcome = self.executor.conclude(run, error=run.cut or WorkerStopping(), ours=True)
        else:
            claim = run.claim
            outcome = Outcome(
                claim, State.READY, attempts=claim.attempts, deaths=claim.deaths, started=False
            )
        self._leave(run)
        self.finisher.put(run, outcome)

    def _drop(self, run: Run) -> None:
        if run.end():
            self._leave(run)

    def _stuck(self, run: Run) -> None:
        """A run was interrupted and did not end: give it up, and let its slot be replaced."""
        if not run.end():
            return
        logger.error(
            "the task does not react to its interrupt; its process will be replaced"
            if self._condemned
            else "the task does not react to its interrupt; its thread is left to itself",
            extra={"job_id": run.claim.id, "task": run.claim.task},
        )
        outcome = self.executor.conclude(run, error=run.cut or WorkerStopping(), ours=True)
        self._leave(run)
        self.finisher.put(run, outcome)
        if self._condemned is not None:
            self._condemned()
        elif run.task is not None and run.task.lane == "thread":
            self.threads.replace(run)

    def _make_loop(self) -> LaneOfRuns:
        # By name and late: asyncio is only for those who have async tasks.
        lane: LaneOfRuns = importlib.import_module("taskq.worker.aio").LoopLane(
            self.loop.size, self.executor, self._starting, self._finished
        )
        return lane

    # -- ends -------------------------------------------------------------------------
    def crashed(self, role: str) -> None:
        """A service ended on an unforeseen error: the worker ends, loudly."""
        self.broken = role
        # What it holds is not renewed any more, so others take it over.
        self.claimer.stop()
        self.keeper.stop()
        self.end()

    def end(self) -> None:
        """It has ended by itself: what waits for that is told."""
        self.done.set()
        self.on_done()


def _slots(name: str, given: int | None, default: int) -> int:
    if given is None:
        return default
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ConfigError(f"{name} takes a whole number from 1, not {given!r}")
    return given

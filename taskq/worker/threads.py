"""The lane of ``def`` tasks: a pool of threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Any

from taskq.job import Outcome
from taskq.worker.executor import Executor
from taskq.worker.interrupt import Guard
from taskq.worker.run import Run

Finished = Callable[[Run, Outcome], None]


class ThreadLane:
    """Up to ``size`` runs at once, each in a thread; threads are started as they are needed.

    :param starting: told just before a run's function is called.
    :param finished: told of each run's outcome, in the thread that ran it.
    """

    def __init__(
        self, size: int, executor: Executor, starting: Callable[[Run], None], finished: Finished
    ) -> None:
        self.size = size
        self._executor = executor
        self._starting = starting
        self._finished = finished
        self._queue: SimpleQueue[Run | None] = SimpleQueue()
        self._threads: dict[threading.Thread, Run | None] = {}
        """Each live thread, and what it runs."""
        self._lock = threading.Lock()
        self._closed = False

    @property
    def waiting(self) -> int:
        """Runs that have not begun."""
        return self._queue.qsize()

    def put(self, runs: list[Run]) -> None:
        for run in runs:
            self._queue.put(run)
        with self._lock:
            missing = min(self.size - len(self._threads), len(runs))
        for _ in range(missing):
            self._add_thread()

    def take_back(self) -> list[Run]:
        """The runs that have not begun; they will not."""
        taken: list[Run] = []
        while True:
            try:
                run = self._queue.get_nowait()
            except Empty:
                return taken
            if run is not None:
                taken.append(run)

    def replace(self, run: Run) -> None:
        """The thread of this run hangs: let another take its place."""
        with self._lock:
            for thread, runs in list(self._threads.items()):
                if runs is run:
                    del self._threads[thread]
        self._add_thread()

    def close(self) -> None:
        """End the threads that are idle, and the others when they are."""
        with self._lock:
            self._closed = True
            count = len(self._threads)
        for _ in range(count):
            self._queue.put(None)

    def join(self, timeout: float) -> None:
        end = time.monotonic() + timeout
        for thread in list(self._threads):
            thread.join(max(0.0, end - time.monotonic()))

    def _add_thread(self) -> None:
        thread = threading.Thread(target=self._work, name="taskq.tasks", daemon=True)
        with self._lock:
            if self._closed:
                return
            self._threads[thread] = None
        thread.start()

    def _work(self) -> None:
        me = threading.current_thread()
        try:
            while True:
                run = self._queue.get()
                if run is None:
                    return
                self._threads[me] = run
                try:
                    outcome = self._executor.prepare(run) or self._call(run)
                except BaseException:  # noqa: BLE001  # told in the log; the thread goes on
                    outcome = self._executor.give_up(run)
                if not run.end():
                    return  # it overran and was given up: another thread is in this one's place
                self._threads[me] = None
                self._finished(run, outcome)
        finally:
            with self._lock:
                self._threads.pop(me, None)

    def _call(self, run: Run) -> Outcome:
        value: Any = None
        error: BaseException | None = None
        guard = Guard()
        try:
            # A context of its own: what a task sets must not reach the next one.
            value = copy_context().run(self._inside, run, guard)
        except BaseException as raised:  # noqa: BLE001  # SystemExit too: the task fails, not the worker
            error = raised
            guard.disarm()
        run.interrupt = None
        outcome = self._executor.conclude(run, value, error)
        if error is not None:
            # The traceback holds the frames of the task, and they all its values.
            BaseException.with_traceback(error, None)
        return outcome

    def _inside(self, run: Run, guard: Guard) -> Any:
        assert run.task is not None
        with self._executor.around(run):
            self._starting(run)
            run.interrupt = guard.interrupt
            try:
                if run.cut is not None:
                    raise run.cut  # it came before there was anything to interrupt
                return run.task.fn(*run.args, **run.kwargs)
            finally:
                guard.disarm()

"""The lane of ``async def`` tasks: one event loop on a thread of its own.

Made when the first such run comes: asyncio takes 8 MB that a worker of ``def`` tasks
need not have.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

from taskq.errors import Interrupt
from taskq.job import Outcome
from taskq.worker.executor import Executor
from taskq.worker.run import Run

logger = logging.getLogger("taskq.worker")

_GONE = object()


class LoopLane:
    """Runs coroutines side by side on one loop. Same parameters as ``ThreadLane``'s."""

    def __init__(
        self,
        size: int,
        executor: Executor,
        starting: Callable[[Run], None],
        finished: Callable[[Run, Outcome], None],
    ) -> None:
        self.size = size
        self._executor = executor
        self._starting = starting
        self._finished = finished
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[Run, None] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="taskq.loop", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Runs that have not begun: none for long, unless a task blocks the loop."""
        return len(self._waiting)

    def put(self, runs: list[Run]) -> None:
        self._waiting.update(dict.fromkeys(runs))
        self._loop.call_soon_threadsafe(self._launch, runs)

    def take_back(self) -> list[Run]:
        """The runs that have not begun; they will not."""
        taken = []
        for run in list(self._waiting):
            if self._waiting.pop(run, _GONE) is None:
                taken.append(run)
        return taken

    def close(self) -> None:
        self._closing = True
        self._loop.call_soon_threadsafe(self._loop.stop)

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            while not self._closing:
                self._run_once()
            leftover = asyncio.all_tasks(self._loop)
            for task in leftover:
                task.cancel()
            if leftover:
                self._loop.run_until_complete(asyncio.wait(leftover, timeout=1.0))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._executor.app.aclose())
        finally:
            self._loop.close()

    def _run_once(self) -> None:
        """Serve until something stops the loop, which nobody but ``close`` should."""
        try:
            self._loop.run_forever()
        except (SystemExit, KeyboardInterrupt) as error:
            # asyncio lets these out of the loop when a callback or a task's own task raises them.
            logger.error("a callback on the worker's loop raised %r; it is ignored", error)  # noqa: TRY400
        else:
            if not self._closing:
                logger.error("a task stopped the worker's loop; it goes on")

    def _launch(self, runs: list[Run]) -> None:
        for run in runs:
            task = self._loop.create_task(self._one(run))
            self._tasks.add(task)  # the loop itself holds tasks only weakly
            task.add_done_callback(self._tasks.discard)

    async def _one(self, run: Run) -> None:
        if self._waiting.pop(run, _GONE) is _GONE:
            return  # taken back
        try:
            outcome = self._executor.prepare(run) or await self._call(run)
        except BaseException:  # noqa: BLE001  # told in the log; the loop goes on
            outcome = self._executor.give_up(run)
        if run.end():
            self._finished(run, outcome)

    async def _call(self, run: Run) -> Outcome:
        value: Any = None
        error: BaseException | None = None
        assert run.task is not None
        me = asyncio.current_task()
        assert me is not None
        cancel = me.cancel

        def interrupt(_: Interrupt) -> None:
            self._loop.call_soon_threadsafe(lambda: None if run.ended else cancel())

        try:
            with self._executor.around(run):
                self._starting(run)
                run.interrupt = interrupt
                if run.cut is not None:
                    raise run.cut  # it came before there was anything to interrupt
                value = await run.task.fn(*run.args, **run.kwargs)
        except BaseException as raised:  # noqa: BLE001  # CancelledError and SystemExit too: the run's end
            error = raised
        run.interrupt = None
        outcome = self._executor.conclude(run, value, error)
        if error is not None:
            BaseException.with_traceback(error, None)
        return outcome

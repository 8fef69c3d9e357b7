"""Cuts runs whose time is up or that are asked to stop, and gives up those that do not end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from taskq.errors import Interrupt
from taskq.worker.executor import Executor
from taskq.worker.run import Run
from taskq.worker.service import Service

logger = logging.getLogger("taskq.worker")

LOOK = 0.2
"""Seconds between looks while something runs."""
STUCK_AFTER = 5.0
"""Seconds after its interrupt until a run that has not ended is given up."""


class Limits(Service):
    """Looks at what runs.

    :param runs: the runs that this process holds.
    :param late: called at each look: gives back what could not start.
    :param stuck: told of a run that was interrupted and did not end.
    """

    role = "limits"

    def __init__(
        self,
        executor: Executor,
        runs: Callable[[], Iterable[Run]],
        late: Callable[[], None],
        stuck: Callable[[Run], None],
        stuck_after: float = STUCK_AFTER,
    ) -> None:
        super().__init__()
        self._executor = executor
        self._runs = runs
        self._late = late
        self._stuck = stuck
        self._stuck_after = stuck_after
        self._news = threading.Event()
        self._cut: dict[Run, float] = {}
        self.sleeps = False

    def nudge(self) -> None:
        self._news.set()

    def step(self) -> None:
        runs = [run for run in self._runs() if run.started]
        if not runs:
            self._cut.clear()
            self._news.clear()
            self.sleeps = True
            if not any(run.started for run in self._runs()) and not self.stopping.is_set():
                self._news.wait()
            self.sleeps = False
            return
        self._late()
        now = time.monotonic()
        next_cut = now + LOOK
        for run in runs:
            if run.cut is None and run.cut_at is not None:
                if run.cut_at <= now:
                    self.cut(run, self._executor.why_cut(run))
                else:
                    next_cut = min(next_cut, run.cut_at)
            since = self._cut.get(run)
            if since is not None and now - since > self._stuck_after and not run.ended:
                self._stuck(run)
        self._cut = {run: at for run, at in self._cut.items() if not run.ended}
        self._news.wait(max(0.001, next_cut - now))
        self._news.clear()

    def cut(self, run: Run, error: Interrupt) -> None:
        """Raise ``error`` in a run, once; what it raises then counts as that."""
        with run.lock:
            if run.ended or run.cut is not None:
                return
            run.cut = error
        self._cut[run] = time.monotonic()
        interrupt = run.interrupt
        if interrupt is not None:
            interrupt(error)
        logger.warning(
            "interrupted: %s", error, extra={"job_id": run.claim.id, "task": run.claim.task}
        )

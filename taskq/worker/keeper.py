"""Renews the worker's lease, and learns from it which jobs are asked to stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from taskq.store import Store
from taskq.worker.service import Service

logger = logging.getLogger("taskq.worker")

BUSY = 1.0
"""Seconds between renewals while something runs; a cancelled job hears of it by then."""


class Keeper(Service):
    """Keeps one lease alive for as long as it runs.

    :param lease: the lease to hold at this moment; None: there is none to renew.
    :param running: the ids of the jobs that have started and not ended.
    :param stop: told the ids that are asked to stop.
    :param lost: told the lease that is lost.
    :param interval: seconds between renewals while nothing runs.
    """

    role = "keeper"

    def __init__(
        self,
        store: Store,
        interval: float,
        *,
        lease: Callable[[], str | None],
        running: Callable[[], Sequence[str]],
        stop: Callable[[list[str]], None],
        lost: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._store = store
        self._interval = interval
        self._lease = lease
        self._running = running
        self._stop = stop
        self._lost = lost
        self._news = threading.Event()
        self._renewed = time.monotonic()
        # Back before others, who look once an interval, have seen the lease lapsed twice.
        self.longest_pause = min(self.longest_pause, interval / 2)

    def nudge(self) -> None:
        self._news.set()

    def step(self) -> None:
        self._news.wait(BUSY if self._running() else min(BUSY, self._interval))
        self._news.clear()
        lease = self._lease()
        if lease is None or self.stopping.is_set():
            return
        running = self._running()
        now = time.monotonic()
        if not running and now - self._renewed < self._interval:
            return
        asked = self._store.renew(lease, running)
        self._renewed = now
        if asked is None:
            self._lost(lease)
        elif asked:
            self._stop(asked)

"""A named thread that runs one role of the worker and can be stopped."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from taskq.errors import StoreUnavailable

logger = logging.getLogger("taskq.worker")

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0


class Service:
    """One role, one thread, one loop. Starting twice and stopping twice do nothing more.

    A subclass gives `step`, which is called again and again until `stop`. A store that is
    away is told once and tried again with growing, jittered pauses; any other error of a
    step is logged, ends the loop and is told to ``crashed``, which ends the whole worker: one
    that sits alive and idle would be worse than one that dies.
    """

    role = "service"
    longest_pause = LONGEST_PAUSE
    """Seconds between tries while the store is away, at most."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.crashed: Callable[[str], None] | None = None
        """Told the role, when an unforeseen error ended the loop."""
        self._thread: threading.Thread | None = None
        self._pause = 0.0
        self._away = False

    def start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name=f"taskq.{self.role}", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Ask the loop to end; returns at once."""
        self.stopping.set()
        self.nudge()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the loop's end; False if it has not ended in time."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout)
        return not thread.is_alive()

    def nudge(self) -> None:
        """Let a step that waits look again."""

    def step(self) -> None:
        raise NotImplementedError

    def _run(self) -> None:
        try:
            while not self.stopping.is_set():
                try:
                    self.step()
                except StoreUnavailable as error:
                    self._wait_for_store(error)
                else:
                    self._store_answered()
        except BaseException:
            logger.exception("the worker's %s stopped on an unforeseen error", self.role)
            if self.crashed is not None:
                self.crashed(self.role)

    def _wait_for_store(self, error: StoreUnavailable) -> None:
        if not self._away:
            self._away = True
            logger.warning("the store is away, trying again (%s): %s", self.role, error)
        self._pause = min(self.longest_pause, max(FIRST_PAUSE, self._pause * 2))
        self.stopping.wait(self._pause * random.uniform(0.5, 1.0))

    def _store_answered(self) -> None:
        if self._away:
            self._away = False
            self._pause = 0.0
            logger.warning("the store is back (%s)", self.role)

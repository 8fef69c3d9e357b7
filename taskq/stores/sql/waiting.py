"""Waiting for something to change in a database that does not call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from taskq.clock import Clock
from taskq.stores.sql.connect import tell_of_forks

SOON, LATE = 0.005, 0.1
"""Seconds between two looks: the first ones, and what they grow to."""


@runtime_checkable
class _TravellingClock(Protocol):
    """A clock that can leap (``taskq.testing.clock``), and tells by how many seconds."""

    def listen(self, callback: Callable[[float], None]) -> None: ...


class Bell:
    """Rung by the threads of this process that have written something."""

    def __init__(self, clock: Clock) -> None:
        self._leapt = 0.0
        self._rings = 0
        self.forked()
        tell_of_forks(self)
        if isinstance(clock, _TravellingClock):
            clock.listen(self._travelled)

    def before_fork(self) -> None:
        """Nothing has to be at rest."""

    def after_fork(self) -> None:
        """Nothing was done before."""

    def forked(self) -> None:
        # Another thread may have held it when it was copied.
        self._heard = threading.Condition()

    def ticks(self) -> float:
        """What waits are measured by: real time, which setting the wall clock doesn't touch,
        and the leaps of a clock that travels."""
        return time.monotonic() + self._leapt

    def ring(self) -> None:
        with self._heard:
            self._rings += 1
            self._heard.notify_all()

    def pause(self, rings: int, seconds: float) -> bool:
        """Wait for a ring after the first ``rings`` of them; False if none came in time."""
        with self._heard:
            if self._rings == rings:
                self._heard.wait(seconds)
            return self._rings != rings

    def watch(self, version: Callable[[], Any]) -> Watch:
        """Begin to watch; whatever is read from now on is read before the next change."""
        return Watch(self, self._rings, version)

    def _travelled(self, seconds: float) -> None:
        self._leapt += max(seconds, 0.0)
        self.ring()


class Watch:
    """Notices what was committed since it was made: by this process at once, by others
    within 5 to 100 ms.

    :param version: something that differs after others have committed.
    """

    def __init__(self, bell: Bell, rings: int, version: Callable[[], Any]) -> None:
        self._bell = bell
        self._rings = rings
        self._version = version
        self._seen = version()

    def changed(self, seconds: float) -> bool:
        """Wait for a change, for at most so many seconds."""
        until = time.monotonic() + seconds
        pause = SOON
        while (left := until - time.monotonic()) > 0:
            if self._bell.pause(self._rings, min(pause, left)):
                return True
            if self._version() != self._seen:
                return True
            pause = min(pause * 1.5, LATE)
        return False

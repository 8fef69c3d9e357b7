"""A clock for tests, which moves only when it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta


class TravelClock:
    """Stands still until it is moved; given to a store, it decides what is due and what lapsed.

    :param now: where it starts, in seconds since the epoch.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._mutex = threading.Lock()
        self._listeners: list[Callable[[float], None]] = []

    def now(self) -> float:
        return self._now

    def travel(self, seconds: float | timedelta) -> None:
        """Move by seconds or a timedelta; backwards, if negative."""
        if isinstance(seconds, timedelta):
            seconds = seconds.total_seconds()
        with self._mutex:
            self._now += seconds
            listeners = list(self._listeners)
        for listener in listeners:
            listener(seconds)

    def set(self, moment: float | datetime) -> None:
        """Move to an instant: seconds since the epoch, or an aware datetime."""
        if isinstance(moment, datetime):
            if moment.tzinfo is None:
                raise ValueError("an instant is an aware datetime; this one has no time zone")
            moment = moment.timestamp()
        self.travel(moment - self.now())

    def listen(self, callback: Callable[[float], None]) -> None:
        """Have ``callback`` called after each move, with the seconds moved, in the mover's
        thread: so that what waits for the clock can look again."""
        with self._mutex:
            self._listeners.append(callback)

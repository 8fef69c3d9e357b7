"""What runs are handed to, and how many it may hold."""

from __future__ import annotations

import time
from typing import Protocol

from taskq.worker.run import Run

AHEAD = 0.03
"""Seconds of work to hold beyond what runs: what is claimed ahead starts about that soon."""
MOST_AHEAD = 500
LATE = 0.1
"""Seconds in which a claim should have started; it is given back if its lane starts nothing."""
TOO_LATE = 0.3
"""Seconds after which it is given back although its lane goes on."""
CLOSED = 0.2
"""Seconds for which a lane that was late claims nothing."""


class LaneOfRuns(Protocol):
    """What the worker needs of a lane."""

    size: int

    @property
    def waiting(self) -> int: ...
    def put(self, runs: list[Run]) -> None: ...
    def take_back(self) -> list[Run]: ...
    def close(self) -> None: ...
    def join(self, timeout: float) -> None: ...


class Pace:
    """How fast one lane is, and so how much may be claimed ahead."""

    __slots__ = ("closed_until", "mean", "most_ahead", "started")

    def __init__(self, most_ahead: int) -> None:
        self.most_ahead = most_ahead
        self.mean: float | None = None
        """Seconds that a run takes, weighted towards the latest ones."""
        self.closed_until = 0.0
        self.started = 0.0
        """When a run last started (monotonic)."""

    def ended(self, seconds: float) -> None:
        mean = self.mean
        self.mean = seconds if mean is None else mean + (seconds - mean) * 0.05

    def was_late(self) -> None:
        """What was claimed did not start in time, so there was too much of it.

        A lane that starts nothing at all claims nothing for a moment, and then nothing ahead
        until runs have shown to be short again.
        """
        now = time.monotonic()
        if now - self.started > LATE / 2:
            self.mean = 1.0
            self.closed_until = now + CLOSED
        elif self.mean is not None:
            self.mean *= 4

    def closed(self) -> bool:
        if self.closed_until and time.monotonic() >= self.closed_until:
            self.closed_until = 0.0
        return self.closed_until > 0

    def target(self, size: int) -> int:
        """How many to hold for ``size`` slots."""
        if self.closed():
            return 0
        if self.mean is None:
            return size
        return size + min(self.most_ahead, int(size * AHEAD / max(self.mean, 1e-6)))

"""Claims jobs for the lanes, and never holds work that it cannot soon run."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from taskq.errors import LeaseLost
from taskq.job import Lane
from taskq.worker.run import Run
from taskq.worker.service import Service

if TYPE_CHECKING:
    from taskq.worker.worker import Worker

logger = logging.getLogger("taskq.worker")

AHEAD = 0.03
"""Seconds of work to hold beyond what runs: what is claimed ahead starts about that soon."""
MOST_AHEAD = 500
LATE = 0.1
"""Seconds in which a claim should have started; it is given back if its lane starts nothing."""
TOO_LATE = 0.3
"""Seconds after which it is given back although its lane goes on."""
CLOSED = 0.2
"""Seconds for which a lane that was late claims nothing."""
LONGEST_WAIT = 15.0
"""Seconds that one call waits in the store for a job; it is woken, this is for safety only."""


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


class Claimer(Service):
    role = "claimer"

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self._worker = worker
        self._number = 1
        self._room = threading.Event()
        self._alone: list[Run] = []
        self.waits_without: frozenset[Lane] = frozenset()
        """Lanes that were full when the claim that now waits in the store was made."""
        self.enough: dict[Lane, int] = {}
        """Lanes that have enough for now, and how many they may hold when it wants to hear."""

    def nudge(self) -> None:
        """Something changed: a slot is free, a lane is done, the worker stops."""
        self._room.set()

    def step(self) -> None:
        worker = self._worker
        self._room.clear()
        lease = worker.lease
        if lease is None:
            lease = worker.open_lease()
            self._number = 1
        worker.give_back_late()
        if self._alone:
            self._run_alone()
            return
        limits = {lane: room for lane in worker.lanes if (room := self._wanted(lane)) > 0}
        own = [lane for lane in limits if worker.has_tasks(lane)]
        if not own:
            self._wait_for_room()
            return
        waiting = self._holds_ahead()
        wait = 0.0 if waiting or worker.burst else LONGEST_WAIT
        if wait and any(pace.closed() for pace in worker.paces.values()):
            wait = CLOSED
        if wait:
            self.waits_without = frozenset(
                lane for lane in worker.lanes if lane not in limits and worker.has_tasks(lane)
            )
            if any(self._wanted(lane) > 0 for lane in self.waits_without):
                return  # a slot became free meanwhile, and nobody would wake the claim for it
        quiet = not worker.busy and worker.finisher.drained
        try:
            claimed = worker.store.claim(lease, self._number, worker.order.next(), limits, wait)
        except LeaseLost:
            worker.lost(lease)
            return
        finally:
            self.waits_without = frozenset()
        worker.round_trip()
        worker.upkeep.due_in(claimed.next_due)
        if claimed.claims:
            self._number += 1
            received = time.monotonic()
            self._dispatch([Run(claim, lease, received) for claim in claimed.claims])
        elif worker.burst:
            if claimed.next_due is not None and claimed.next_due <= 0:
                worker.store.promote()
            elif quiet:
                worker.end()  # jobs of the future are left
            else:
                self._wait_for_room()
        elif waiting:
            self._wait_for_room()

    def _wanted(self, name: Lane) -> int:
        """How many to claim for a lane; 0 while it has enough for now."""
        worker = self._worker
        lane, held = worker.lanes[name], len(worker.held[name])
        target = worker.paces[name].target(lane.size)
        # Fewer, larger claims: while some wait, the next claim comes when half of them are gone.
        half = target // 2
        if held > lane.size and held > half:
            self.enough[name] = half
            return 0
        self.enough.pop(name, None)
        return target - held

    def _wait_for_room(self) -> None:
        if not self.stopping.is_set():
            soon = self._holds_ahead() or any(pace.closed() for pace in self._worker.paces.values())
            self._room.wait(LATE / 2 if soon else 1.0)

    def _holds_ahead(self) -> bool:
        """More is held than there are slots, so something waits for one."""
        worker = self._worker
        return any(len(worker.held[name]) > lane.size for name, lane in worker.lanes.items())

    def _dispatch(self, runs: list[Run]) -> None:
        worker = self._worker
        together: list[Run] = []
        for run in runs:
            # A job under which a worker died is run alone, so that the next death tells who it was.
            (self._alone if run.claim.deaths else together).append(run)
        worker.dispatch(together)

    def _run_alone(self) -> None:
        worker = self._worker
        if worker.busy:
            self._wait_for_room()
            return
        worker.dispatch([self._alone.pop(0)])

    def leftovers(self) -> list[Run]:
        """Claimed, and neither started nor handed to a lane; at the end."""
        left, self._alone = self._alone, []
        return left

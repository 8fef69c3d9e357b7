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
"""Seconds after which a claim that has not started is given back."""
LONGEST_WAIT = 15.0
"""Seconds that one call waits in the store for a job; it is woken, this is for safety only."""


class Pace:
    """How fast one lane is, and so how much may be claimed ahead."""

    __slots__ = ("held", "mean")

    def __init__(self) -> None:
        self.held = 0
        """Runs of the lane that have no outcome yet."""
        self.mean: float | None = None
        """Seconds that a run takes, weighted towards the latest ones."""

    def ended(self, seconds: float) -> None:
        mean = self.mean
        self.mean = seconds if mean is None else mean + (seconds - mean) * 0.05

    def was_late(self) -> None:
        """What was claimed ahead did not start in time: claim nothing ahead for a while."""
        self.mean = 1.0

    def room(self, size: int) -> int:
        """How many more to claim for ``size`` slots."""
        if self.mean is None:
            ahead = 0
        else:
            ahead = min(MOST_AHEAD, int(size * AHEAD / max(self.mean, 1e-6)))
        return size + ahead - self.held


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
        self.found_nothing = False
        """The last claim found nothing that was ready."""

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
        self._give_back_late()
        if self._alone:
            self._run_alone()
            return
        limits = {lane: room for lane in worker.lanes if (room := self._wanted(lane)) > 0}
        own = [lane for lane in limits if worker.has_tasks(lane)]
        if not own:
            self._wait_for_room()
            return
        waiting = any(lane.waiting for lane in worker.lanes.values())
        wait = 0.0 if waiting or worker.burst else LONGEST_WAIT
        if wait:
            self.waits_without = frozenset(
                lane for lane in worker.lanes if lane not in limits and worker.has_tasks(lane)
            )
        try:
            claimed = worker.store.claim(lease, self._number, worker.order.next(), limits, wait)
        except LeaseLost:
            worker.lost(lease)
            return
        finally:
            self.waits_without = frozenset()
        worker.round_trip()
        worker.upkeep.due_in(claimed.next_due)
        self.found_nothing = not claimed.claims
        if claimed.claims:
            self._number += 1
            received = time.monotonic()
            self._dispatch([Run(claim, lease, received) for claim in claimed.claims])
        elif worker.burst:
            worker.maybe_done(claimed.next_due)
            self._wait_for_room()
        elif waiting:
            self._wait_for_room()

    def _wanted(self, name: Lane) -> int:
        """How many to claim for a lane; 0 while it has enough for now."""
        lane, pace = self._worker.lanes[name], self._worker.paces[name]
        room = pace.room(lane.size)
        # Fewer, larger claims: while some wait, the next claim comes when half of them are gone.
        if lane.waiting and room < (pace.held + room) // 2:
            return 0
        return room

    def _wait_for_room(self) -> None:
        if not self.stopping.is_set():
            waiting = any(lane.waiting for lane in self._worker.lanes.values())
            self._room.wait(LATE / 2 if waiting else 1.0)

    def _dispatch(self, runs: list[Run]) -> None:
        worker = self._worker
        together: list[Run] = []
        for run in runs:
            # A job under which a worker died is run alone, so that the next death tells who it was.
            (self._alone if run.claim.deaths else together).append(run)
        worker.dispatch(together)

    def _give_back_late(self) -> None:
        threads = self._worker.lanes["thread"]
        if not threads.waiting:
            return
        first = self._worker.oldest_waiting()
        if first is not None and time.monotonic() - first > LATE:
            self._worker.give_back_waiting()
            self._worker.paces["thread"].was_late()

    def _run_alone(self) -> None:
        worker = self._worker
        if worker.held:
            self._wait_for_room()
            return
        worker.dispatch([self._alone.pop(0)])

    def leftovers(self) -> list[Run]:
        """Claimed, and neither started nor handed to a lane; at the end."""
        left, self._alone = self._alone, []
        return left

"""Claims jobs for the lanes, and never holds work that it cannot soon run."""

from __future__ import annotations

import logging
import threading
import time
from typing import Protocol

from taskq.errors import LeaseLost
from taskq.job import Lane
from taskq.store import Store
from taskq.worker.lanes import CLOSED, LATE, LaneOfRuns, Pace
from taskq.worker.queues import QueueOrder
from taskq.worker.run import Run
from taskq.worker.service import Service

logger = logging.getLogger("taskq.worker")

LONGEST_WAIT = 30.0
"""Seconds that one call waits in the store for a job; it is woken, this is for safety only."""


class Host(Protocol):
    """What the claimer needs of its worker."""

    store: Store
    order: QueueOrder
    burst: bool
    lease: str | None
    lanes: dict[Lane, LaneOfRuns]
    paces: dict[Lane, Pace]
    held: dict[Lane, dict[Run, None]]

    @property
    def busy(self) -> bool: ...
    @property
    def drained(self) -> bool: ...
    def has_tasks(self, lane: Lane) -> bool: ...
    def open_lease(self) -> str: ...
    def lost(self, lease: str) -> None: ...
    def claimed(self, next_due: float | None) -> None: ...
    def dispatch(self, runs: list[Run]) -> None: ...
    def give_back(self, runs: list[Run]) -> None: ...
    def give_back_late(self) -> None: ...
    def end(self) -> None: ...


class Claimer(Service):
    role = "claimer"

    def __init__(self, worker: Host) -> None:
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
        limits: dict[Lane, int] = {
            lane: room for lane in worker.lanes if (room := self._wanted(lane)) > 0
        }
        own = [lane for lane in limits if worker.has_tasks(lane)]
        if not own:
            self._wait_for_room()
            return
        waiting = self._holds_ahead()
        wait = 0.0 if waiting or worker.burst or self.stopping.is_set() else LONGEST_WAIT
        if wait and any(pace.closed() for pace in worker.paces.values()):
            wait = CLOSED
        if wait:
            self.waits_without = frozenset(
                lane for lane in worker.lanes if lane not in limits and worker.has_tasks(lane)
            )
            if any(self._wanted(lane) > 0 for lane in self.waits_without):
                return  # a slot became free meanwhile, and nobody would wake the claim for it
        quiet = not worker.busy and worker.drained
        try:
            claimed = worker.store.claim(lease, self._number, worker.order.next(), limits, wait)
        except LeaseLost:
            worker.lost(lease)
            return
        finally:
            self.waits_without = frozenset()
        worker.claimed(claimed.next_due)
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
        # One at a time: the others may run in other processes meanwhile.
        self._alone, others = self._alone[:1], self._alone[1:]
        worker.give_back(others)

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

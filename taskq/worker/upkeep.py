"""What any worker does for all: promote what is due, recover what the dead left, prune."""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import TYPE_CHECKING

from taskq.errors import LeaseLost
from taskq.failure import failure_of
from taskq.job import Claim, Outcome, State, WorkerInfo
from taskq.options import Options
from taskq.retry import Decision, WorkerDied, decide
from taskq.worker.service import Service

if TYPE_CHECKING:
    from taskq.app import TaskQ

logger = logging.getLogger("taskq.worker")

PRUNE_EVERY = 60.0
LOOK_AGAIN = 60.0
"""Seconds between looks for due jobs when none is known to be due earlier: claims tell what is
due next, so this is for safety only."""
PROMOTE = 1000
PRUNE = 1000
RECLAIM = 100


class Upkeep(Service):
    """Sleeps until something is due; doing the same as another worker does is harmless.

    :param interval: seconds between looks for lapsed leases. One is taken over only when it was
        seen lapsed for a whole interval in which this process reached the store throughout: an
        outage of the store, during which nobody could renew, takes nobody's jobs away.
    """

    role = "upkeep"

    def __init__(self, app: TaskQ, info: WorkerInfo, interval: float, ttl: float) -> None:
        super().__init__()
        self._app = app
        self._store = app.store
        self._info = info
        self._interval = interval
        self._ttl = ttl
        self._news = threading.Event()
        now = time.monotonic()
        self._promote_at = now
        self._look_at = now
        self._prune_at = now + random.uniform(0, PRUNE_EVERY)
        self._lapsed: dict[str, float] = {}

    def nudge(self) -> None:
        self._news.set()

    def due_in(self, seconds: float | None) -> None:
        """The next scheduled or retrying job is due in so many seconds (None: there is none)."""
        if seconds is None:
            return
        at = time.monotonic() + max(0.0, seconds)
        if at < self._promote_at:
            self._promote_at = at
            self._news.set()

    def look_for_dead(self) -> None:
        """A worker is known to have died: recover its jobs now."""
        self._look_at = 0.0
        self._news.set()

    def step(self) -> None:
        self._news.clear()
        now = time.monotonic()
        at = min(self._promote_at, self._look_at, self._prune_at)
        if at > now:
            if not self.stopping.is_set():
                self._news.wait(at - now)
            return
        try:
            if self._promote_at <= now:
                self._promote()
            if self._look_at <= now:
                self._recover()
            if self._prune_at <= now:
                self._prune()
        except BaseException:
            self._lapsed.clear()
            self._promote_at = min(self._promote_at, now)
            raise

    def _promote(self) -> None:
        # Before the call: what due_in() is told meanwhile counts.
        self._promote_at = time.monotonic() + LOOK_AGAIN
        moved, next_due = self._store.promote(PROMOTE)
        if moved >= PROMOTE:
            self._promote_at = 0.0
        elif next_due is not None:
            self._promote_at = min(self._promote_at, time.monotonic() + max(next_due, 0.001))

    def _prune(self) -> None:
        pruned = self._store.prune(PRUNE)
        pause = 0.0 if pruned >= PRUNE else PRUNE_EVERY * random.uniform(0.8, 1.2)
        self._prune_at = time.monotonic() + pause

    def _recover(self) -> None:
        now = time.monotonic()
        found = self._store.lapsed()
        if any(not lapsed.ended for lapsed in found):
            # Reading works in some outages in which nobody can renew: see that writing does too.
            self._store.tally("taskq.upkeep", self._interval)
        seen = {lapsed.lease: self._lapsed.get(lapsed.lease, now) for lapsed in found}
        dead = [
            lapsed.lease
            for lapsed in found
            if lapsed.ended or now - seen[lapsed.lease] >= self._interval
        ]
        self._lapsed = seen
        self._look_at = now + self._interval * random.uniform(0.9, 1.1)
        if dead:
            try:
                recover(self._app, self._info, dead, self._ttl)
            except LeaseLost as error:
                # This process stood still, or the store was emptied. What is left is looked for
                # again, here or by others.
                logger.warning("taking over jobs of the dead was cut short: %s", error)
            for lease in dead:
                self._lapsed.pop(lease, None)


def recover(app: TaskQ, info: WorkerInfo, dead: list[str], ttl: float) -> int:
    """Take over the jobs of dead leases and decide what becomes of each; how many there were.

    Done under a lease of its own: its series of numbers is not in the way of the claimer's,
    and if this process dies meanwhile, the jobs are found under that lease.
    """
    store = app.store
    lease = store.open(info, ttl)
    count = 0
    number = 1
    while claims := store.reclaim(lease, number, dead, RECLAIM):
        number += 1
        count += len(claims)
        store.finish(lease, [_judge(app, claim) for claim in claims])
    store.end(lease)
    if count:
        logger.warning("took over %d jobs of %d workers that died", count, len(dead))
    return count


def _judge(app: TaskQ, claim: Claim) -> Outcome:
    task = app.tasks.find(claim.task)
    options = Options() if task is None else app.options_of(task)
    if not claim.ran:
        # It was claimed and not started: nobody died of it.
        return Outcome(
            claim, State.READY, attempts=claim.attempts, deaths=claim.deaths, started=False
        )
    error = WorkerDied("the worker that ran it died")
    decision: Decision = decide(options, claim, error, claim.now)
    record = failure_of(error, claim.attempts + 1, claim.now, decision.reason)
    record.traceback = ""
    return Outcome(
        claim,
        decision.state,
        attempts=decision.attempts,
        deaths=decision.deaths,
        error=record.to_bytes(),
    )

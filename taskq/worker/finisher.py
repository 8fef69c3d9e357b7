"""Writes outcomes and notes to the store, in batches of whatever has come together."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from taskq.job import Note, Outcome
from taskq.store import Store
from taskq.worker.run import Run
from taskq.worker.service import Service

logger = logging.getLogger("taskq.worker")

MOST = 500
"""Outcomes of one call."""
NOTE_EVERY = 0.5
"""Seconds between writings of progress and log lines."""


class Finisher(Service):
    """Keeps trying while the store is away; an outcome is dropped only when its lease is lost.

    :param written: told after each call, when its outcomes are confirmed or refused for good.
    """

    role = "finisher"

    def __init__(self, store: Store, written: Callable[[], None]) -> None:
        super().__init__()
        self._store = store
        self._written = written
        self._queue: deque[tuple[Run, Outcome]] = deque()
        self._batch: list[tuple[Run, Outcome]] = []
        self._noted: dict[Run, None] = {}
        self._note_at = 0.0
        self._news = threading.Event()
        self._sleeps = False
        self._wakes: str | None = None

    def put(self, run: Run, outcome: Outcome) -> None:
        self._queue.append((run, outcome))
        if self._sleeps:
            self._news.set()

    def note(self, run: Run) -> None:
        """A run said something; write it soon."""
        self._noted[run] = None
        if self._sleeps:
            self._news.set()

    def wake_claim(self, lease: str) -> None:
        """Let the claim that waits in the store return: a slot is free again. Here, because the
        threads that run tasks do no I/O to the store."""
        self._wakes = lease
        if self._sleeps:
            self._news.set()

    def nudge(self) -> None:
        self._news.set()

    @property
    def drained(self) -> bool:
        return not self._queue and not self._batch and not self._noted

    def step(self) -> None:
        if not self._batch:
            self._sleep(max(0.0, self._note_at - time.monotonic()) if self._noted else None)
        if self._wakes is not None:
            lease, self._wakes = self._wakes, None
            self._store.wake(lease)
        now = time.monotonic()
        if self._noted and now >= self._note_at:
            self._note_at = now + NOTE_EVERY
            for run in list(self._noted):
                self._write_note(run)
        if not self._batch:
            while self._queue and len(self._batch) < MOST:
                self._batch.append(self._queue.popleft())
        if self._batch:
            self._write()

    def _sleep(self, timeout: float | None) -> None:
        """Until there is something to write; notes may wait until ``timeout``."""
        # First say that one sleeps, then look once more: put() does it the other way round.
        self._news.clear()
        self._sleeps = True
        idle = not self._queue and self._wakes is None and not self.stopping.is_set()
        if idle and not (timeout is None and self._noted):
            self._news.wait(timeout)
        self._sleeps = False

    def _write_note(self, run: Run) -> None:
        with run.lock:
            note, run.note = run.note, None
        if note is not None:
            try:
                self._store.note(run.lease, run.claim, note)
            except BaseException:
                with run.lock:
                    run.note = _merged(note, run.note)
                raise
        self._noted.pop(run, None)

    def _write(self) -> None:
        batch = self._batch
        for run, _ in batch:
            if run.note is not None:
                self._write_note(run)
        leases = {run.lease for run, _ in batch}
        for lease in leases:
            part = [outcome for run, outcome in batch if run.lease == lease]
            answers = self._store.finish(lease, part)
            for outcome, answer in zip(part, answers, strict=True):
                if answer == "lost":
                    logger.warning(
                        "the outcome (%s) was refused: the job is no longer this worker's",
                        outcome.state,
                        extra={"job_id": outcome.claim.id, "task": outcome.claim.task},
                    )
        self._batch = []
        self._written()


def _merged(older: Note, newer: Note | None) -> Note:
    if newer is None:
        return older
    return Note(
        progress=older.progress if newer.progress is None else newer.progress,
        log=[*older.log, *newer.log],
    )

"""Starts worker processes, renews their leases, replaces those that die, and stops them.

It imports neither the application nor any of its tasks, so nothing of theirs can starve it.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from taskq.errors import StoreError, TaskQError
from taskq.store import Store
from taskq.stores import open_store
from taskq.worker.keeper import Keeper
from taskq.worker.link import Link, Message
from taskq.worker.slots import SlotTable

logger = logging.getLogger("taskq.supervisor")

PING_EVERY = 5.0
SILENT_AFTER = 20.0
"""Seconds without an answer, and without a job that is within its timeout, that end a child."""
EARLY = 2.0
"""A child that dies sooner than this after its start is restarted with growing pauses."""
LONGEST_PAUSE = 30.0
STOP_MARGIN = 10.0
"""Seconds beyond the grace in which a child writes its last outcomes."""


@dataclass(slots=True)
class Plan:
    """What to run. None: the app's setting.

    :ivar app: as ``module:name``; imported by the children only.
    :ivar rows: jobs that a child can show in its slot table.
    """

    app: str
    processes: int = 1
    queues: dict[str, int] | list[str] | None = None
    exclude: tuple[str, ...] = ()
    concurrency: int | None = None
    async_concurrency: int | None = None
    strict: bool = False
    burst: bool = False
    grace: float = 25.0
    log_level: str | None = None
    log_format: str | None = None
    rows: int = 1100

    def message(self) -> Message:
        return {
            name: getattr(self, name)
            for name in (
                "app", "queues", "exclude", "concurrency", "async_concurrency", "strict",
                "burst", "grace", "log_level", "log_format", "rows",
            )
        }  # fmt: skip


class CannotStart(TaskQError):
    """The first worker process could not start; the text is its own."""


class _Child:
    """One worker process, seen from outside."""

    def __init__(self, plan: Plan) -> None:
        ours, theirs = socket.socketpair()
        self.table = SlotTable(plan.rows)
        self.link = Link(ours)
        self.started = time.monotonic()
        self.heard = self.started
        self.lease: str | None = None
        self.ready: Message | None = None
        self.error: str | None = None
        self.condemned = False
        self.gone = False
        self.keeper: Keeper | None = None
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "taskq.worker.child",
                str(theirs.fileno()),
                str(self.table.fd),
            ],
            pass_fds=(theirs.fileno(), self.table.fd),
        )
        theirs.close()
        self.link.send(**plan.message())

    @property
    def pid(self) -> int:
        return self.process.pid

    def alive_at(self, now: float) -> bool:
        """It answers, or a job of it is within its time."""
        if now - self.heard < SILENT_AFTER:
            return True
        return any(slot.cut_at == 0 or slot.cut_at > now for slot in self.table.read())

    def running(self) -> list[str]:
        return [slot.id for slot in self.table.read()]


class Supervisor:
    """Runs a plan until it is told to stop, or its burst is over.

    :param on_ready: told once what the first child serves: url, queues, tasks, concurrency.
    """

    def __init__(self, plan: Plan, on_ready: Callable[[Message], None] | None = None) -> None:
        self._plan = plan
        self._on_ready = on_ready
        self._children: list[_Child] = []
        self._selector = selectors.DefaultSelector()
        self._store: Store | None = None
        self._was_ready = False
        self._pinged = 0.0
        self._pause = 0.0
        self._start_at: list[float] = []
        self._stop_at: float | None = None
        """When the children were told to stop; None: they were not."""
        self._kill_at = 0.0
        self._signals: list[float] = []

    def run(self) -> int:
        """The exit code: 0 when stopped or when the burst is over.

        :raises CannotStart: the first child says why.
        """
        with self._signal_wakeup():
            now = time.monotonic()
            self._start_at = [now] * self._plan.processes
            try:
                while self._children or self._start_at:
                    self._turn()
                return 0
            finally:
                self._close()

    # -- one turn of the loop -----------------------------------------------------------
    def _turn(self) -> None:
        now = time.monotonic()
        self._handle_signals(now)
        self._start_due(now)
        self._ping(now)
        for key, _ in self._selector.select(self._pause_until(now)):
            if key.data is None:
                key.fileobj.recv(4096)  # type: ignore[union-attr]  # our own socket: a signal came
            else:
                self._hear(key.data)
        for child in list(self._children):
            child.link.flush()
            if child.process.poll() is not None:
                self._bury(child)
        self._kill_overdue(time.monotonic())

    def _pause_until(self, now: float) -> float:
        times = [now + 1.0, *self._start_at]
        if self._stop_at is not None:
            times.append(self._kill_at)
        return max(0.0, min(times) - now)

    def _start_due(self, now: float) -> None:
        for at in [at for at in self._start_at if at <= now]:
            self._start_at.remove(at)
            child = _Child(self._plan)
            self._children.append(child)
            self._selector.register(child.link, selectors.EVENT_READ, child)

    def _ping(self, now: float) -> None:
        if now - self._pinged < PING_EVERY:
            return
        self._pinged = now
        for child in self._children:
            if child.ready is not None:
                child.link.send(ping=now)
                if not child.alive_at(now):
                    logger.error("process %d does not answer; it is ended", child.pid)
                    child.process.kill()

    def _hear(self, child: _Child) -> bool:
        """Takes what the child says; False: there was nothing."""
        messages = child.link.read(wait=False)
        if messages is None:
            self._unregister(child)
            return False
        child.heard = time.monotonic()
        for message in messages:
            if "ready" in message:
                self._child_ready(child, message["ready"])
            elif "lease" in message:
                child.lease = message["lease"]
            elif "error" in message:
                child.error = message["error"]
            elif "condemned" in message:
                if not child.condemned and self._stop_at is None:
                    logger.warning("a task hangs in process %d; it is replaced", child.pid)
                    self._start_at.append(time.monotonic())
                child.condemned = True
        return bool(messages)

    def _child_ready(self, child: _Child, ready: Message) -> None:
        child.ready = ready
        self._pause = 0.0
        settings = ready["store"]
        if settings is not None:
            if self._store is None:
                self._store = open_store(settings["url"], **settings["given"])
            child.keeper = Keeper(
                self._store,
                ready["lease_seconds"] / 3,
                lease=lambda: child.lease if child.alive_at(time.monotonic()) else None,
                running=child.running,
                stop=lambda ids: child.link.send(cancel=ids),
                lost=lambda lease: self._lost(child, lease),
            )
            child.keeper.start()
        if not self._was_ready:
            self._was_ready = True
            if self._on_ready is not None:
                self._on_ready(ready)
        else:
            logger.info("process %d is ready", child.pid)

    @staticmethod
    def _lost(child: _Child, lease: str) -> None:
        if child.lease == lease:
            child.lease = None
        child.link.send(lost=lease)

    # -- ends -------------------------------------------------------------------------
    def _bury(self, child: _Child) -> None:
        # What it said last may still be in the pipe. The end of the pipe may never come: a
        # process that the child left behind can hold it open.
        while not child.gone and self._hear(child):
            pass
        self._children.remove(child)
        self._unregister(child)
        if child.keeper is not None:
            child.keeper.stop()
        code = child.process.returncode
        if child.lease is not None and code != 0:
            self._end_lease(child)
        child.link.close()
        child.table.close()
        now = time.monotonic()
        if self._stop_at is not None:
            return
        if child.error is not None and not self._was_ready:
            raise CannotStart(child.error)
        if child.condemned or (code == 0 and self._plan.burst):
            return
        if code != 0:
            logger.error("process %d %s; starting another", child.pid, _ended(code, child.error))
        else:
            logger.warning("process %d ended; starting another", child.pid)
        if now - child.started < EARLY or child.error is not None:
            self._pause = min(LONGEST_PAUSE, max(0.5, self._pause * 2))
        self._start_at.append(now + self._pause)

    def _unregister(self, child: _Child) -> None:
        if not child.gone:
            child.gone = True
            self._selector.unregister(child.link)

    def _end_lease(self, child: _Child) -> None:
        """Its jobs need not wait until the lease lapses: it is known to be dead."""
        lease, store = child.lease, self._store
        if lease is None or store is None:
            return
        try:
            # What it ran when it died; what it had claimed ahead is not to blame.
            store.renew(lease, child.running())
            store.end(lease)
        except StoreError as error:
            logger.warning("the lease of process %d will lapse by itself: %s", child.pid, error)
            return
        for other in self._children:
            if other.ready is not None:
                other.link.send(look=True)

    def _handle_signals(self, now: float) -> None:
        signals, self._signals = self._signals, []
        for at in signals:
            if self._stop_at is None:
                self._stop(now, self._plan.grace)
            elif at - self._stop_at > 1.0:
                logger.warning("told again to stop: now")
                self._stop(now, 0.0)

    def _stop(self, now: float, grace: float) -> None:
        if self._stop_at is None:
            self._stop_at = now
            logger.info("stopping; jobs have up to %g s to finish", grace)
        self._start_at = []
        self._kill_at = now + grace + STOP_MARGIN
        for child in self._children:
            child.link.send(stop=grace)
            if child.ready is None:
                child.process.terminate()

    def _kill_overdue(self, now: float) -> None:
        if self._stop_at is not None and now >= self._kill_at:
            for child in self._children:
                logger.error("process %d does not stop; it is killed", child.pid)
                child.process.kill()
            self._kill_at = now + STOP_MARGIN

    def _close(self) -> None:
        for child in self._children:
            child.process.kill()
            child.process.wait()
            self._end_lease(child)
        if self._store is not None:
            self._store.close()
        self._selector.close()

    @contextlib.contextmanager
    def _signal_wakeup(self) -> Iterator[None]:
        """SIGTERM and SIGINT stop; both, and SIGCHLD, wake the loop."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self._selector.register(ours, selectors.EVENT_READ, None)

        def told(number: int, frame: FrameType | None) -> None:
            self._signals.append(time.monotonic())

        wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        before: dict[int, Any] = {
            signal.SIGTERM: signal.signal(signal.SIGTERM, told),
            signal.SIGINT: signal.signal(signal.SIGINT, told),
            signal.SIGCHLD: signal.signal(signal.SIGCHLD, lambda number, frame: None),
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup)
            ours.close()
            theirs.close()


def _ended(code: int, error: str | None) -> str:
    if error is not None:
        return f"could not start: {error}"
    if code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    return f"ended with exit code {code}"

"""A worker process under a supervisor: ``python -m taskq.worker.child``, started by it.

The first message says what to run. What the child tells: ``error`` (it cannot start),
``ready`` (what it serves), ``lease`` (a new one to renew), ``condemned`` (a task hangs in it,
replace it), ``pong``. What it is told: ``stop``, ``cancel``, ``lost``, ``look`` (somebody died),
``ping``. When the pipe ends, the supervisor is dead: the child renews its lease for itself,
finishes what it runs, and ends.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import traceback
from types import FrameType
from typing import Any

from taskq import log
from taskq.app import TaskQ, load_app
from taskq.errors import ConfigError, TaskQError
from taskq.worker.link import Link, Message
from taskq.worker.slots import SlotTable
from taskq.worker.worker import Worker

logger = logging.getLogger("taskq.worker")

CANNOT_START = 3
BROKEN = 70
SWITCH_INTERVAL = 0.0005


class Child:
    """One worker process, seen from inside."""

    def __init__(self, link: Link, table_fd: int) -> None:
        self._link = link
        self._table_fd = table_fd
        self._wake = threading.Event()
        self._grace: float | None = None
        self._worker: Worker | None = None

    def run(self) -> int:
        first = self._link.read()
        if not first:
            return CANNOT_START
        start, *others = first
        for handled in (signal.SIGTERM, signal.SIGINT):
            # The terminal tells the whole group; the supervisor tells its children what to do.
            signal.signal(handled, signal.SIG_IGN)
        try:
            app = load_app(start["app"])
            config = app.config
            log.setup(
                start["log_level"] or config.log_level, start["log_format"] or config.log_format
            )
            worker = self._make(app, start)
        except TaskQError as error:
            self._link.send(error=str(error))
            return CANNOT_START
        except BaseException:  # noqa: BLE001  # told to the supervisor, which tells it to the user
            self._link.send(error=traceback.format_exc())
            return CANNOT_START
        self._worker = worker
        self._tell_ready(app, worker)
        signal.signal(signal.SIGTERM, self._terminated)
        for message in others:
            self._told(message)
        threading.Thread(target=self._listen, name="taskq.link", daemon=True).start()
        worker.start()
        while not (worker.wait(0) or self._grace is not None):
            self._wake.wait()
            self._wake.clear()
        worker.stop(self._grace)
        return BROKEN if worker.broken else 0

    def _make(self, app: TaskQ, start: Message) -> Worker:
        if not app.store.shared:
            raise ConfigError(
                "memory:// lives in one process, so a worker process would find nothing there. "
                "Run a worker inside the process (with app.worker(): …), or use another store, "
                "such as sqlite:///taskq.db"
            )
        table = SlotTable(start["rows"], self._table_fd)
        worker = Worker(
            app,
            queues=start["queues"],
            exclude=start["exclude"],
            concurrency=start["concurrency"],
            async_concurrency=start["async_concurrency"],
            strict=start["strict"],
            burst=start["burst"],
            grace=start["grace"],
            supervised=app.store_settings is not None,
            slots=table,
            condemned=self._condemned,
        )
        worker.on_lease = lambda lease: self._link.send(lease=lease)  # type: ignore[method-assign]  # a hook
        worker.on_done = self._wake.set  # type: ignore[method-assign]  # a hook
        return worker

    def _tell_ready(self, app: TaskQ, worker: Worker) -> None:
        self._link.send(
            ready={
                "pid": os.getpid(),
                "url": app.store.url,
                "store": app.store_settings,
                "lease_seconds": app.config.lease,
                "queues": worker.order.describe(),
                "strict": worker.order.strict,
                "tasks": [task.name for task in app.tasks],
                "concurrency": worker.info.concurrency,
                "async_concurrency": worker.info.async_concurrency,
                "version": worker.info.version,
            }
        )

    def _listen(self) -> None:
        for message in self._link:
            self._told(message)
        worker = self._worker
        if worker is not None and self._grace is None:
            logger.warning("the supervisor is gone; finishing what runs, then ending")
            worker.renew_yourself()
            self._stop(worker.grace)

    def _told(self, message: Message) -> None:
        worker = self._worker
        assert worker is not None
        if "ping" in message:
            self._link.send(pong=message["ping"])
        elif "cancel" in message:
            worker.cancel(message["cancel"])
        elif "lost" in message:
            worker.lost(message["lost"])
        elif "look" in message:
            worker.upkeep.look_for_dead()
        elif "stop" in message:
            self._stop(message["stop"])

    def _stop(self, grace: float) -> None:
        if self._grace is None:
            self._grace = grace
        elif grace < self._grace and self._worker is not None:
            self._worker.hurry()
        self._wake.set()

    def _terminated(self, number: int, frame: FrameType | None) -> None:
        # A service manager may signal the whole group, so this may come besides the pipe's
        # word; only the supervisor tells that the grace is over.
        if self._worker is not None and self._grace is None:
            self._stop(self._worker.grace)

    def _condemned(self) -> None:
        if self._worker is not None and self._grace is None:
            self._link.send(condemned=True)
            self._stop(self._worker.grace)


def main(argv: list[str]) -> int:
    """:param argv: the numbers of two inherited file descriptors: the pipe and the slot table."""
    # The claimer and the finisher wait for the interpreter after each answer of the store. At
    # Python's 5 ms they wait long behind a task that computes, and start the next one late.
    sys.setswitchinterval(SWITCH_INTERVAL)
    link_fd, table_fd = (int(part) for part in argv)
    for fd in (link_fd, table_fd):
        os.set_inheritable(fd, False)  # not for programs that tasks start
    return Child(Link(socket.socket(fileno=link_fd)), table_fd).run()


def _entry(args: list[str]) -> Any:
    code = main(args)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that hang in a task must not keep the process: all that is to be kept is written.
    os._exit(code)


if __name__ == "__main__":
    _entry(sys.argv[1:])

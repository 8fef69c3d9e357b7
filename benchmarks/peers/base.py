"""What the benchmark needs to know of a queue."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

URL = os.environ.get("BENCH_URL", "redis://127.0.0.1:1/0")
"""The store of this measurement (in the runner, which only reads the peers' tables: nothing)."""
TUNED = os.environ.get("BENCH_SETTING", "default") != "default"
RESULTS = os.environ.get("BENCH_RESULTS") == "1"
"""This measurement asks for results: a peer that has none by default switches them on."""


class Worker(NamedTuple):
    """How to start workers, and what for.

    :param setting: its name in the tables: ``default``, or what was tuned.
    :param command: a program of the virtual environment and its arguments; ``{url}`` is the
        store's.
    :param copies: how many of them to start.
    :param processes: how many processes will run tasks, all of them together.
    :param jobs: how many jobs to put into the queue for it to drain, about two seconds' worth.
    :param task: the task to drain, if it is not the usual one of the measure.
    :param pause: seconds between two jobs that lets the worker become idle (for latency).
    :param env: more environment variables.
    """

    setting: str
    command: str
    copies: int = 1
    processes: int = 1
    jobs: int = 0
    task: str = ""
    pause: float = 0.015
    env: Mapping[str, str] = {}


class Peer:
    """A queue. The first part is read by the runner, the second is called in processes whose
    environment says which store (``URL``) and settings (``TUNED``) to use."""

    name: ClassVar[str]
    """The name of its file."""
    store = "redis"
    """``redis``, ``sqlite`` or ``memory``."""
    packages: tuple[str, ...] = ()
    """Whose versions are told."""

    drain: tuple[Worker, ...] = ()
    """To drain no-op jobs."""
    sleep: tuple[Worker, ...] = ()
    """To run jobs that sleep 10 ms, 50 at a time."""
    serve: tuple[Worker, ...] = ()
    """For latency, idle cost and memory."""
    enqueue_settings: tuple[str, ...] = ("default", "tuned")
    bulk_settings: tuple[str, ...] = ()
    """Settings in which many jobs are enqueued by one call; none: there is no such call."""
    module_with_a_task = ""
    """What a user writes at least, for the import time; ``{url}`` is a store's."""

    @property
    def label(self) -> str:
        return self.name if self.store == "redis" else f"{self.name} {self.store}"

    def enqueue(self, task: str, number: int) -> Any:
        """Enqueue one job; what ``result`` needs."""
        raise NotImplementedError

    def enqueue_many(self, task: str, numbers: list[int]) -> Any:
        """Enqueue jobs by one call."""
        raise NotImplementedError

    def result(self, handle: Any, timeout: float) -> Any:
        """Wait for a job's result."""
        raise NotImplementedError

    def calls(self, count: int) -> None:
        """Enqueue jobs one after the other, each by a call of its own."""
        enqueue = self.enqueue
        for number in range(count):
            enqueue("noop", number)

    def fill(self, task: str, count: int) -> None:
        """Fill the queue, however it goes fastest."""
        if not self.bulk_settings:
            for number in range(count):
                self.enqueue(task, number)
            return
        for start in range(0, count, 1000):
            self.enqueue_many(task, list(range(start, min(start + 1000, count))))

    def succeeded(self, url: str) -> Callable[[], int] | None:
        """A function that asks the store at a URL how many jobs have succeeded.

        None: the store isn't asked, and a drain ends with the last task's end.
        """
        return None

    def embedded(self, settings: str) -> Callable[[], None]:
        """For a store that lives inside one process: start a worker in here, and don't wait for
        it. ``settings`` is a Worker's ``command``. Gives a function that stops it."""
        raise NotImplementedError

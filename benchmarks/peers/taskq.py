"""taskq at its shipped defaults, on Redis, SQLite and in memory.

Nothing is tuned. Where a measure asks for 50 jobs at a time, that is the only option given;
``-p 2`` is there for the peers' rows with two processes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from benchmarks.peers.base import URL, Peer, Worker
from benchmarks.tasks import ASYNC_TASKS, TASKS
from taskq import TaskQ
from taskq.job import State

REQUIRES = ["redis", "hiredis"]

app = TaskQ(URL)
jobs: dict[str, Any] = {
    function.__name__: app.task()(function) for function in (*TASKS, *ASYNC_TASKS)
}

WORKER = "taskq worker --app benchmarks.peers.taskq:app"
MODULE = """
from taskq import TaskQ

app = TaskQ("{url}")

@app.task()
def add(x, y):
    return x + y
"""


class TaskQPeer(Peer):
    name = "taskq"
    enqueue_settings = ("default",)
    bulk_settings = ("default",)
    drain: tuple[Worker, ...] = (
        Worker("default", WORKER, jobs=12_000),
        Worker("async", WORKER, jobs=12_000, task="anoop"),
        Worker("-p 2", f"{WORKER} -p 2", processes=2, jobs=16_000),
    )
    sleep = (
        Worker("threads", f"{WORKER} -c 50", jobs=4000),
        Worker("coroutines", f"{WORKER} --async-concurrency 50", jobs=4000, task="asleep"),
    )
    serve = (Worker("default", WORKER),)
    module_with_a_task = MODULE

    def enqueue(self, task: str, number: int) -> Any:
        return jobs[task].delay(number)

    def enqueue_many(self, task: str, numbers: list[int]) -> Any:
        return jobs[task].delay_many([(number,) for number in numbers])

    def result(self, handle: Any, timeout: float) -> Any:
        return handle.result(timeout=timeout)

    def succeeded(self, url: str) -> Callable[[], int]:
        watcher = app if url == "memory://" else TaskQ(url)
        return lambda: watcher.inspector.totals()[State.SUCCEEDED]


class OnSQLite(TaskQPeer):
    store = "sqlite"
    drain = (
        Worker("default", WORKER, jobs=8000),
        Worker("async", WORKER, jobs=8000, task="anoop"),
    )


class InMemory(TaskQPeer):
    """Its worker lives in the process of the client; a worker's command is its settings."""

    store = "memory"
    drain = (
        Worker("default", "{}", jobs=15_000),
        Worker("async", "{}", jobs=15_000, task="anoop"),
    )
    sleep = (
        Worker("threads", '{"concurrency": 50}', jobs=4000),
        Worker("coroutines", '{"async_concurrency": 50}', jobs=4000, task="asleep"),
    )
    serve = (Worker("default", "{}"),)

    def embedded(self, settings: str) -> Callable[[], None]:
        running = ExitStack()
        running.enter_context(app.worker(**json.loads(settings)))
        return running.close


PEERS: list[Peer] = [TaskQPeer(), OnSQLite(), InMemory()]

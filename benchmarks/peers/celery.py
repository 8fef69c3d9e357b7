"""Celery 5 on Redis.

Tuned: no result backend (unless results are asked for), results ignored, a prefetch of 100 a
thread, threads instead of processes, no gossip, mingle and heartbeat.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery

from benchmarks.peers.base import RESULTS, TUNED, URL, Peer, Worker
from benchmarks.tasks import TASKS

REQUIRES = ["celery[redis]", "redis", "hiredis"]

app = Celery("bench", broker=URL, backend=URL if RESULTS else None)
app.conf.broker_connection_retry_on_startup = True
if TUNED:
    app.conf.worker_prefetch_multiplier = 100
    app.conf.task_ignore_result = not RESULTS

jobs: dict[str, Any] = {
    function.__name__: app.task(name=f"bench.{function.__name__}")(function) for function in TASKS
}

DEFAULT = "celery -A benchmarks.peers.celery worker"
QUIET = f"{DEFAULT} -l WARNING --without-gossip --without-mingle --without-heartbeat"


class CeleryPeer(Peer):
    name = "celery"
    packages = ("celery", "kombu")
    drain = (
        Worker("default", DEFAULT, processes=os.cpu_count() or 1, jobs=1000),
        Worker("tuned threads", f"{QUIET} -P threads -c 10", jobs=1200),
        Worker("tuned threads x2", f"{QUIET} -P threads -c 10", copies=2, processes=2, jobs=2000),
    )
    sleep = (Worker("tuned threads", f"{QUIET} -P threads -c 50", jobs=1000),)
    serve = (
        Worker("default", DEFAULT),
        Worker("tuned", f"{QUIET} -P threads -c 10"),
    )
    module_with_a_task = """
from celery import Celery

app = Celery("bench", broker="{url}")

@app.task
def add(x, y):
    return x + y
"""

    def enqueue(self, task: str, number: int) -> Any:
        return jobs[task].delay(number)

    def result(self, handle: Any, timeout: float) -> Any:
        return handle.get(timeout=timeout)


PEERS: list[Peer] = [CeleryPeer()]

"""Dramatiq on Redis.

Tuned: one process (or two), four threads each, a prefetch of 1000 messages.
"""

from __future__ import annotations

from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.peers.base import RESULTS, URL, Peer, Worker
from benchmarks.tasks import TASKS

REQUIRES = ["dramatiq[redis]", "redis", "hiredis"]

broker = RedisBroker(url=URL)
if RESULTS:
    broker.add_middleware(Results(backend=RedisBackend(url=URL), store_results=True))
dramatiq.set_broker(broker)

actors = {function.__name__: dramatiq.actor(function) for function in TASKS}

DEFAULT = "dramatiq benchmarks.peers.dramatiq"
PREFETCH = {"dramatiq_queue_prefetch": "1000"}


class DramatiqPeer(Peer):
    name = "dramatiq"
    packages = ("dramatiq",)
    drain = (
        Worker("default", DEFAULT, processes=2, jobs=5000),
        Worker("tuned", f"{DEFAULT} -p 1 -t 4", jobs=4500, env=PREFETCH),
        Worker("tuned x2", f"{DEFAULT} -p 2 -t 4", processes=2, jobs=7000, env=PREFETCH),
    )
    sleep = (Worker("tuned", f"{DEFAULT} -p 1 -t 50", jobs=2500),)
    serve = (
        Worker("default", DEFAULT),
        Worker("tuned", f"{DEFAULT} -p 1 -t 10"),
    )
    enqueue_settings = ("default",)
    module_with_a_task = """
import dramatiq
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url="{url}"))

@dramatiq.actor
def add(x, y):
    return x + y
"""

    def enqueue(self, task: str, number: int) -> Any:
        return actors[task].send(number)

    def result(self, handle: Any, timeout: float) -> Any:
        return handle.get_result(block=True, timeout=int(timeout * 1000))


PEERS: list[Peer] = [DramatiqPeer()]

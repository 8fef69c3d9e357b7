"""RQ on Redis. One job at a time in a process, by design.

Tuned: ``SimpleWorker`` (no fork for each job), nothing logged, results not kept (unless they
are asked for).
"""

from __future__ import annotations

from typing import Any

from redis import Redis
from rq import Queue

from benchmarks import tasks
from benchmarks.peers.base import RESULTS, TUNED, URL, Peer, Worker

REQUIRES = ["rq", "redis", "hiredis"]

queue = Queue(connection=Redis.from_url(URL))
options: dict[str, Any] = {"result_ttl": 0} if TUNED and not RESULTS else {}
functions = {function.__name__: function for function in tasks.TASKS}

DEFAULT = "rq worker --url {url}"
SIMPLE = "rq worker --url {url} -w rq.SimpleWorker --quiet"


class RQPeer(Peer):
    name = "rq"
    packages = ("rq",)
    drain = (
        Worker("default", DEFAULT, jobs=60),
        Worker("tuned", SIMPLE, jobs=300),
        Worker("tuned x2", SIMPLE, copies=2, processes=2, jobs=400),
    )
    sleep = (Worker("tuned", SIMPLE, jobs=80),)
    serve = (
        Worker("default", DEFAULT, pause=0.06),
        Worker("tuned", SIMPLE),
    )
    bulk_settings = ("default", "tuned")
    module_with_a_task = """
from redis import Redis
from rq import Queue

queue = Queue(connection=Redis.from_url("{url}"))

def add(x, y):
    return x + y
"""

    def enqueue(self, task: str, number: int) -> Any:
        return queue.enqueue(functions[task], number, **options)

    def enqueue_many(self, task: str, numbers: list[int]) -> Any:
        function = functions[task]
        return queue.enqueue_many(
            [Queue.prepare_data(function, (number,), **options) for number in numbers]
        )

    def result(self, handle: Any, timeout: float) -> Any:
        found = handle.latest_result(timeout=int(timeout))
        if found is None:
            raise TimeoutError
        return found.return_value


PEERS: list[Peer] = [RQPeer()]

"""Huey on Redis.

Tuned: no results (or, where they are asked for, results that wake the one who waits), two
threads (ten for latency), quiet, no periodic tasks.
"""

from __future__ import annotations

from typing import Any

from huey import RedisHuey

from benchmarks.peers.base import RESULTS, TUNED, URL, Peer, Worker
from benchmarks.tasks import TASKS

REQUIRES = ["huey", "redis", "hiredis"]

huey = RedisHuey(
    "bench",
    url=URL,
    **({"results": RESULTS, "notify_result": RESULTS} if TUNED else {}),
)
jobs = {function.__name__: huey.task()(function) for function in TASKS}

DEFAULT = "huey_consumer benchmarks.peers.huey.huey"
QUIET = f"{DEFAULT} -k thread -q -n"


class HueyPeer(Peer):
    name = "huey"
    packages = ("huey",)
    drain = (
        Worker("default", DEFAULT, jobs=3000),
        Worker("tuned", f"{QUIET} -w 2", jobs=3500),
        Worker("tuned x2", f"{QUIET} -w 2", copies=2, processes=2, jobs=5000),
    )
    sleep = (Worker("tuned", f"{QUIET} -w 50", jobs=2500),)
    serve = (
        Worker("default", DEFAULT),
        Worker("tuned", f"{QUIET} -w 10"),
    )
    module_with_a_task = """
from huey import RedisHuey

huey = RedisHuey("bench", url="{url}")

@huey.task()
def add(x, y):
    return x + y
"""

    def enqueue(self, task: str, number: int) -> Any:
        return jobs[task](number)

    def result(self, handle: Any, timeout: float) -> Any:
        return handle.get(blocking=True, timeout=timeout)


PEERS: list[Peer] = [HueyPeer()]

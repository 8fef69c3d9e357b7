"""The client's side of a measurement, in a process of its own: ``python -m benchmarks.producer
PEER VERB JSON``. Prints its findings as JSON in the last line.

The environment says where (``BENCH_URL``) and how (``BENCH_SETTING``, ``BENCH_RESULTS``).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import counter
from benchmarks.peers import load
from benchmarks.peers.base import URL, Peer

CHUNK = 50
BULK = 1000


def fill(peer: Peer, task: str, jobs: int) -> None:
    """Put jobs into the queue."""
    peer.fill(task, jobs)


def one(peer: Peer, seconds: float) -> float:
    """Enqueues a second, one call each."""
    peer.calls(2 * CHUNK)  # connections, scripts and caches are made
    return _rate(lambda: peer.calls(CHUNK), CHUNK, seconds)


def many(peer: Peer, seconds: float) -> float:
    """Jobs enqueued a second, ``BULK`` a call."""
    numbers = list(range(BULK))
    peer.enqueue_many("noop", numbers[:CHUNK])
    return _rate(lambda: peer.enqueue_many("noop", numbers), BULK, seconds)


def _rate(call: Callable[[], Any], size: int, seconds: float) -> float:
    count, begin = 0, time.perf_counter()
    while True:
        call()
        count += size
        spent = time.perf_counter() - begin
        if spent >= seconds:
            return count / spent


def send(peer: Peer, jobs: int, pause: float) -> None:
    """Enqueue jobs with the time at which they were sent, each after the one before has started
    and ``pause`` seconds have gone by."""
    folder = Path(os.environ["BENCH_COUNTER"])
    for sent in range(1, jobs + 1):
        peer.enqueue("stamp", time.monotonic_ns())
        time.sleep(pause)
        until = time.monotonic() + 10
        while counter.sampled(folder) < sent:
            if time.monotonic() > until:
                raise TimeoutError(f"job {sent} did not start within 10 s")
            time.sleep(0.001)


def ask(peer: Peer, jobs: int, pause: float) -> list[int]:
    """Enqueue a job and wait for its result, again and again: nanoseconds each."""
    times = []
    for number in range(jobs):
        begin = time.monotonic_ns()
        value = peer.result(peer.enqueue("echo", number), 10)
        times.append(time.monotonic_ns() - begin)
        if value != number:
            raise RuntimeError(f"the result of job {number} is {value!r}")
        time.sleep(pause)
    return times


def latency(
    peer: Peer, jobs: int, questions: int, pause: float, settings: str | None = None
) -> list[int]:
    """Both, one after the other; the starts are sampled by the tasks.

    :param settings: of a worker inside this process, for a store that needs that.
    """
    stop = None if settings is None else peer.embedded(settings)
    ask(peer, 5, pause)  # connections, scripts and caches are made
    send(peer, jobs, pause)
    times = ask(peer, questions, pause)
    if stop:
        stop()
    return times


def drain(peer: Peer, task: str, jobs: int, settings: str) -> int:
    """Fill the queue and drain it by a worker inside this process; when the store showed the
    last job as succeeded, by ``time.monotonic_ns``."""
    peer.fill(task, jobs)
    succeeded = peer.succeeded(URL)
    if succeeded is None:
        raise NotImplementedError(f"{peer.label} can't say how many jobs succeeded")
    folder = Path(os.environ["BENCH_COUNTER"])
    stop = peer.embedded(settings)
    until = time.monotonic() + 90
    while counter.read(folder).done < jobs or succeeded() < jobs:
        if time.monotonic() > until:
            raise TimeoutError("not done within 90 s")
        time.sleep(0.005)
    end = time.monotonic_ns()
    stop()
    return end


VERBS: dict[str, Callable[..., Any]] = {
    verb.__name__: verb for verb in (fill, one, many, latency, drain)
}


def main() -> None:
    name, verb, arguments = sys.argv[1:4]
    store = URL.partition(":")[0]
    peer = next(peer for peer in load(name) if peer.store == store)
    print(json.dumps(VERBS[verb](peer, **json.loads(arguments))))


if __name__ == "__main__":
    main()

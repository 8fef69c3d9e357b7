"""The tasks that all peers run: the same functions, each peer only decorates them."""

from __future__ import annotations

import asyncio
import time

from benchmarks import counter


def noop(number: int) -> None:
    counter.hit()


def sleep(number: int) -> None:
    counter.begin()
    time.sleep(0.01)
    counter.hit()


def stamp(sent: int) -> None:
    """``sent`` is ``time.monotonic_ns()`` just before the enqueue."""
    counter.sample(time.monotonic_ns() - sent)


def echo(number: int) -> int:
    return number


async def anoop(number: int) -> None:
    counter.hit()


async def asleep(number: int) -> None:
    counter.begin()
    await asyncio.sleep(0.01)
    counter.hit()


TASKS = (noop, sleep, stamp, echo)
ASYNC_TASKS = (anoop, asleep)

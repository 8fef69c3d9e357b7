"""The only ways in which a test may wait: for something to become true."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")

LOOK = 0.005
"""Seconds between two looks."""


def wait_until(
    predicate: Callable[[], T], timeout: float = 10.0, tell: Callable[[], object] | None = None
) -> T:
    """Calls ``predicate`` again and again until it is true, and gives what it gave.

    The test fails if it is not true within ``timeout`` seconds, and shows what ``tell`` gives,
    such as the log of a process.
    """
    end = time.monotonic() + timeout
    while not (value := predicate()):
        if time.monotonic() >= end:
            told = "" if tell is None else f"\n{tell()}"
            pytest.fail(f"not so within {timeout:g} seconds (last: {value!r}){told}", pytrace=True)
        threading.Event().wait(LOOK)
    return value


async def until(predicate: Callable[[], bool], timeout: float = 30.0) -> None:
    """`wait_until` for coroutines, also those of a worker: AssertionError after the timeout."""
    end = time.monotonic() + timeout
    while not predicate():  # what is waited for is of other threads
        assert time.monotonic() < end, f"not so within {timeout:g} seconds"
        await asyncio.sleep(LOOK)


def wait_for(seconds: float) -> None:
    """For tests of what must not happen within a time, or of a task that takes its time."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, seconds + 10)

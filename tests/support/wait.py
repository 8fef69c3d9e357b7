"""The only way in which a test may wait: for something to become true."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")

LOOK = 0.005


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

"""What all tests share: the servers they need, started by themselves, and a clean registry."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskq.registry import shared
from tests.support.fixtures import redis_server, redis_url

__all__ = ["redis_server", "redis_url"]


@pytest.fixture(autouse=True)
def _no_shared_tasks_of_other_tests() -> Iterator[None]:
    """Tasks that a test declares without an app are every app's of the process; they go with it."""
    tasks, before = shared._tasks, dict(shared._tasks)
    yield
    tasks.clear()
    tasks.update(before)

"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.servers import RedisServer


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis or Valkey server for the whole run. Who stops it or fills it takes one of their
    own (``tests.support.servers.RedisServer``)."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(redis_server: RedisServer) -> str:
    """The URL of a running Redis server; tests keep apart by their prefixes."""
    return redis_server.url

"""The stores that the tests of this folder run on."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import fakeredis
import pytest
import redis

from taskq.store import Store
from taskq.stores.memory import MemoryStore
from taskq.stores.redis import RedisStore
from taskq.stores.sql import sqlite_store
from taskq.testing.clock import TravelClock
from tests.support.fixtures import redis_server, redis_url  # noqa: F401 - fixtures

pytest.register_assert_rewrite("taskq.testing.conformance")


class Place(Protocol):
    """Where the jobs of one test are."""

    def open(self, clock: TravelClock, **settings: Any) -> Store:
        """A client of the place."""
        ...

    def spoil(self, id: str) -> bytes:
        """Damage a stored job; what the store has to keep of it."""
        ...


class MemoryPlace:
    def open(self, clock: TravelClock, **settings: Any) -> Store:
        return MemoryStore(clock=clock, **settings)

    def spoil(self, id: str) -> bytes:
        pytest.skip("nobody else writes in this process")


class SqlitePlace:
    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, clock: TravelClock, **settings: Any) -> Store:
        return sqlite_store(f"sqlite:///{self.path}?synchronous=normal", clock=clock, **settings)

    def spoil(self, id: str) -> bytes:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute("UPDATE taskq_jobs SET due = 'soon' WHERE id = ?", (id,))
        return b"payload"


class RedisPlace:
    def __init__(self, url: str) -> None:
        self.url = url
        self.prefix = f"test-{uuid.uuid4().hex}"

    def open(self, clock: TravelClock, **settings: Any) -> Store:
        return RedisStore(self.url, prefix=self.prefix, clock=clock, **settings)

    def spoil(self, id: str) -> bytes:
        with closing(redis.Redis.from_url(self.url)) as client:
            return spoil_in_redis(client, self.prefix, id)


class FakePlace:
    def __init__(self) -> None:
        self.server = fakeredis.FakeServer()

    def open(self, clock: TravelClock, **settings: Any) -> Store:
        return RedisStore(
            client=fakeredis.FakeRedis(server=self.server),
            async_client=fakeredis.FakeAsyncRedis(server=self.server),
            clock=clock,
            **settings,
        )

    def spoil(self, id: str) -> bytes:
        return spoil_in_redis(fakeredis.FakeRedis(server=self.server), "taskq", id)


def spoil_in_redis(client: redis.Redis, prefix: str, id: str) -> bytes:
    raw = b"\xff not a body"
    assert client.hset(f"{{{prefix}}}:body", id, raw) == 0, "no such job"
    return raw


NewPlace = Callable[[], Place]


@pytest.fixture(params=["memory", "sqlite", "redis", "fakeredis"])
def new_place(request: pytest.FixtureRequest) -> NewPlace:
    """Makes empty places, for every store that taskq brings."""
    if request.param == "memory":
        return MemoryPlace
    if request.param == "sqlite":
        folder: Path = request.getfixturevalue("tmp_path")
        return lambda: SqlitePlace(folder / f"{uuid.uuid4().hex}.db")
    if request.param == "redis":
        return partial(RedisPlace, request.getfixturevalue("redis_url"))
    return FakePlace


@pytest.fixture
def place(new_place: NewPlace) -> Place:
    return new_place()

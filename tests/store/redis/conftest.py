"""A Redis store for each test, and a plain way to look behind it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from taskq.job import NewJob, WorkerInfo
from taskq.stores.redis import RedisStore

MakeStore = Callable[..., RedisStore]


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def make_store(redis_url: str, prefix: str) -> Iterator[MakeStore]:
    """Makes clients of the same jobs; each is closed at the end."""
    stores: list[RedisStore] = []

    def make(url: str = redis_url, **settings: Any) -> RedisStore:
        settings.setdefault("prefix", prefix)
        stores.append(RedisStore(url, **settings))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def store(make_store: MakeStore) -> RedisStore:
    return make_store()


@pytest.fixture
def raw(redis_url: str) -> Iterator[redis.Redis]:
    """redis-py, for looking at what the store wrote and for writing garbage."""
    client = redis.Redis.from_url(redis_url)
    yield client
    client.close()


@pytest.fixture
def key(prefix: str) -> Callable[[str], str]:
    """The whole name of one of the store's keys."""
    return lambda name: f"{{{prefix}}}:{name}"


def keys_of(raw: redis.Redis, prefix: str) -> list[str]:
    """Everything that lies under a prefix."""
    return [name.decode() for name in raw.scan_iter(f"{{{prefix}}}:*") if isinstance(name, bytes)]


def new(id: str, **options: Any) -> NewJob:
    options.setdefault("task", "tests.task")
    options.setdefault("payload", b"payload")
    return NewJob(id, **options)


def lease_of(store: RedisStore, ttl: float = 60.0) -> str:
    return store.open(WorkerInfo(host="host", pid=1), ttl)

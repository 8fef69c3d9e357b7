"""An app on each kind of store, for the tests of this folder."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskq import TaskQ
from tests.support.fixtures import redis_server, redis_url  # noqa: F401  # fixtures

MakeApp = Callable[..., TaskQ]


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def store_url(store_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the jobs of this test live."""
    if store_kind == "memory":
        return "memory://"
    if store_kind == "sqlite":
        return f"sqlite:///{tmp_path / 'q.db'}?synchronous=normal"
    url: str = request.getfixturevalue("redis_url")
    return url


@pytest.fixture
def make_app(store_url: str, store_kind: str) -> Iterator[MakeApp]:
    """Makes apps with settings of one's own. They share the store, but for memory."""
    prefix = f"test-{uuid.uuid4().hex}"
    made: list[TaskQ] = []

    def make(**settings: Any) -> TaskQ:
        if store_kind == "redis":
            settings["prefix"] = prefix
        if "store" not in settings:
            settings["url"] = store_url
        made.append(TaskQ(**settings))
        return made[-1]

    yield make
    for app in made:
        app.forget()


@pytest.fixture
def app(make_app: MakeApp) -> TaskQ:
    return make_app()


@pytest.fixture
async def aapp(app: TaskQ) -> AsyncIterator[TaskQ]:
    """``app`` for a test in asyncio, whose connections belong to the test's event loop."""
    yield app
    await app.aclose()

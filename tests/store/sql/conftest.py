"""Stores in a file of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskq.stores.sql import SqlStore, sqlite_store
from taskq.testing.clock import TravelClock

Open = Callable[..., SqlStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def clock() -> TravelClock:
    return TravelClock()


@pytest.fixture
def open_store(path: Path) -> Iterator[Open]:
    """Opens the file, as often as it is called."""
    stores: list[SqlStore] = []

    def open_store(where: Path | str = path, **settings: Any) -> SqlStore:
        stores.append(sqlite_store(where, **settings))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


@pytest.fixture
def store(open_store: Open, clock: TravelClock) -> SqlStore:
    return open_store(clock=clock)

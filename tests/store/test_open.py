"""Which store belongs to which URL."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from taskq.errors import ConfigError
from taskq.store import Store
from taskq.stores import open_store
from taskq.stores.memory import MemoryStore
from taskq.stores.redis import RedisStore
from taskq.stores.sql import SqlStore
from taskq.testing.clock import TravelClock


def test_the_scheme_decides(tmp_path: Path) -> None:
    kinds = {
        "memory://": MemoryStore,
        "MEMORY://": MemoryStore,
        f"sqlite:///{tmp_path}/jobs.db": SqlStore,
        "redis://localhost:1/0": RedisStore,
        "rediss://localhost:1/0": RedisStore,
        "unix:///nowhere.sock": RedisStore,
        "valkey://localhost:1": RedisStore,
        "valkeys://localhost:1": RedisStore,
    }
    for url, kind in kinds.items():
        store = open_store(url)
        assert type(store) is kind
        assert isinstance(store, Store)
        store.close()


def test_settings_are_handed_on() -> None:
    clock = TravelClock(5.0)
    store = open_store("memory://", clock=clock, max_ended=3)
    assert store.tally("key", 10.0) == 1
    clock.travel(11.0)
    assert store.tally("key", 10.0) == 1


def test_a_setting_that_the_store_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"memory:// stores have no setting 'prefix'.*max_ended"):
        open_store("memory://", prefix="mine")


def test_a_wrong_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_ended"):
        open_store("memory://", max_ended=-1)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redi://:secret@localhost", ["redi://", "did you mean redis://", "sqlite"]),
        ("sqllite:///jobs.db", ["did you mean sqlite://"]),
        ("ftp://user:secret@localhost", ["ftp://", "memory, redis"]),
        ("localhost:6379", ["redis://localhost:6379/0", "memory, redis"]),
        ("", ["redis://localhost:6379/0"]),
        ("secret", ["redis://localhost:6379/0"]),
    ],
)
def test_an_unknown_kind_names_the_known_ones_and_no_password(url: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(url)
    for word in words:
        assert word.lower() in str(caught.value).lower()
    assert "secret" not in str(caught.value)


def test_further_stores_are_found_by_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shelf_store.py").write_text(
        "class Shelf:\n"
        "    def __init__(self, url, *, depth=1):\n"
        "        self.url, self.depth = url, depth\n"
    )
    info = tmp_path / "shelf_store-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf-store\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[taskq.stores]\nshelf+tls = shelf_store:Shelf\nmemory = shelf_store:Shelf\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "shelf_store", raising=False)
    store = open_store("shelf+tls://here", depth=4)
    assert (type(store).__name__, store.url) == ("Shelf", "shelf+tls://here")
    assert type(open_store("memory://")) is MemoryStore
    with pytest.raises(ConfigError, match=r"Did you mean shelf\+tls://"):
        open_store("shelf+tsl://here")

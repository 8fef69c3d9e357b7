"""Which file a URL means."""

from __future__ import annotations

import logging
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from taskq.errors import ConfigError
from taskq.store import Store
from taskq.stores.sql import SQLite, SqlStore, sqlite_store
from tests.store.sql.conftest import Open
from tests.store.sql.tools import new


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///jobs.db", "jobs.db"),
        ("SQLite:///sub/jobs.db", "sub/jobs.db"),
        ("sqlite:///with%20space%3F%23.db", "with space?#.db"),
        ("sqlite:///Gr%C3%BC%C3%9Fe.db?synchronous=normal", "Grüße.db"),
        ("plain path.db", "plain path.db"),
    ],
)
def test_relative_ones_are_of_the_working_folder_of_the_moment(
    url: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_store: Open
) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    store = open_store(url)
    monkeypatch.chdir("/")
    store.ping()
    assert (tmp_path / file).is_file()


def test_four_slashes_are_absolute(tmp_path: Path, open_store: Open) -> None:
    open_store(f"sqlite:///{tmp_path}/a.db").ping()
    assert (tmp_path / "a.db").is_file()


def test_a_store_tells_its_absolute_url_which_opens_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_store: Open
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///a%20b.db")
    assert store.url == f"sqlite:///{tmp_path}/a%20b.db"
    store.enqueue([new("a")])
    assert open_store(store.url).get(["a"]) == store.get(["a"])


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "sqlite://", "sqlite:///", "", ":memory:"])
def test_a_database_in_memory_is_refused_with_a_hint(url: str) -> None:
    with pytest.raises(ConfigError, match="memory://"):
        sqlite_store(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite://host/jobs.db", "sqlite:///relative.db"),
        ("sqlite:jobs.db", "sqlite:///relative.db"),
        ("sqlite:///jobs.db#x", "sqlite:///relative.db"),
        ("sqlite:///jobs.db?sync=full", "unknown option 'sync'"),
        ("sqlite:///jobs.db?synchronous=sometimes", "full or normal"),
        ("sqlite:///jobs.db?synchronous=", "full or normal"),
        ("sqlite:///jobs.db?synchronous", "bad query"),
        ("sqlite:///%ff.db", "utf-8"),
        ("sqlite:///a%00b.db", "NUL"),
    ],
)
def test_what_is_wrong_with_a_url_is_said(url: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        sqlite_store(url)


def test_settings_out_of_range_are_refused(path: Path) -> None:
    for settings in ({"max_ended": -1}, {"budget": 0}, {"budget": float("nan")}):
        with pytest.raises(ConfigError, match=next(iter(settings))):
            sqlite_store(path, **settings)


def test_the_path_is_told_once_at_the_first_enqueue(
    store: SqlStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "taskq.store")
    store.ping()
    assert caplog.records == []
    store.enqueue([new()])
    store.enqueue([new()])
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("taskq.store", "INFO")
    assert str(path) in record.getMessage()


@pytest.mark.parametrize(("option", "level"), [("", 2), ("?synchronous=normal", 1)])
def test_how_it_is_synchronized(
    path: Path, option: str, level: int, monkeypatch: pytest.MonkeyPatch, open_store: Open
) -> None:
    made: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def remember(*args: Any, **settings: Any) -> sqlite3.Connection:
        made.append(connect(*args, **settings))
        return made[-1]

    monkeypatch.setattr(sqlite3, "connect", remember)
    open_store(f"sqlite:///{path}{option}").ping()
    assert made[0].execute("PRAGMA synchronous").fetchone() == (level,)
    assert made[0].execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_store_of_ones_own_connections_is_a_store(path: Path) -> None:
    store = SqlStore(lambda: sqlite3.connect(path, check_same_thread=False), SQLite())
    assert isinstance(store, Store)
    assert (store.shared, store.transactional, store.blocking) == (True, True, False)
    store.enqueue([new("a")])
    assert [job and job.id for job in store.get(["a", "b"])] == ["a", None]
    store.close()


def test_an_sqlite_too_old_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(ConfigError, match=r"3\.35"):
        SQLite()


def test_a_path_object_is_taken(tmp_path: Path, open_store: Open) -> None:
    open_store(tmp_path / "a.db").ping()
    assert os.path.exists(tmp_path / "a.db")

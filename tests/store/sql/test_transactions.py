"""Writing in the caller's own transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from taskq.errors import NotSupported, StoreUnavailable
from taskq.job import Lock, State
from taskq.stores.sql import SqlStore
from tests.store.sql.conftest import Open
from tests.store.sql.tools import claim, look, new, succeed, worker


@pytest.fixture
def mine(store: SqlStore, path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of the application's own to the same file, with a table of its own."""
    store.ping()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE users (name TEXT)")
        yield connection


def test_jobs_appear_with_the_commit(store: SqlStore, mine: sqlite3.Connection) -> None:
    mine.execute("INSERT INTO users VALUES ('ada')")
    assert store.enqueue([new("a"), new("b")], connection=mine) == [
        ("a", "created"),
        ("b", "created"),
    ]
    assert mine.in_transaction
    assert store.get(["a", "b"]) == [None, None]
    assert store.stats() == []
    mine.commit()
    assert look(store, "a").state is State.READY
    assert [each.id for each in claim(store, worker(store))] == ["a", "b"]


def test_jobs_go_with_the_rollback(store: SqlStore, mine: sqlite3.Connection) -> None:
    mine.execute("INSERT INTO users VALUES ('ada')")
    store.enqueue([new("a", lock=Lock("key"))], connection=mine)
    mine.rollback()
    assert store.get(["a"]) == [None]
    assert mine.execute("SELECT * FROM users").fetchall() == []
    assert store.enqueue([new("b", lock=Lock("key"))]) == [("b", "created")]


def test_an_enqueue_that_comes_first_begins_the_transaction(
    store: SqlStore, mine: sqlite3.Connection
) -> None:
    store.enqueue([new("a")], connection=mine)
    assert mine.in_transaction
    mine.execute("INSERT INTO users VALUES ('ada')")
    assert store.get(["a"]) == [None]
    mine.rollback()
    assert store.get(["a"]) == [None]
    assert mine.execute("SELECT * FROM users").fetchall() == []


def test_a_connection_in_autocommit_mode_commits_each_call(store: SqlStore, path: Path) -> None:
    store.ping()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        store.enqueue([new("a")], connection=connection)
        assert not connection.in_transaction
        assert look(store, "a").state is State.READY
        connection.execute("BEGIN")
        store.enqueue([new("b")], connection=connection)
        connection.execute("ROLLBACK")
        assert store.get(["b"]) == [None]


def test_finish_with_ones_own_data(store: SqlStore, mine: sqlite3.Connection) -> None:
    store.enqueue([new("a"), new("b", keep=0.0)])
    lease = worker(store)
    claims = claim(store, lease)
    assert succeed(store, lease, claims, connection=mine) == ["done", "done"]
    assert look(store, "a").state is State.RUNNING
    mine.rollback()
    assert look(store, "a").state is State.RUNNING
    assert look(store, "b").state is State.RUNNING
    mine.execute("INSERT INTO users VALUES ('ada')")
    assert succeed(store, lease, claims, connection=mine) == ["done", "done"]
    mine.commit()
    assert look(store, "a").state is State.SUCCEEDED
    assert store.get(["b"]) == [None]
    assert succeed(store, lease, claims) == ["already", "already"]


def test_what_the_connection_makes_of_rows_and_texts_stays_its_own(
    store: SqlStore, mine: sqlite3.Connection
) -> None:
    mine.row_factory = sqlite3.Row
    mine.text_factory = bytes
    store.enqueue([new("a", lock=Lock("key"))], connection=mine)
    assert store.enqueue([new("a"), new("b", lock=Lock("key"))], connection=mine) == [
        ("a", "exists"),
        ("a", "duplicate"),
    ]
    mine.execute("INSERT INTO users VALUES ('ada')")
    row = mine.execute("SELECT name FROM users").fetchone()
    assert row["name"] == b"ada"
    mine.commit()


def test_a_failed_call_leaves_the_callers_own_writes_and_nothing_of_its_own(
    store: SqlStore, mine: sqlite3.Connection
) -> None:
    mine.execute("INSERT INTO users VALUES ('ada')")
    with pytest.raises(UnicodeEncodeError):
        store.enqueue([new("a", lock=Lock("key")), new("b", task="\ud800")], connection=mine)
    assert mine.in_transaction
    mine.commit()
    assert mine.execute("SELECT name FROM users").fetchall() == [("ada",)]
    assert store.get(["a"]) == [None]


def test_a_transaction_that_others_keep_out_is_unavailable(store: SqlStore, path: Path) -> None:
    store.ping()
    with (
        closing(sqlite3.connect(path, timeout=0.05)) as mine,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable) as caught:
            store.enqueue([new("a")], connection=mine)
        assert caught.value.ids == ("a",)


def test_a_connection_to_another_database_is_refused(
    store: SqlStore, open_store: Open, tmp_path: Path
) -> None:
    open_store(tmp_path / "other.db").ping()
    for path in (str(tmp_path / "other.db"), ":memory:"):
        with (
            closing(sqlite3.connect(path)) as connection,
            pytest.raises(NotSupported, match="one transaction"),
        ):
            store.enqueue([new("a")], connection=connection)


def test_something_that_is_no_connection_of_sqlite_is_refused(store: SqlStore) -> None:
    with pytest.raises(NotSupported, match="not through str"):
        store.enqueue([new("a")], connection="connection")


def test_who_keeps_the_tables_from_being_made_is_told(open_store: Open, path: Path) -> None:
    store = open_store(budget=0.1)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE users (name TEXT)")
        connection.execute("INSERT INTO users VALUES ('ada')")
        with pytest.raises(StoreUnavailable, match="ping") as caught:
            store.enqueue([new("a")], connection=connection)
        assert caught.value.ids == ("a",)
        connection.commit()
        store.ping()
        store.enqueue([new("a")], connection=connection)
        connection.commit()
    assert look(store, "a").state is State.READY


def test_sqlalchemy_connections_and_sessions(store: SqlStore, path: Path) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    orm = pytest.importorskip("sqlalchemy.orm")
    store.ping()
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE users (name TEXT)"))
    with orm.Session(engine) as session:
        session.execute(sqlalchemy.text("INSERT INTO users VALUES ('ada')"))
        store.enqueue([new("a")], connection=session)
        assert store.get(["a"]) == [None]
        session.rollback()
        store.enqueue([new("b")], connection=session)
        session.commit()
    with engine.begin() as connection:
        store.enqueue([new("c")], connection=connection)
    with engine.connect() as connection:
        store.enqueue([new("d")], connection=connection)
    engine.dispose()
    there = [job and job.id for job in store.get(["a", "b", "c", "d"])]
    assert there == [None, "b", "c", None]

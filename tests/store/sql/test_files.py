"""A file that is lost, damaged, locked, full or forbidden."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from taskq.errors import SchemaError, StoreError, StoreUnavailable
from taskq.job import State
from taskq.stores.sql import SQLite, SqlStore
from tests.store.sql.conftest import Open
from tests.store.sql.tools import claim, look, new, succeed, worker


def test_a_removed_file_is_an_error_and_not_made_again(store: SqlStore, path: Path) -> None:
    store.enqueue([new("a")])
    path.unlink()
    for call in (
        lambda: store.enqueue([new("b")]),
        lambda: store.get(["a"]),
        store.ping,
        lambda: store.claim("lease", 1, ["default"], {"thread": 1}),
    ):
        with pytest.raises(StoreError, match="removed or replaced") as caught:
            call()
        assert not isinstance(caught.value, StoreUnavailable)
    assert not path.exists()


def test_a_thread_that_connects_later_does_not_make_a_removed_file_again(
    store: SqlStore, path: Path
) -> None:
    store.enqueue([new("a")])
    path.unlink()
    raised: list[BaseException] = []

    def enqueue() -> None:
        try:
            store.enqueue([new("b")])
        except StoreError as error:
            raised.append(error)

    thread = threading.Thread(target=enqueue)
    thread.start()
    thread.join()
    assert "removed or replaced" in str(raised[0])
    assert not path.exists()


def test_a_replaced_file_is_an_error(
    store: SqlStore, open_store: Open, path: Path, tmp_path: Path
) -> None:
    store.enqueue([new("a")])
    other = open_store(tmp_path / "other.db")
    other.ping()
    other.close()
    (tmp_path / "other.db").replace(path)
    with pytest.raises(StoreError, match="removed or replaced"):
        store.enqueue([new("b")])


def test_a_claim_that_waits_ends_when_the_file_is_removed(store: SqlStore, path: Path) -> None:
    lease = worker(store)
    waiting = threading.Event()
    raised: list[BaseException] = []

    def wait() -> None:
        waiting.set()
        try:
            store.claim(lease, 1, ["default"], {"thread": 1}, wait=60.0)
        except StoreError as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait(10)
    path.unlink()
    thread.join(10)
    assert "removed or replaced" in str(raised[0])


def test_a_store_that_was_closed_may_be_used_again_and_then_with_a_new_file(
    store: SqlStore, path: Path
) -> None:
    store.enqueue([new("a")])
    store.close()
    assert look(store, "a").state is State.READY
    store.close()
    path.unlink()
    assert store.get(["a"]) == [None]


def test_what_is_no_database_is_said_and_left_alone(store: SqlStore, path: Path) -> None:
    path.write_bytes(b"these are my notes\n" * 100)
    with pytest.raises(StoreError, match="not an SQLite database"):
        store.enqueue([new("a")])
    assert path.read_bytes() == b"these are my notes\n" * 100


def test_a_database_in_memory_is_refused() -> None:
    store = SqlStore(lambda: sqlite3.connect(":memory:", check_same_thread=False), SQLite())
    with pytest.raises(StoreError, match="in memory"):
        store.enqueue([new("a")])


def test_a_missing_folder_is_said(open_store: Open, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does its folder exist"):
        open_store(tmp_path / "missing" / "jobs.db").ping()


def test_a_folder_is_no_file(open_store: Open, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="could not be opened"):
        open_store(tmp_path).ping()


def test_a_read_only_database_can_be_read_and_refuses_writes(store: SqlStore, path: Path) -> None:
    store.enqueue([new("a")])

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)

    reader = SqlStore(connect, SQLite())
    assert look(reader, "a").id == "a"
    with pytest.raises(StoreError, match="read-only") as caught:
        reader.enqueue([new("b")])
    assert not isinstance(caught.value, StoreUnavailable)
    reader.close()


def test_a_full_disk_is_unavailable_and_what_was_stored_goes_on(
    store: SqlStore, path: Path
) -> None:
    store.enqueue([new("a")])

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, check_same_thread=False)
        connection.execute("PRAGMA max_page_count = 1")  # never less than it has now
        return connection

    full = SqlStore(connect, SQLite())
    with pytest.raises(StoreUnavailable, match="disk is full") as caught:
        full.enqueue([new("b"), new("c", payload=b"x" * 1_000_000)])
    assert caught.value.ids == ("b", "c")
    assert store.get(["b", "c"]) == [None, None]
    lease = worker(full)
    claims = claim(full, lease)
    assert [each.id for each in claims] == ["a"]
    assert succeed(full, lease, claims) == ["done"]
    full.close()


def test_who_keeps_the_database_locked_makes_it_unavailable_within_the_budget(
    store: SqlStore, open_store: Open, path: Path
) -> None:
    store.enqueue([new("a")])
    quick = open_store(budget=0.2)
    quick.ping()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable, match="busy") as caught:
            quick.enqueue([new("b"), new("c")])
        assert 0.2 <= time.monotonic() - begun < 2.0
        assert caught.value.ids == ("b", "c")
        other.execute("ROLLBACK")
    assert [answer.status for answer in quick.enqueue([new("b")])] == ["created"]


def test_an_enqueue_waits_for_a_short_transaction_of_others(store: SqlStore, path: Path) -> None:
    store.ping()
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.3, other.execute, ["COMMIT"])
        timer.start()
        assert [answer.status for answer in store.enqueue([new("a")])] == ["created"]
        timer.join()


def test_reads_and_claims_that_find_nothing_do_not_wait_for_writers(
    open_store: Open, path: Path
) -> None:
    store = open_store(budget=0.05)
    lease = worker(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert store.claim(lease, 1, ["default"], {"thread": 1}) == ([], None)
        assert store.promote() == (0, None)
        assert store.get(["a"]) == [None]
        assert store.browse().jobs == []
        assert store.stats() == []
        assert [info.lease for info in store.workers()] == [lease]


def test_only_the_parts_not_stored_are_named_when_a_large_batch_breaks_off(
    open_store: Open, path: Path
) -> None:
    open_store().ping()

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, check_same_thread=False)
        connection.execute("PRAGMA max_page_count = 200")
        return connection

    store = SqlStore(connect, SQLite())
    batch = [new(f"{n}", payload=b"x" * (10 if n < 1500 else 1000)) for n in range(2500)]
    with pytest.raises(StoreUnavailable) as caught:
        store.enqueue(batch)
    unknown = caught.value.ids
    assert list(unknown) == [job.id for job in batch[-len(unknown) :]]
    stored = {job.id for job in store.get([job.id for job in batch]) if job is not None}
    assert stored == {job.id for job in batch} - set(unknown)
    assert 0 < len(stored) < len(batch)
    store.close()


def test_tables_of_a_newer_version_are_refused(
    store: SqlStore, open_store: Open, path: Path
) -> None:
    store.ping()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE taskq_schema SET version = 99")
    with pytest.raises(SchemaError, match=r"version 99.*knows 1.*newer"):
        open_store().enqueue([new()])


def test_a_version_that_is_none_is_refused(store: SqlStore, open_store: Open, path: Path) -> None:
    store.ping()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE taskq_schema SET version = 'x'")
    with pytest.raises(SchemaError, match="taskq_schema"):
        open_store().ping()


def test_tables_of_the_application_are_left_alone(open_store: Open, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE users (name TEXT)")
        connection.execute("INSERT INTO users VALUES ('ada')")
        connection.execute("PRAGMA user_version = 7")
    open_store().enqueue([new()])
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM users").fetchall() == [("ada",)]
        assert connection.execute("PRAGMA user_version").fetchone() == (7,)

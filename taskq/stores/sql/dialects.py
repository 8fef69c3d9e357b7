"""What differs between databases. The rest of the SQL store is the same for all of them.

Statements are written with ``?`` for parameters and in the SQL that all have in common;
``Dialect`` holds those which are not, and how a connection is begun, watched and judged.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from taskq.errors import ConfigError, NotSupported, StoreError, StoreUnavailable

Connection = Any
"""A DB-API connection of the dialect's driver."""
Cursor = Any


class Dialect(Protocol):
    """One database and its driver."""

    name: str
    """Also the folder of its migrations."""
    blocking: bool
    """Waiting is woken by the database, rather than by looking again and again."""
    error: type[Exception]
    """The root of the driver's errors."""

    claim: str
    """Takes ready jobs. Parameters: lease, call, now, queue, lane, limit. Returns rows.CLAIM."""
    know_queue: str
    """Remembers the name of a queue that has a job. Parameter: name."""
    schema_there: str
    """Returns a row if the table taskq_schema exists."""
    odd: tuple[str, ...]
    """Return numbers of rows of taskq_jobs which no other statement would ever come by."""

    def prepare(self, connection: Connection) -> None:
        """Set up a new connection of the store's own."""
        ...

    def cursor(self, connection: Connection) -> Cursor:
        """A cursor whose rows are tuples."""
        ...

    def begin(self, connection: Connection, write: bool) -> None: ...

    def commit(self, connection: Connection) -> None: ...

    def rollback(self, connection: Connection) -> None:
        """Leave the transaction, if there is one."""
        ...

    def identity(self, connection: Connection) -> Any:
        """What database a connection leads to: its place, for people, and what else tells
        it from others."""
        ...

    def verify(self, identity: Any) -> None:
        """Raise StoreError if the database is no longer the one that was opened."""
        ...

    def version(self, connection: Connection) -> Any:
        """Something that differs after others have committed."""
        ...

    def adopt(self, connection: Connection, identity: Any) -> Connection:
        """The driver's connection inside what a caller gave, ready for ``inner``.

        :raises NotSupported: it is of another driver, or leads to another database.
        """
        ...

    def inner(self, connection: Connection) -> AbstractContextManager[Cursor]:
        """A part of the caller's transaction. If it is left by an exception, what it wrote
        is taken back; the transaction itself is neither committed nor rolled back."""
        ...

    def busy(self, error: Exception) -> bool:
        """True if another transaction was in the way and trying again may help."""
        ...

    def translate(self, error: Exception, where: str) -> StoreError:
        """taskq's error for one of the driver's."""
        ...


_CLAIM = """
UPDATE taskq_jobs SET state = 'running', lease = ?, call = ?, started = ?, claims = claims + 1,
    ran = 0, locked = locked AND NOT until_start
WHERE num IN (
    SELECT num FROM taskq_jobs WHERE state = 'ready' AND queue = ? AND lane = ?
    ORDER BY priority DESC, seq LIMIT ?)
RETURNING seq, num, id, task,
    (SELECT payload FROM taskq_bodies AS body WHERE body.num = taskq_jobs.num),
    queue, lane, priority, attempts, claims, deaths, enqueued, due, expires, deadline,
    checkpoint, started, ran
"""

# Each finds its rows at the edges of an index: a value that is none of the known ones sorts
# before, between or behind them. (In SQLite null < numbers < text < blobs, whatever the column.)
_ODD = (
    "SELECT num FROM taskq_jobs WHERE ended IS NULL AND state IS NULL LIMIT 100",
    *(
        f"SELECT num FROM taskq_jobs WHERE ended IS NULL AND {between} LIMIT 100"  # noqa: S608
        for between in (
            "state < 'ready'",
            "state > 'ready' AND state < 'retrying'",
            "state > 'retrying' AND state < 'running'",
            "state > 'running' AND state < 'scheduled'",
            "state > 'scheduled'",
        )
    ),
    "SELECT num FROM taskq_jobs WHERE ended IS NOT NULL AND state IS NULL LIMIT 100",
    *(
        f"SELECT num FROM taskq_jobs WHERE ended IS NOT NULL AND {between} LIMIT 100"  # noqa: S608
        for between in (
            "state < 'cancelled'",
            "state > 'cancelled' AND state < 'expired'",
            "state > 'expired' AND state < 'failed'",
            "state > 'failed' AND state < 'succeeded'",
            "state > 'succeeded'",
        )
    ),
    "SELECT num FROM taskq_jobs WHERE state = 'ready' AND queue IS NULL LIMIT 100",
    "SELECT num FROM taskq_jobs WHERE state = 'ready' AND queue >= x'' LIMIT 100",
    *(
        "SELECT job.num FROM taskq_queues AS known CROSS JOIN taskq_jobs AS job "  # noqa: S608
        f"WHERE job.state = 'ready' AND job.queue = known.name AND {between} LIMIT 100"
        for between in (
            "job.lane IS NULL",
            "job.lane < 'loop'",
            "job.lane > 'loop' AND job.lane < 'thread'",
            "job.lane > 'thread'",
        )
    ),
    "SELECT num FROM taskq_jobs WHERE state IN ('scheduled', 'retrying') AND due IS NULL LIMIT 100",
    "SELECT num FROM taskq_jobs WHERE state IN ('scheduled', 'retrying') AND due >= '' LIMIT 100",
    "SELECT num FROM taskq_jobs WHERE state = 'running' AND lease IS NULL LIMIT 100",
    "SELECT num FROM taskq_jobs WHERE state = 'running' AND lease >= x'' LIMIT 100",
)

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_REASONS: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_BUSY: (StoreUnavailable, "other transactions kept it busy for too long"),
    sqlite3.SQLITE_LOCKED: (StoreUnavailable, "other transactions kept it busy for too long"),
    sqlite3.SQLITE_FULL: (StoreUnavailable, "the disk is full"),
    sqlite3.SQLITE_IOERR: (StoreUnavailable, "reading or writing the file failed"),
    sqlite3.SQLITE_NOMEM: (StoreUnavailable, "there is no memory left"),
    sqlite3.SQLITE_READONLY: (StoreError, "the file or its folder is read-only"),
    sqlite3.SQLITE_PERM: (StoreError, "the permissions of the file forbid it"),
    sqlite3.SQLITE_CANTOPEN: (
        StoreError,
        "it could not be opened (does its folder exist, and may this user write there?)",
    ),
    sqlite3.SQLITE_NOTADB: (StoreError, "the file is not an SQLite database"),
    sqlite3.SQLITE_CORRUPT: (StoreError, "the file is damaged"),
}

LEAST_SQLITE = (3, 35, 0)


class SQLite:
    """SQLite 3.35 or newer, by Python's own ``sqlite3``.

    :param synchronous: ``"full"``: what was acknowledged survives a loss of power;
        ``"normal"``: it survives a crash of the process, and commits are many times faster.
    :raises ConfigError: this Python's SQLite is too old, or ``synchronous`` is something else.
    """

    name = "sqlite"
    blocking = False
    error: type[Exception] = sqlite3.Error
    claim = _CLAIM
    know_queue = (
        "INSERT INTO taskq_queues (name, used) VALUES (?, 1) "
        "ON CONFLICT (name) DO UPDATE SET used = 1 WHERE used = 0"
    )
    schema_there = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'taskq_schema'"
    odd: tuple[str, ...] = _ODD

    def __init__(self, synchronous: str = "full") -> None:
        if sqlite3.sqlite_version_info < LEAST_SQLITE:
            raise ConfigError(
                f"the SQLite store needs SQLite 3.35 or newer; this Python has "
                f"{sqlite3.sqlite_version}"
            )
        if synchronous not in ("full", "normal"):
            raise ConfigError(f"synchronous takes full or normal, not {synchronous!r}")
        self._synchronous = synchronous

    def prepare(self, connection: sqlite3.Connection) -> None:
        connection.isolation_level = None
        connection.text_factory = _text
        run = connection.execute
        # Short, since the store repeats by itself: SQLite's own waits grow to 100 ms and
        # are not fair.
        run("PRAGMA busy_timeout = 20")
        run(f"PRAGMA synchronous = {self._synchronous}")
        run("PRAGMA temp_store = memory")
        run("PRAGMA cache_size = -8192")
        run("PRAGMA journal_size_limit = 16777216")
        (mode,) = run("PRAGMA journal_mode").fetchone()
        if mode != "wal":
            (mode,) = run("PRAGMA journal_mode = wal").fetchone()
        if mode != "wal":
            raise StoreError(
                f"the database could not be switched to write-ahead logging (it stays at {mode}); "
                f"a file is needed, on a local disk"
            )

    def cursor(self, connection: sqlite3.Connection) -> sqlite3.Cursor:
        return connection.cursor()

    def begin(self, connection: sqlite3.Connection, write: bool) -> None:
        connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")

    def commit(self, connection: sqlite3.Connection) -> None:
        connection.execute("COMMIT")

    def rollback(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            connection.execute("ROLLBACK")

    def identity(self, connection: sqlite3.Connection) -> tuple[str, int, int]:
        path = _path(connection)
        if not path:
            raise StoreError("jobs are kept in a file; this is a database in memory")
        try:
            stat = os.stat(path)
        except OSError:
            raise _replaced(path) from None
        return path, stat.st_dev, stat.st_ino

    def verify(self, identity: tuple[str, int, int]) -> None:
        path, device, inode = identity
        try:
            stat = os.stat(path)
        except FileNotFoundError:
            raise _replaced(path) from None
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from error
        if stat.st_ino != inode or stat.st_dev != device:
            raise _replaced(path)

    def version(self, connection: sqlite3.Connection) -> Any:
        return connection.execute("PRAGMA data_version").fetchone()

    def adopt(self, connection: Any, identity: tuple[str, int, int]) -> sqlite3.Connection:
        inner = driver_connection(connection)
        if not isinstance(inner, sqlite3.Connection):
            raise NotSupported(
                f"the SQLite store writes through sqlite3 connections (also inside those of "
                f"SQLAlchemy and Django), not through {type(connection).__qualname__}"
            )
        path = _path(inner)
        if not path or not os.path.exists(path) or not os.path.samefile(path, identity[0]):
            raise NotSupported(
                f"the connection leads to {path or 'a database in memory'}, the jobs are in "
                f"{identity[0]}: one transaction can't hold both"
            )
        return inner

    @contextmanager
    def inner(self, connection: sqlite3.Connection) -> Iterator[sqlite3.Cursor]:
        cursor = connection.cursor()
        cursor.row_factory = None
        factory, connection.text_factory = connection.text_factory, _text
        try:
            # From Python 3.12 on a connection may say how it begins transactions; -1: as before.
            legacy = getattr(connection, "autocommit", -1) == -1
            if legacy and not connection.in_transaction and connection.isolation_level is not None:
                # What sqlite3 itself would do before the first write; a bare savepoint would
                # commit when it is released.
                cursor.execute("BEGIN IMMEDIATE")
            cursor.execute("SAVEPOINT taskq")
            try:
                yield cursor
            except BaseException:
                # Some errors (a full disk) end the whole transaction, and the savepoint with it.
                if connection.in_transaction:
                    cursor.execute("ROLLBACK TO taskq")
                    cursor.execute("RELEASE taskq")
                raise
            cursor.execute("RELEASE taskq")
        finally:
            connection.text_factory = factory

    def busy(self, error: Exception) -> bool:
        return _code(error) in _BUSY

    def translate(self, error: Exception, where: str) -> StoreError:
        kind, reason = _REASONS.get(_code(error), (StoreError, ""))
        text = f"{where}: {reason} ({error})" if reason else f"{where}: {error}"
        return kind(text)


def driver_connection(given: Any) -> Any:
    """The driver's own connection inside one of Django's, or one or a session of SQLAlchemy's."""
    if callable(getattr(given, "connection", None)):  # a session
        given = given.connection()
    if callable(getattr(given, "ensure_connection", None)):  # Django
        given.ensure_connection()
    inner = getattr(given, "connection", given)
    return getattr(inner, "driver_connection", inner)


def _text(raw: bytes) -> str | bytes:
    """Text that is not UTF-8 stays bytes, so that reading it does not fail the whole statement."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _path(connection: sqlite3.Connection) -> str:
    cursor = connection.cursor()
    cursor.row_factory = None
    for _, name, path in cursor.execute("PRAGMA database_list"):
        if name in ("main", b"main"):
            return os.fsdecode(path or "")
    return ""


def _replaced(path: str) -> StoreError:
    return StoreError(
        f"the database file {path} was removed or replaced while it was in use; put it back "
        f"and restart what uses it"
    )


def _code(error: Exception) -> int:
    """SQLite's primary result code."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else 0

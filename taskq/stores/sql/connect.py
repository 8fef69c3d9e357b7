"""Connections of the store's own: one a thread, none across a fork."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from weakref import WeakSet

from taskq.errors import StoreError
from taskq.stores.sql.dialects import Connection, Dialect
from taskq.stores.sql.migrate import migrate

_serials = itertools.count()


class Handle:
    """One connection and the thread that it belongs to."""

    __slots__ = ("closed", "connection", "identity", "mutex", "serial", "stale", "thread")

    def __init__(self, connection: Connection, identity: Any) -> None:
        self.connection = connection
        self.identity = identity
        self.serial = next(_serials)
        """Tells it from all others of this process, closed ones too."""
        self.thread = threading.current_thread()
        self.mutex = threading.RLock()
        """Held while the connection is used, or closed."""
        self.stale = False
        self.closed = False

    def close(self) -> None:
        """Close the connection, or have its thread do so if it is using it right now."""
        self.stale = True
        if self.mutex.acquire(blocking=False):
            try:
                if not self.closed:
                    self.closed = True
                    self.connection.close()
            finally:
                self.mutex.release()


class Connections:
    """Makes a connection for each thread that asks, with the tables there.

    :param connect: makes a new connection. A connection is used by one thread only, but it
        may be closed by another one.
    """

    def __init__(self, connect: Callable[[], Connection], dialect: Dialect) -> None:
        self._connect = connect
        self._dialect = dialect
        self._handles: list[Handle] = []
        self._identity: Any = None
        """The database that the connections lead to; None before the first one."""
        self.forked()
        tell_of_forks(self)

    def before_fork(self) -> None:
        """Close all connections, and let nobody make one until the fork is done.

        What SQLite notes of a process's open files and locks is copied into the child, where
        it is wrong: a connection that the child then makes of its own would hold no locks, and
        others would take the log away under it.
        """
        self._mutex.acquire()
        for handle in self._handles:
            with handle.mutex:
                handle.close()
        self._handles = []

    def after_fork(self) -> None:
        self._mutex.release()

    def forked(self) -> None:
        """Begin anew in a child process.

        Connections that are still there, since the fork was one that Python did not see, are
        neither used nor closed here, not even by the garbage collector.
        """
        _abandoned.extend(self._handles)
        self._handles = []
        self._mutex = threading.Lock()
        self._local = threading.local()
        self._pid = os.getpid()

    @contextmanager
    def use(self) -> Iterator[Handle]:
        """The calling thread's connection, for as long as the block lasts.

        :raises StoreError: the database was removed or replaced since it was opened.
        """
        if os.getpid() != self._pid:
            self.forked()
        while True:
            handle: Handle | None = getattr(self._local, "handle", None)
            if handle is None or handle.stale:
                handle = self._local.handle = self._open()
            else:
                self._dialect.verify(handle.identity)
            with handle.mutex:
                if handle.closed:  # by another thread, just now
                    continue
                try:
                    yield handle
                finally:
                    if handle.stale:
                        handle.close()
                return

    def verify(self) -> None:
        """Raise StoreError if the database was removed or replaced since it was opened."""
        identity = self._identity
        if identity is not None:
            self._dialect.verify(identity)

    def close(self) -> None:
        """Close all; those in use when their thread is done with them."""
        with self._mutex:
            handles, self._handles = self._handles, []
            self._identity = None
        for handle in handles:
            handle.close()

    def _open(self) -> Handle:
        with self._mutex:
            self._release_dead()
            # Before connecting, which would make a new file in the place of a lost one.
            self.verify()
            connection = self._connect()
            try:
                identity = self._dialect.identity(connection)
                if self._identity not in (None, identity):
                    raise StoreError(
                        f"the database {identity[0]} was removed or replaced while it was in use"
                    )
                self._dialect.prepare(connection)
                migrate(connection, self._dialect)
            except BaseException:
                connection.close()
                raise
            self._identity = identity
            handle = Handle(connection, identity)
            self._handles.append(handle)
            return handle

    def _release_dead(self) -> None:
        for handle in self._handles:
            if not handle.thread.is_alive():
                handle.close()
        self._handles = [handle for handle in self._handles if not handle.stale]


# -- forks --------------------------------------------------------------------------------
class Forking(Protocol):
    """What has to know of a fork of this process."""

    def before_fork(self) -> None: ...

    def after_fork(self) -> None:
        """In the parent."""
        ...

    def forked(self) -> None:
        """In the child."""
        ...


_forking: WeakSet[Forking] = WeakSet()
_one_fork = threading.Lock()
_told: list[Forking] = []
_abandoned: list[Handle] = []


def tell_of_forks(each: Forking) -> None:
    """Call its methods around every fork, for as long as it lives."""
    _forking.add(each)


def _before_fork() -> None:
    _one_fork.acquire()
    _told[:] = _forking
    for each in _told:
        each.before_fork()


def _after_fork() -> None:
    for each in _told:
        each.after_fork()
    _told.clear()
    _one_fork.release()


def _forked() -> None:
    for each in _told:
        each.forked()
    _told.clear()
    _one_fork.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_forked)

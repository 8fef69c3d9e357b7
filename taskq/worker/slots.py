"""A table in shared memory in which a worker process shows what it runs.

Its supervisor reads it even when the process cannot answer: while a C extension holds the
interpreter, and after its death.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from collections import deque
from typing import NamedTuple

from taskq.worker.run import Run

_ROW = struct.Struct("=ddH128s")
_FREE = struct.pack("=d", 0.0)


class Slot(NamedTuple):
    """A job that has started; the times are monotonic, ``cut_at`` 0 means never."""

    id: str
    started: float
    cut_at: float


class SlotTable:
    """``rows`` jobs at most are shown; those beyond are run all the same.

    :param fd: a file descriptor of a table made by another process; None makes one.
    """

    def __init__(self, rows: int, fd: int | None = None) -> None:
        size = rows * _ROW.size
        if fd is None:
            fd = _shared_file(size)
        self.fd = fd
        self.rows = rows
        self._map = mmap.mmap(fd, size)
        self._free = deque(range(rows))

    def enter(self, run: Run) -> None:
        """Show that a run has started."""
        try:
            row = self._free.popleft()
        except IndexError:
            return
        run.row = row
        id = run.claim.id.encode()
        _ROW.pack_into(
            self._map, row * _ROW.size, run.started, run.cut_at or 0.0, len(id), id[:128]
        )

    def leave(self, run: Run) -> None:
        """Show that it has ended."""
        row, run.row = run.row, -1
        if row >= 0:
            self._map[row * _ROW.size : row * _ROW.size + len(_FREE)] = _FREE
            self._free.append(row)

    def read(self) -> list[Slot]:
        """What runs, as far as can be seen from here."""
        found = []
        for started, cut_at, length, id in _ROW.iter_unpack(self._map[:]):
            if started:
                found.append(Slot(id[:length].decode("utf-8", "replace"), started, cut_at))
        return found

    def close(self) -> None:
        self._map.close()
        os.close(self.fd)


def _shared_file(size: int) -> int:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("taskq-slots")
    else:
        fd, path = tempfile.mkstemp(prefix="taskq-slots-")
        os.unlink(path)
    os.ftruncate(fd, size)
    return fd

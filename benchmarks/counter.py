"""Counts what tasks do, the same way for every peer, at less than a microsecond a task.

Every worker process writes into a small file of its own in a folder in shared memory
(``$BENCH_COUNTER``): when its first task began, when the last one ended, how many there were.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_SLOT = struct.Struct("=qqq")
_SAMPLE = struct.Struct("=q")
_BARRIER_SECONDS = 30.0


class _Slot:
    """What this process writes."""

    def __init__(self) -> None:
        self.folder = Path(os.environ["BENCH_COUNTER"])
        path = self.folder / f"{os.getpid()}.slot"
        path.write_bytes(bytes(_SLOT.size))
        with path.open("r+b") as file:
            self.map = mmap.mmap(file.fileno(), _SLOT.size)
        self._meet(int(os.environ.get("BENCH_PROCESSES", "1")))
        self.first = time.monotonic_ns()
        self.count = 0

    def _meet(self, processes: int) -> None:
        # With several processes the first task of each waits here for the others, so that
        # the time in which one has started and another has not is not counted.
        until = time.monotonic() + _BARRIER_SECONDS
        while len(list(self.folder.glob("*.slot"))) < processes and time.monotonic() < until:
            time.sleep(0.001)


_lock = threading.Lock()
_slot: _Slot | None = None


def begin() -> None:
    """A task starts. Needed where it takes time; ``hit`` alone does for one that does nothing."""
    global _slot
    if _slot is None:
        with _lock:
            if _slot is None:
                _slot = _Slot()


def hit() -> None:
    """A task is done."""
    global _slot
    with _lock:
        if _slot is None:
            _slot = _Slot()
        slot = _slot
        slot.count += 1
        _SLOT.pack_into(slot.map, 0, slot.first, time.monotonic_ns(), slot.count)


def sample(nanoseconds: int) -> None:
    """Remember one measured time."""
    path = f"{os.environ['BENCH_COUNTER']}/{os.getpid()}.samples"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(file, _SAMPLE.pack(nanoseconds))
    finally:
        os.close(file)


def _after_fork() -> None:
    # A child counts in a file of its own.
    global _lock, _slot
    _lock, _slot = threading.Lock(), None


os.register_at_fork(after_in_child=_after_fork)


class Count(NamedTuple):
    """All processes together; the times are of ``time.monotonic_ns``."""

    done: int
    first: int
    last: int
    processes: int


def read(folder: Path) -> Count:
    """What the tasks have done so far."""
    slots = [slot for slot in _slots(folder) if slot[2]]
    if not slots:
        return Count(0, 0, 0, 0)
    return Count(
        sum(slot[2] for slot in slots),
        min(slot[0] for slot in slots),
        max(slot[1] for slot in slots),
        len(slots),
    )


def _slots(folder: Path) -> Iterator[tuple[int, int, int]]:
    for path in folder.glob("*.slot"):
        data = path.read_bytes()
        if len(data) == _SLOT.size:
            yield _SLOT.unpack(data)


def samples(folder: Path) -> list[int]:
    """All the times that were remembered."""
    found: list[int] = []
    for path in folder.glob("*.samples"):
        found += (value for (value,) in _SAMPLE.iter_unpack(path.read_bytes()))
    return found


def sampled(folder: Path) -> int:
    """How many times were remembered."""
    return sum(path.stat().st_size for path in folder.glob("*.samples")) // _SAMPLE.size

"""Waiting for jobs of a memory store to end: threads, and asyncio."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Literal, Protocol, runtime_checkable

from taskq.job import Enqueued, Job, NewJob
from taskq.store import Store


@runtime_checkable
class LeapingClock(Protocol):
    """A clock that can leap (``taskq.testing.clock``), and tells by how many seconds."""

    def listen(self, callback: Callable[[float], None]) -> None: ...


class Waits:
    """Who waits for which jobs, and until when.

    :param mutex: the store's.
    """

    def __init__(self, mutex: threading.Lock) -> None:
        self._mutex = mutex
        self._waiters: dict[str, list[Callable[[], None]]] = {}
        self._leapt = 0.0

    def ticks(self) -> float:
        """What waits are measured by: real time, which setting the wall clock doesn't touch,
        and the leaps of a clock that travels."""
        return time.monotonic() + self._leapt

    def travelled(self, seconds: float) -> None:
        """The clock has leapt: all look again. The mutex is held."""
        self._leapt += max(seconds, 0.0)
        for id in self._waiters:
            self.tell(id)

    def tell(self, id: str) -> None:
        """A job has ended or gone. The mutex is held."""
        for tell in self._waiters.get(id, ()):
            tell()

    @contextmanager
    def told(self, ids: Sequence[str], tell: Callable[[], None]) -> Iterator[None]:
        """Have ``tell`` called, from any thread, whenever one of the jobs has ended or gone."""
        with self._mutex:
            for id in ids:
                self._waiters.setdefault(id, []).append(tell)
        try:
            yield
        finally:
            with self._mutex:
                for id in ids:
                    self._waiters[id].remove(tell)
                    if not self._waiters[id]:
                        del self._waiters[id]


def any_over(jobs: Sequence[Job | None]) -> bool:
    """True if one of the jobs has ended or is not there, or none was asked for."""
    return not jobs or any(job is None or job.state.ended for job in jobs)


class MemoryAio:
    """The client's verbs for asyncio: the same store, but waiting doesn't block the loop."""

    def __init__(self, store: Store, waits: Waits) -> None:
        self._store = store
        self._waits = waits

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        return self._store.enqueue(jobs)

    async def get(self, ids: Sequence[str]) -> list[Job | None]:
        return self._store.get(ids)

    async def wait(self, ids: Sequence[str], timeout: float) -> list[Job | None]:
        waits = self._waits
        until = waits.ticks() + timeout
        loop = asyncio.get_running_loop()
        told = asyncio.Event()

        def tell() -> None:
            # A loop that was closed meanwhile has nobody waiting in it.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(told.set)

        with waits.told(ids, tell):
            while not any_over(jobs := self._store.get(ids)):
                left = until - waits.ticks()
                if left <= 0:
                    break
                with suppress(TimeoutError):
                    await asyncio.wait_for(told.wait(), min(left, threading.TIMEOUT_MAX))
                told.clear()
        return jobs

    async def cancel(
        self, ids: Sequence[str]
    ) -> list[Literal["cancelled", "asked", "ended", "missing"]]:
        return self._store.cancel(ids)

    async def close(self) -> None:
        self._store.close()

"""The client's verbs for asyncio. Only the sending differs from the sync store's."""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Literal, Protocol, TypeVar

from taskq.errors import StoreError
from taskq.job import Enqueued, Job, NewJob
from taskq.stores.redis.aioforeign import AsyncForeign
from taskq.stores.redis.aiowire import AsyncWire
from taskq.stores.redis.faults import Broken, Budget, Refusal, again, final
from taskq.stores.redis.foreign import check
from taskq.stores.redis.keys import Keys
from taskq.stores.redis.scripts import Command
from taskq.stores.redis.url import Address
from taskq.stores.redis.verbs import Steps, Verbs, over

T = TypeVar("T")

_LOOK_AGAIN = 5.0
"""Seconds after which one who waits for a job looks without having been told."""


class AsyncSubscriptions(Protocol):
    @property
    def broken(self) -> bool: ...

    async def add(self, channels: Sequence[bytes]) -> None: ...

    async def remove(self, channels: Sequence[bytes]) -> None: ...

    async def close(self) -> None: ...


class AsyncLink(Protocol):
    """The way to the server, for one event loop."""

    async def call(self, command: Command, left: float) -> Any: ...

    async def listen(self, told: Callable[[bytes | None], None]) -> AsyncSubscriptions: ...

    async def close(self) -> None: ...


class AsyncRedisStore:
    """``RedisStore.aio``. Connections belong to the event loop that made them: one for all
    calls, and one for all who wait.

    :param address: where to connect to; None: ``client`` is used, in whatever loop.
    """

    def __init__(
        self, verbs: Verbs, keys: Keys, address: Address | None, client: Any, budget: float
    ) -> None:
        if client is not None:
            check(client)
        self._verbs = verbs
        self._keys = keys
        self._address = address
        self._client = client
        self._budget = budget
        self._name = "Redis" if address is None else address.name
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _OfLoop] = (
            weakref.WeakKeyDictionary()
        )

    def _here(self) -> _OfLoop:
        loop = asyncio.get_running_loop()
        found = self._loops.get(loop)
        if found is None:
            link: AsyncLink
            if self._client is not None:
                link = AsyncForeign(self._client)
            else:
                assert self._address is not None
                link = AsyncWire(self._address, self._budget)
            found = self._loops[loop] = _OfLoop(link)
        return found

    async def _run(self, steps: Steps[T]) -> T:
        """Send what a verb says, and give it the answers."""
        try:
            command = next(steps)
            while True:
                try:
                    reply = await self._call(command)
                except StoreError as error:
                    command = steps.throw(error)
                else:
                    command = steps.send(reply)
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def _call(self, command: Command) -> Any:
        # The only place where an async call is repeated.
        link = self._here().link
        budget = Budget(self._budget)
        while True:
            try:
                return await link.call(command, max(budget.left(), 0.001))
            except (Broken, Refusal) as problem:
                pause = budget.pause() if again(problem, True) else None
                if pause is None:
                    raise final(problem, self._name) from problem
            await asyncio.sleep(pause)

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        return await self._run(self._verbs.enqueue(jobs))

    async def get(self, ids: Sequence[str]) -> list[Job | None]:
        return await self._run(self._verbs.get(ids))

    async def wait(self, ids: Sequence[str], timeout: float) -> list[Job | None]:
        until = time.monotonic() + timeout
        jobs = await self.get(ids)
        if not ids or over(jobs) or timeout <= 0:
            return jobs
        told = asyncio.Event()
        here = self._here()
        channels = {self._keys.channel(id).encode() for id in ids}
        async with here.listening(channels, told):
            while (left := until - time.monotonic()) > 0:
                left = min(left, _LOOK_AGAIN)
                told.clear()
                await here.hear(channels)
                if not await self._run(self._verbs.watch(ids, left + 1)):
                    break
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await told.wait()
        return await self.get(ids)

    async def cancel(
        self, ids: Sequence[str]
    ) -> list[Literal["cancelled", "asked", "ended", "missing"]]:
        return await self._run(self._verbs.cancel(ids))

    async def close(self) -> None:
        """Release the connections of this event loop; it may be used again afterwards."""
        found = self._loops.pop(asyncio.get_running_loop(), None)
        if found is not None:
            await found.close()


class _OfLoop:
    """What belongs to one event loop: a link, and one subscription for all who wait."""

    def __init__(self, link: AsyncLink) -> None:
        self.link = link
        self._lock = asyncio.Lock()
        self._waiting: dict[bytes, set[asyncio.Event]] = {}
        self._subscriptions: AsyncSubscriptions | None = None
        self._heard: set[bytes] = set()
        """The channels of the subscription."""

    @contextlib.asynccontextmanager
    async def listening(
        self, channels: set[bytes], told: asyncio.Event
    ) -> AsyncGenerator[None, None]:
        """Have an event set at each message of the channels, and when they may be missed."""
        for channel in channels:
            self._waiting.setdefault(channel, set()).add(told)
        try:
            yield
        finally:
            for channel in channels:
                events = self._waiting[channel]
                events.discard(told)
                if not events:
                    del self._waiting[channel]
            async with self._lock:
                await self._leave(channels)

    async def hear(self, channels: set[bytes]) -> None:
        """Listen to channels, anew if the connection broke. What fails here is told by the next
        call, or made good by looking again."""
        subscriptions = self._subscriptions
        if subscriptions is not None and not subscriptions.broken and channels <= self._heard:
            return
        async with self._lock:
            with contextlib.suppress(Broken, Refusal):
                if self._subscriptions is None or self._subscriptions.broken:
                    self._heard.clear()
                    self._subscriptions = await self.link.listen(self._told)
                fresh = [channel for channel in self._waiting if channel not in self._heard]
                if fresh:
                    # Noted first: cancelled meanwhile, the command is on its way all the same.
                    self._heard.update(fresh)
                    await self._subscriptions.add(fresh)

    async def _leave(self, channels: set[bytes]) -> None:
        subscriptions = self._subscriptions
        if subscriptions is None:
            return
        if not self._waiting:
            self._subscriptions = None
            await subscriptions.close()
            return
        # Somebody may have come for one of them meanwhile.
        gone = [each for each in channels if each in self._heard and each not in self._waiting]
        if gone and not subscriptions.broken:
            self._heard.difference_update(gone)
            with contextlib.suppress(Broken, Refusal):
                await subscriptions.remove(gone)

    def _told(self, channel: bytes | None) -> None:
        everybody = (event for events in self._waiting.values() for event in events)
        for event in list(everybody if channel is None else self._waiting.get(channel, ())):
            event.set()

    async def close(self) -> None:
        async with self._lock:
            if self._subscriptions is not None:
                await self._subscriptions.close()
                self._subscriptions = None
        await self.link.close()

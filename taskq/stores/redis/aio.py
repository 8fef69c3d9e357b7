"""The client's verbs for asyncio. Only the sending differs from the sync store's."""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal, TypeVar

from taskq.errors import StoreError
from taskq.job import Enqueued, Job, NewJob
from taskq.stores.redis.faults import Broken, Budget, Refusal, again, final
from taskq.stores.redis.foreign import check, translated
from taskq.stores.redis.keys import Keys
from taskq.stores.redis.scripts import SOURCES, Command
from taskq.stores.redis.url import Address
from taskq.stores.redis.verbs import Steps, Verbs, over

T = TypeVar("T")

_LOOK_AGAIN = 5.0
"""Seconds after which one who waits for a job looks without having been told."""


class AsyncRedisStore:
    """``RedisStore.aio``. Connections belong to the event loop that made them.

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
            client = self._client
            own = client is None
            if own:
                assert self._address is not None
                client = connect(self._address, self._budget)
            found = self._loops[loop] = _OfLoop(client, own)
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
        client = self._here().client
        budget = Budget(self._budget)
        while True:
            try:
                return await _send(client, command)
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
        channels = {self._keys.channel(id).encode() for id in ids}
        async with self._here().listening(channels, told):
            while (left := until - time.monotonic()) > 0:
                left = min(left, _LOOK_AGAIN)
                told.clear()
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


def connect(address: Address, budget: float) -> Any:
    """A client of redis.asyncio, which repeats nothing by itself."""
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    timeout = address.socket_timeout or budget
    options: dict[str, Any] = {
        "db": address.db,
        "username": address.user,
        "password": address.password,
        "client_name": address.client_name or None,
        "socket_timeout": timeout,
        "socket_connect_timeout": address.socket_connect_timeout or timeout,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    if address.path is not None:
        return Redis(unix_socket_path=address.path, **options)
    if address.tls:
        options |= {
            "ssl": True,
            "ssl_ca_certs": address.ssl_ca_certs,
            "ssl_certfile": address.ssl_certfile,
            "ssl_keyfile": address.ssl_keyfile,
            "ssl_cert_reqs": address.ssl_cert_reqs,
            "ssl_check_hostname": (
                address.ssl_check_hostname and address.ssl_cert_reqs == "required"
            ),
        }
    return Redis(host=address.host, port=address.port, **options)


async def _send(client: Any, command: Command) -> Any:
    with translated():
        try:
            return await client.execute_command(*command)
        except Exception as error:
            if type(error).__name__ != "NoScriptError":
                raise
        await client.execute_command("SCRIPT LOAD", SOURCES[str(command[1])])
        return await client.execute_command(*command)


class _OfLoop:
    """What belongs to one event loop: a client, and one subscription for all who wait."""

    def __init__(self, client: Any, own: bool) -> None:
        self.client = client
        self._own = own
        self._lock = asyncio.Lock()
        self._waiting: dict[bytes, set[asyncio.Event]] = {}
        self._pubsub: Any = None
        self._reader: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def listening(self, channels: set[bytes], told: asyncio.Event) -> AsyncGenerator[None]:
        """Have an event set at each message of the channels."""
        async with self._lock:
            fresh = [channel for channel in channels if channel not in self._waiting]
            for channel in channels:
                self._waiting.setdefault(channel, set()).add(told)
            await self._listen(fresh)
        try:
            yield
        finally:
            async with self._lock:
                await self._leave(channels, told)

    async def _listen(self, fresh: Sequence[bytes]) -> None:
        # What fails here is made good by the reader, or by looking again.
        if self._reader is not None and self._reader.done():
            await self._drop()
        with contextlib.suppress(Broken, Refusal), translated():
            if self._pubsub is None:
                self._pubsub = self.client.pubsub()
                fresh = list(self._waiting)
            if fresh:
                await self._pubsub.subscribe(*fresh)
        if self._reader is None:
            self._reader = asyncio.create_task(self._read(), name="taskq-redis-listener")

    async def _leave(self, channels: set[bytes], told: asyncio.Event) -> None:
        for channel in channels:
            events = self._waiting.get(channel, set())
            events.discard(told)
            if not events:
                self._waiting.pop(channel, None)
        if not self._waiting:
            await self._drop()
        elif self._pubsub is not None:
            gone = [channel for channel in channels if channel not in self._waiting]
            if gone:
                with contextlib.suppress(Broken, Refusal), translated():
                    await self._pubsub.unsubscribe(*gone)

    async def _read(self) -> None:
        """Tell the events of messages, until the connection breaks."""
        pubsub = self._pubsub
        try:
            while True:
                with translated():
                    message = await pubsub.get_message(
                        ignore_subscribe_messages=True, timeout=_LOOK_AGAIN
                    )
                if message is not None:
                    for event in self._waiting.get(message["channel"], ()):
                        event.set()
        except (Broken, Refusal):
            # Those who wait look again by themselves; the next one makes a new connection.
            return

    async def _drop(self) -> None:
        reader, self._reader = self._reader, None
        pubsub, self._pubsub = self._pubsub, None
        if reader is not None:
            reader.cancel()
            await asyncio.wait({reader})
        if pubsub is not None:
            with contextlib.suppress(Broken, Refusal), translated():
                await pubsub.aclose()

    async def close(self) -> None:
        async with self._lock:
            await self._drop()
        if self._own:
            with contextlib.suppress(Broken, Refusal), translated():
                await self.client.aclose()

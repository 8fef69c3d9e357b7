"""Speaking through a client of redis.asyncio of the caller's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from taskq.stores.redis.faults import Broken, Refusal
from taskq.stores.redis.foreign import LONGEST_POP, translated
from taskq.stores.redis.scripts import SOURCES, Command


class AsyncForeign:
    """A client of redis.asyncio behind the methods of `AsyncWire`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def call(self, command: Command, left: float) -> Any:
        """Run one command, as long as its client lets it take; its reply."""
        with translated():
            try:
                return await self._client.execute_command(*command)
            except Exception as error:
                if type(error).__name__ != "NoScriptError":
                    raise
            await self._client.execute_command("SCRIPT LOAD", SOURCES[str(command[1])])
            return await self._client.execute_command(*command)

    async def listen(self, told: Callable[[bytes | None], None]) -> AsyncListener:
        return AsyncListener(self._client.pubsub(), told)

    async def close(self) -> None:
        """The client belongs to the caller."""


class AsyncListener:
    """A pub/sub object of redis.asyncio that listens."""

    def __init__(self, pubsub: Any, told: Callable[[bytes | None], None]) -> None:
        self._pubsub = pubsub
        self._told = told
        self._reader: asyncio.Task[None] | None = None
        self.broken = False

    async def add(self, channels: Sequence[bytes]) -> None:
        with translated():
            await self._pubsub.subscribe(*channels)
        if self._reader is None:
            self._reader = asyncio.create_task(self._read(), name="taskq-redis-listener")

    async def remove(self, channels: Sequence[bytes]) -> None:
        with translated():
            await self._pubsub.unsubscribe(*channels)

    async def _read(self) -> None:
        try:
            while not self.broken:
                with translated():
                    message = await self._pubsub.get_message(timeout=LONGEST_POP)
                if message is not None and message["type"] == "message":
                    self._told(message["channel"])
        except (Broken, Refusal):
            self.broken = True
            self._told(None)

    async def close(self) -> None:
        self.broken = True
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait({self._reader})
        with contextlib.suppress(Broken, Refusal), translated():
            await self._pubsub.aclose()

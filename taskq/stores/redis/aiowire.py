"""The asyncio sister of ``wire``: one connection that all coroutines of a loop share.

Commands are sent as they come and answered in their order, so coroutines that call at the
same time are served in one round trip, and one that is cancelled harms nobody. (redis.asyncio
takes 138 ms to import, and as of 8.1 loses some cancellations: the coroutine goes on.)
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis

from taskq.stores.redis.faults import Broken, Late, Refusal, reason
from taskq.stores.redis.scripts import SOURCES, Command
from taskq.stores.redis.url import Address
from taskq.stores.redis.wire import greetings, pack


class Channel(asyncio.Protocol):
    """A connection of one event loop.

    :param told: called with the channel of each message that comes, and with None when the
        connection is over.
    """

    def __init__(self, told: Callable[[bytes | None], None] | None = None) -> None:
        self._told = told
        self._reader: Any = hiredis.Reader(replyError=Refusal)
        self._asked: deque[asyncio.Future[Any]] = deque()
        self._transport: asyncio.Transport | None = None
        self.broken = False

    def send(self, command: Command, replies: int = 1) -> asyncio.Future[Any]:
        """Send a command; its last reply (or a Refusal, or Broken).

        :param replies: how many it has: one for each channel of a subscribe.
        """
        loop = asyncio.get_running_loop()
        if self._transport is None or self.broken:
            raise Broken("the connection is closed")
        futures = [loop.create_future() for _ in range(replies)]
        self._asked.extend(futures)
        self._transport.write(pack(command))
        return futures[-1]

    async def ask(self, command: Command, seconds: float, replies: int = 1) -> Any:
        """The reply to a command.

        :raises Late: none came in time; the connection is given up.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self.send(command, replies)
        except TimeoutError:
            self.close()
            raise Late("no answer in time", sent=True) from None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                self._take(reply)
        except hiredis.ProtocolError:
            self.close()

    def _take(self, reply: Any) -> None:
        if self._told is not None and isinstance(reply, list) and reply[0] == b"message":
            self._told(reply[1])
        elif self._asked:
            future = self._asked.popleft()
            # Whoever asked may have been cancelled.
            if not future.done():
                if isinstance(reply, Refusal):
                    future.set_exception(reply)
                    # Of the several replies to a subscribe only the last one is looked at.
                    future.exception()
                else:
                    future.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self.broken = True
        text = "the server closed the connection"
        if isinstance(exc, OSError):
            text = f"the connection broke: {reason(exc)}"
        while self._asked:
            future = self._asked.popleft()
            if not future.done():
                future.set_exception(Broken(text, sent=True))
                future.exception()
        if self._told is not None:
            self._told(None)

    def close(self) -> None:
        self.broken = True
        if self._transport is not None:
            self._transport.abort()


class AsyncWire:
    """Connections to one server for all coroutines of one event loop."""

    def __init__(self, address: Address, timeout: float) -> None:
        self._address = address
        self._timeout = address.socket_timeout or timeout
        self._connect_timeout = address.socket_connect_timeout or self._timeout
        self._context = address.ssl_context() if address.tls else None
        self._channel: Channel | None = None
        self._connecting = asyncio.Lock()

    async def call(self, command: Command, left: float) -> Any:
        """Run one command, within so many seconds; its reply.

        :raises Refusal: that is an error. :raises Broken: there was none.
        """
        channel = self._channel
        if channel is None or channel.broken:
            async with self._connecting:
                channel = self._channel
                if channel is None or channel.broken:
                    channel = self._channel = await self.connect(min(self._connect_timeout, left))
        seconds = min(self._timeout, left)
        try:
            return await channel.ask(command, seconds)
        except Refusal as refusal:
            if refusal.code == "READONLY":
                # After a failover the name may lead to another server.
                channel.close()
            if refusal.code != "NOSCRIPT":
                raise
        await channel.ask(("SCRIPT", "LOAD", SOURCES[str(command[1])]), seconds)
        return await channel.ask(command, seconds)

    async def connect(
        self, timeout: float, told: Callable[[bytes | None], None] | None = None
    ) -> Channel:
        """A new connection, greeted."""
        loop = asyncio.get_running_loop()
        address = self._address
        channel = Channel(told)
        try:
            async with asyncio.timeout(timeout):
                if address.path is not None:
                    await loop.create_unix_connection(lambda: channel, address.path)
                else:
                    await loop.create_connection(
                        lambda: channel,
                        address.host,
                        address.port,
                        ssl=self._context,
                        server_hostname=None if self._context is None else address.host,
                    )
        except ssl.SSLCertVerificationError as error:
            raise Refusal.untrusted(error.verify_message) from error
        except OSError as error:
            raise Broken(f"no connection: {reason(error)}") from error
        try:
            for command in greetings(address):
                try:
                    await channel.ask(command, timeout)
                except Refusal:
                    # The name is for people who look at the server; it may be forbidden.
                    if command[0] != "CLIENT":
                        raise
        except BaseException:
            channel.close()
            raise
        return channel

    async def listen(self, told: Callable[[bytes | None], None]) -> Subscriptions:
        return Subscriptions(await self.connect(self._connect_timeout, told), self._timeout)

    async def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
            # The loop closes the socket in its next round.
            await asyncio.sleep(0)


class Subscriptions:
    """A connection that listens."""

    def __init__(self, channel: Channel, timeout: float) -> None:
        self._channel = channel
        self._timeout = timeout

    @property
    def broken(self) -> bool:
        return self._channel.broken

    async def add(self, channels: Sequence[bytes]) -> None:
        await self._channel.ask(("SUBSCRIBE", *channels), self._timeout, len(channels))

    async def remove(self, channels: Sequence[bytes]) -> None:
        await self._channel.ask(("UNSUBSCRIBE", *channels), self._timeout, len(channels))

    async def close(self) -> None:
        self._channel.close()
        await asyncio.sleep(0)

"""A lean sync connection to a Redis server: a socket, hiredis, and a pool of them.

redis-py takes 138 ms and 21 MB to import and 95 of the 108 µs of a call; here it is some
10 µs. What the scripts need is all that it can do.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import hiredis

from taskq.stores.redis.faults import Broken, Late, Refusal, reason, repeating
from taskq.stores.redis.scripts import SOURCES, Command
from taskq.stores.redis.url import Address

if TYPE_CHECKING:
    import ssl

_MOST_IDLE = 8
"""Connections kept for the next call; a burst of threads makes more, and closes them."""


pack: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment]  # its stub knows tuples of one


def greetings(address: Address) -> list[Command]:
    """What is said first on a new connection."""
    commands: list[Command] = []
    if address.user is not None:
        commands.append(("AUTH", address.user, address.password or ""))
    elif address.password is not None:
        commands.append(("AUTH", address.password))
    if address.db:
        commands.append(("SELECT", address.db))
    if address.client_name:
        commands.append(("CLIENT", "SETNAME", address.client_name))
    return commands


class Connection:
    """One connection. Not for several threads at once.

    :raises Broken: from each method; the connection is of no use after it.
    """

    def __init__(
        self, address: Address, connect_timeout: float, context: ssl.SSLContext | None = None
    ) -> None:
        self._context = context
        self._reader: Any = hiredis.Reader(replyError=Refusal)
        self._timeout = 0.0
        self._buffer = bytearray(65536)
        self._socket = self._connect(address, connect_timeout)
        self._wait_at_most(connect_timeout)
        try:
            self._greet(address, connect_timeout)
        except BaseException:
            self.close()
            raise

    def _connect(self, address: Address, timeout: float) -> socket.socket:
        try:
            if address.path is not None:
                raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                try:
                    raw.settimeout(timeout)
                    raw.connect(address.path)
                except BaseException:
                    raw.close()
                    raise
            else:
                raw = socket.create_connection((address.host, address.port), timeout)
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._context is None:
                raw.setblocking(True)
                return raw
        except OSError as error:
            raise Broken(f"no connection: {reason(error)}") from error
        try:
            return self._context.wrap_socket(raw, server_hostname=address.host)
        except OSError as error:
            raw.close()
            distrust = getattr(error, "verify_message", None)  # of ssl.SSLCertVerificationError
            if distrust is not None:
                raise Refusal.untrusted(distrust) from error
            raise Broken(f"no TLS connection: {reason(error)}") from error
        except BaseException:
            raw.close()
            raise

    def _greet(self, address: Address, timeout: float) -> None:
        commands = greetings(address)
        if not commands:
            return
        self.send(*commands)
        for command in commands:
            try:
                self.read(timeout)
            except Refusal:
                # The name is for people who look at the server; it may be forbidden.
                if command[0] != "CLIENT":
                    raise

    def send(self, *commands: Command) -> None:
        """Send commands in one write."""
        data = pack(commands[0]) if len(commands) == 1 else b"".join(map(pack, commands))
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise Broken(f"the connection broke: {reason(error)}", sent=True) from error

    def read(self, timeout: float) -> Any:
        """The next reply.

        :raises Refusal: it is an error.
        :raises Late: none came in time; it may still be read later.
        """
        reply = self._reader.gets()
        if reply is False:
            if timeout != self._timeout:
                self._wait_at_most(timeout)
            while reply is False:
                try:
                    size = self._socket.recv_into(self._buffer)
                except (TimeoutError, BlockingIOError) as error:
                    raise Late("no answer in time", sent=True) from error
                except OSError as error:
                    raise Broken(f"the connection broke: {reason(error)}", sent=True) from error
                if not size:
                    raise Broken("the server closed the connection", sent=True)
                self._reader.feed(self._buffer, 0, size)
                try:
                    reply = self._reader.gets()
                except hiredis.ProtocolError as error:
                    raise Broken("what answers there is not a Redis server") from error
        if isinstance(reply, Refusal):
            raise reply
        return reply

    def _wait_at_most(self, timeout: float) -> None:
        self._timeout = timeout
        if self._context is not None:
            self._socket.settimeout(timeout)
            return
        # Timeouts of the kernel's cost no further system call at each read and write.
        span = struct.pack("ll", int(timeout), int(timeout % 1 * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, span)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, span)

    def close(self) -> None:
        opened = getattr(self, "_socket", None)
        if opened is not None:
            with contextlib.suppress(OSError):
                opened.close()

    # Of a store that was not closed, or of the parent after a fork: no reason for a warning.
    __del__ = close


class Wire:
    """Connections to one server for all threads of a process; after a fork, new ones.

    :param budget: seconds a call may take with its repeats.
    """

    def __init__(self, address: Address, budget: float) -> None:
        self.name = address.name
        self._address = address
        self._budget = budget
        self._timeout = address.socket_timeout or budget
        self._connect_timeout = address.socket_connect_timeout or self._timeout
        self._context = address.ssl_context() if address.tls else None
        self._idle: list[Connection] = []
        self._pid = os.getpid()
        self._generation = 0

    def take(self, left: float) -> Connection:
        """A connection of one's own; `give` it back, or close it."""
        if self._pid != os.getpid():
            # They belong to the parent. Closing them here does not end them there.
            self._pid, self._idle = os.getpid(), []
        try:
            return self._idle.pop()
        except IndexError:
            timeout = min(self._connect_timeout, left)
            return Connection(self._address, timeout, self._context)

    def give(self, connection: Connection, generation: int) -> None:
        if generation == self._generation and len(self._idle) < _MOST_IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    def call(self, command: Command, *, repeat: bool = True) -> Any:
        """Run one command; its reply."""

        return repeating(self._budget, repeat, self.name, self._attempt, command)

    def _attempt(self, left: float, command: Command) -> Any:
        generation = self._generation
        connection = self.take(left)
        try:
            connection.send(command)
            reply = self._answer(connection, command, self._within(left))
        except Refusal as refusal:
            if refusal.code == "READONLY":
                # After a failover the name may lead to another server.
                self.drop()
            self.give(connection, generation)
            raise
        except BaseException:
            connection.close()
            raise
        self.give(connection, generation)
        return reply

    def call_after_pop(
        self, keys: Sequence[bytes], seconds: float, alarm: Command, command: Command | None
    ) -> tuple[bytes | None, Any]:
        """Block until one of the lists has a token, at most so long, then run a command.

        Both go in one write, so the reply comes in one round trip from the token.

        :param alarm: puts a token into one of the lists. Sent when the time is up, for the
            server's own timeout of a pop may come 100 ms late.
        :param command: None: only wait.
        :returns: the key that had a token (None: time was up), and the reply.
        """
        what = keys, seconds, alarm, command
        # Long after the call began, it isn't repeated: the budget is over.
        return repeating(self._budget, True, self.name, self._pop, what)

    def _pop(
        self, left: float, what: tuple[Sequence[bytes], float, Command, Command | None]
    ) -> tuple[bytes | None, Any]:
        keys, seconds, alarm, command = what
        generation = self._generation
        connection = self.take(left)
        try:
            pop: Command = ("BLPOP", *keys, f"{seconds + 1:.3f}")
            connection.send(*((pop,) if command is None else (pop, command)))
            try:
                popped = connection.read(seconds)
            except Late:
                self.call(alarm)
                popped = connection.read(self._timeout + 1)
            reply = None
            if command is not None:
                reply = self._answer(connection, command, self._timeout)
        except BaseException:
            # After a refusal of the first, the reply to the second is still to come.
            connection.close()
            raise
        self.give(connection, generation)
        return (None if popped is None else popped[0]), reply

    def _answer(self, connection: Connection, command: Command, timeout: float) -> Any:
        """The reply to a command that was sent; a script that is not known there is loaded."""
        try:
            return connection.read(timeout)
        except Refusal as refusal:
            if refusal.code != "NOSCRIPT":
                raise
        connection.send(("SCRIPT", "LOAD", SOURCES[str(command[1])]), command)
        try:
            connection.read(timeout)
        except Refusal:
            with contextlib.suppress(Refusal):
                connection.read(timeout)
            raise
        return connection.read(timeout)

    def _within(self, left: float) -> float:
        """How long one try may wait. Nearly always the same, for changing it costs two calls."""
        return self._timeout if left > self._timeout * 0.99 else left

    def subscribe(self, channels: Sequence[str]) -> Subscription:
        """Listen for messages until it is closed."""

        return repeating(self._budget, True, self.name, self._subscribe, channels)

    def _subscribe(self, left: float, channels: Sequence[str]) -> Subscription:
        generation = self._generation
        connection = self.take(left)
        try:
            connection.send(("SUBSCRIBE", *channels))
            for _ in channels:
                connection.read(self._within(left))
        except BaseException:
            connection.close()
            raise
        return Subscription(self, connection, generation)

    @property
    def timeout(self) -> float:
        return self._timeout

    def drop(self) -> None:
        """Close the connections that are idle, and those in use when they come back."""
        self._generation += 1
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    close = drop


class Subscription:
    """A connection that listens."""

    def __init__(self, wire: Wire, connection: Connection, generation: int) -> None:
        self._wire = wire
        self._connection = connection
        self._generation = generation
        self._broken = False

    def wait(self, seconds: float) -> bool:
        """Return at the next message or after so many seconds; False: the connection broke."""
        try:
            self._connection.read(max(seconds, 0.001))
        except Late:
            pass
        except (Broken, Refusal):
            self._broken = True
        return not self._broken

    def close(self) -> None:
        if self._broken:
            self._connection.close()
            return
        try:
            self._connection.send(("UNSUBSCRIBE",))
            while True:
                reply = self._connection.read(self._wire.timeout)
                if reply[0] == b"unsubscribe" and reply[2] == 0:
                    break
        except (Broken, Refusal):
            self._connection.close()
        else:
            self._wire.give(self._connection, self._generation)

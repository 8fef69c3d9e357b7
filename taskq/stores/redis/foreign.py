"""Speaking through a redis-py client of the caller's: fakeredis, Sentinel, unusual set-ups.

redis-py is not imported here before its caller has done so.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

from taskq.errors import ConfigError, StoreUnavailable
from taskq.stores.redis.faults import Broken, Refusal, final
from taskq.stores.redis.scripts import SOURCES, Command

LONGEST_POP = 1.0
"""Seconds; below the socket timeout of redis-py, which is not asked."""

# redis-py takes the code off an error reply and makes a class of it.
_CODES = {
    "NoScriptError": "NOSCRIPT",
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
    "NoPermissionError": "NOPERM",
    "AuthorizationError": "NOPERM",
    "AuthenticationError": "WRONGPASS",
    "AuthenticationWrongNumberOfArgsError": "NOAUTH",
    "BusyLoadingError": "LOADING",
    "MasterDownError": "MASTERDOWN",
    "TryAgainError": "TRYAGAIN",
    "ClusterDownError": "CLUSTERDOWN",
    "MaxConnectionsError": "ERR",
}


def check(client: Any) -> None:
    """
    :raises ConfigError: the client turns replies into text; payloads are bytes.
    """
    if client.connection_pool.connection_kwargs.get("decode_responses"):
        raise ConfigError("the Redis client has decode_responses=True; taskq needs it False")


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """redis-py's errors as Broken and Refusal."""
    import redis.exceptions as theirs

    try:
        yield
    except theirs.RedisError as error:
        code = _CODES.get(type(error).__name__)
        if code is not None:
            raise Refusal(f"{code} {error}") from error
        if isinstance(error, theirs.ConnectionError | theirs.TimeoutError):
            raise Broken(str(error), sent=True) from error
        raise Refusal(str(error)) from error
    except OSError as error:
        raise Broken(str(error), sent=True) from error


class Foreign:
    """A redis-py client behind the methods of `Wire`. It repeats as the client was told to."""

    def __init__(self, client: Any) -> None:
        check(client)
        kwargs = client.connection_pool.connection_kwargs
        self.name = kwargs.get("path") or f"{kwargs.get('host')}:{kwargs.get('port')}"
        self._client = client

    def call(self, command: Command, *, repeat: bool = True) -> Any:
        """Run one command; its reply."""
        try:
            return self._call(command)
        except (Broken, Refusal) as problem:
            raise final(problem, self.name) from problem

    def _call(self, command: Command) -> Any:
        with translated():
            try:
                return self._client.execute_command(*command)
            except Exception as error:
                if type(error).__name__ != "NoScriptError":
                    raise
            self._client.execute_command("SCRIPT LOAD", SOURCES[str(command[1])])
            return self._client.execute_command(*command)

    def call_after_pop(
        self, keys: Sequence[bytes], seconds: float, alarm: Command, command: Command | None
    ) -> tuple[bytes | None, Any]:
        """Block until one of the lists has a token, at most so long, then run a command."""
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            popped = self.call(("BLPOP", *keys, f"{max(min(left, LONGEST_POP), 0.01):.3f}"))
            if popped is not None or left <= LONGEST_POP:
                reply = None if command is None else self.call(command)
                return (None if popped is None else popped[0]), reply

    def subscribe(self, channels: Sequence[str]) -> Listener:
        """Listen for messages until it is closed."""
        pubsub = self._client.pubsub()
        try:
            with translated():
                pubsub.subscribe(*channels)
        except (Broken, Refusal) as problem:
            pubsub.close()
            raise final(problem, self.name) from problem
        return Listener(pubsub)

    def close(self) -> None:
        """The client belongs to the caller."""


class Listener:
    """A pub/sub object that listens."""

    def __init__(self, pubsub: Any) -> None:
        self._pubsub = pubsub

    def wait(self, seconds: float) -> bool:
        """Return at the next message or after so many seconds; False: the connection broke."""
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            try:
                with translated():
                    message = self._pubsub.get_message(timeout=max(left, 0.001))
            except (Broken, Refusal):
                return False
            if left <= 0 or (message is not None and message["type"] == "message"):
                return True

    def close(self) -> None:
        with contextlib.suppress(StoreUnavailable, OSError):
            self._pubsub.close()

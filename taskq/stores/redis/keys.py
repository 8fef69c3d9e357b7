"""The names of everything taskq keeps in Redis. What lies where: ``lua/_prelude.lua``."""

from __future__ import annotations

from collections.abc import Sequence

from taskq.errors import ConfigError
from taskq.job import LANES, Lane

LETTERS: dict[Lane, str] = {"thread": "t", "loop": "l"}

_MOST_REMEMBERED = 10_000


class Keys:
    """The keys of one prefix. All of them are in one hash slot: ``{prefix}:…``.

    :raises ConfigError: the prefix cannot be part of a key.
    """

    def __init__(self, prefix: str) -> None:
        if not prefix or "{" in prefix or "}" in prefix or not prefix.isprintable():
            raise ConfigError(
                f"a prefix is one or more printable characters without braces, such as 'taskq'; "
                f"not {prefix!r}"
            )
        self.prefix = prefix
        self.slot = f"{{{prefix}}}:"
        self._queues: dict[tuple[str, str], tuple[bytes, bytes, bytes]] = {}

    def named(self, names: Sequence[str]) -> tuple[bytes, ...]:
        """Keys that there are once a prefix."""
        return tuple(f"{self.slot}{name}".encode() for name in names)

    def queue(self, letter: str, queue: str) -> tuple[bytes, bytes, bytes]:
        """List, sorted set and wake key of the ready jobs of a queue and a lane's letter."""
        found = self._queues.get((letter, queue))
        if found is None:
            if len(self._queues) >= _MOST_REMEMBERED:
                self._queues.clear()
            end = f"{letter}:{queue}"
            found = (
                f"{self.slot}list:{end}".encode(),
                f"{self.slot}ranked:{end}".encode(),
                f"{self.slot}wake:{end}".encode(),
            )
            self._queues[letter, queue] = found
        return found

    def lanes(self, queue: str) -> list[tuple[bytes, bytes, bytes]]:
        return [self.queue(LETTERS[lane], queue) for lane in LANES]

    def held(self, lease: str) -> bytes:
        """The set of ids that run under a lease."""
        return f"{self.slot}held:{lease}".encode()

    def lease_wake(self, lease: str) -> bytes:
        """The wake key of one lease."""
        return f"{self.slot}lease-wake:{lease}".encode()

    def lock(self, key: str) -> bytes:
        return f"{self.slot}lock:{key}".encode()

    def tally(self, key: str) -> bytes:
        return f"{self.slot}tally:{key}".encode()

    def channel(self, id: str) -> str:
        """Where the end of a job is told, while somebody waits for it."""
        return f"{self.slot}done:{id}"

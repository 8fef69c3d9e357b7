"""Shared locks and counters of a memory store."""

from __future__ import annotations


class Locks:
    """Who holds which places, and the counters. Whoever uses it holds the store's mutex."""

    def __init__(self) -> None:
        self._places: dict[str, dict[str, float]] = {}
        self._tallies: dict[str, tuple[int, float]] = {}

    def acquire(self, key: str, owner: str, ttl: float, slots: int, now: float) -> bool:
        held = self._places.get(key, {})
        owners = {each: until for each, until in held.items() if until > now}
        if owner not in owners and len(owners) >= slots:
            return False
        owners[owner] = now + ttl
        self._places[key] = owners
        return True

    def release(self, key: str, owner: str) -> None:
        owners = self._places.get(key, {})
        owners.pop(owner, None)
        if not owners:
            self._places.pop(key, None)

    def tally(self, key: str, ttl: float, amount: int, now: float) -> int:
        count, until = self._tallies.get(key, (0, now))
        if until <= now:
            count, until = 0, now + ttl
        self._tallies[key] = (count + amount, until)
        return count + amount

    def prune(self, now: float) -> None:
        """Forget what has lapsed."""
        for key, owners in list(self._places.items()):
            if all(until <= now for until in owners.values()):
                del self._places[key]
        for key, (_, until) in list(self._tallies.items()):
            if until <= now:
                del self._tallies[key]

"""Which queues a worker serves, and in which order it looks into them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from taskq.errors import ConfigError
from taskq.options import queue_name

MAX_WEIGHT = 1_000_000


def parse_queues(text: str) -> dict[str, int] | list[str]:
    """``critical=6,default=3`` as weights, ``critical,default`` as an order.

    :raises ConfigError: mixed, twice the same, or a weight that is not a whole number from 1.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise ConfigError("name at least one queue, such as -q critical,default")
    names = [part.partition("=")[0].strip() for part in parts]
    for name in names:
        queue_name("queue", name)
        if names.count(name) > 1:
            raise ConfigError(f"the queue {name!r} is named twice")
    weighted = ["=" in part for part in parts]
    if not any(weighted):
        return names
    if not all(weighted):
        raise ConfigError(
            f"give every queue a weight or none: {text!r} has both; such as critical=6,default=3"
        )
    weights = {}
    for part in parts:
        name, _, weight = part.partition("=")
        if not (weight.strip().isascii() and weight.strip().isdigit()):
            raise ConfigError(f"a weight is a whole number from 1, not {weight!r} ({name})")
        weights[name.strip()] = int(weight)
    return weights


class QueueOrder:
    """Gives the order for each claim.

    With weights, a queue comes first with a chance of its share of all weights, so none
    starves; without, or when ``strict``, the order is always the same (higher weights first).

    :param queues: names in order, names with weights, or None: ``default`` and every queue that
        ``named`` gives at that moment, with equal weights.
    """

    def __init__(
        self,
        queues: Sequence[str] | Mapping[str, int] | None = None,
        *,
        exclude: Sequence[str] | str = (),
        strict: bool = False,
        named: Callable[[], Sequence[str]] = lambda: (),
        rand: random.Random | None = None,
    ) -> None:
        if isinstance(queues, str):
            queues = parse_queues(queues)
        if isinstance(exclude, str):
            exclude = exclude.split(",")
        self._exclude = frozenset(queue_name("exclude", name.strip()) for name in exclude)
        self._named = named
        self.strict = strict
        self._random = rand or random.Random()
        self._fixed: list[str] | None = None
        self._weights: dict[str, int] | None = None
        if isinstance(queues, Mapping):
            for name, weight in queues.items():
                queue_name("queue", name)
                if isinstance(weight, bool) or not isinstance(weight, int):
                    raise ConfigError(f"a weight is a whole number from 1, not {weight!r} ({name})")
                if not 1 <= weight <= MAX_WEIGHT:
                    raise ConfigError(f"a weight is 1 to {MAX_WEIGHT}, not {weight} ({name})")
            kept = {n: w for n, w in queues.items() if n not in self._exclude}
            if strict:
                self._fixed = sorted(kept, key=lambda name: -kept[name])
            else:
                self._weights = kept
        elif queues is not None:
            names = [queue_name("queue", name) for name in queues]
            self._fixed = [n for n in dict.fromkeys(names) if n not in self._exclude]
        elif strict:
            raise ConfigError("strict order needs the queues in their order: -q first,second")
        if self._fixed == [] or self._weights == {}:
            raise ConfigError("no queue is left to serve")

    def names(self) -> list[str]:
        """The queues served, in the order they would be shown."""
        if self._fixed is not None:
            return list(self._fixed)
        if self._weights is not None:
            return list(self._weights)
        found = dict.fromkeys(["default", *sorted(self._named())])
        return [name for name in found if name not in self._exclude]

    def describe(self) -> str:
        """For people: ``critical=6, default=3``."""
        if self._weights is not None:
            return ", ".join(f"{name}={weight}" for name, weight in self._weights.items())
        return ", ".join(self.names())

    def next(self) -> list[str]:
        """The order for one claim."""
        if self._fixed is not None:
            return self._fixed
        if self._weights is None:
            names = self.names()
            if len(names) > 1:
                self._random.shuffle(names)
            return names
        if len(self._weights) == 1:
            return list(self._weights)
        # Sorting by rand ** (1 / weight) draws without putting back, each by its weight
        # (Efraimidis and Spirakis, 2006).
        keys = {n: self._random.random() ** (1.0 / w) for n, w in self._weights.items()}
        return sorted(keys, key=lambda name: -keys[name])

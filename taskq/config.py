"""Settings: from keyword arguments, then ``TASKQ_*`` environment variables, then defaults.

Each is a field of :class:`Config`, with its check, its default and one line of documentation.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import timedelta
from typing import Any, Literal

from taskq.errors import ConfigError

DEFAULT_URL = "sqlite:///taskq.db"
ENV_PREFIX = "TASKQ_"


def _seconds(low: float = 0.0, *, zero: bool = False) -> Callable[[object], float]:
    def check(value: object) -> float:
        if isinstance(value, timedelta):
            value = value.total_seconds()
        if isinstance(value, bool):
            raise ValueError("takes seconds, such as 30 or 2.5")  # noqa: TRY004  # see _check
        try:
            number = float(value)  # type: ignore[arg-type]  # whatever it is, float() judges it
        except (TypeError, ValueError):
            raise ValueError("takes seconds, such as 30 or 2.5") from None
        if not low <= number <= 1e10 or (number == 0 and not zero):
            wanted = "0 or more" if zero else f"{low:g} or more" if low else "more than 0"
            raise ValueError(f"takes {wanted} seconds")
        return number

    return check


def _count(low: int, high: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        text = str(value).strip()
        if isinstance(value, bool) or not text.isascii() or not text.isdigit():
            raise ValueError(f"takes a whole number from {low} to {high}")
        number = int(text)
        if not low <= number <= high:
            raise ValueError(f"takes a whole number from {low} to {high}")
        return number

    return check


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("takes a text that is not empty")
    return value


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    raise ValueError("takes true or false")


def _one_of(*allowed: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        for one in allowed:
            if isinstance(value, str) and value.lower() == one.lower():
                return one
        raise ValueError(f"takes one of {', '.join(allowed)}")

    return check


def _keys(value: object) -> tuple[bytes, ...]:
    given: list[object]
    if isinstance(value, str):
        given = [part.strip() for part in value.split(",")]
    elif isinstance(value, bytes):
        given = [value]
    elif isinstance(value, list | tuple):
        given = list(value)
    else:
        given = [None]
    keys = [k.encode() if isinstance(k, str) else k for k in given]
    if not keys or not all(isinstance(k, bytes) and len(k) >= 16 for k in keys):
        raise ValueError("takes a key of at least 16 characters, or several (the first one signs)")
    return tuple(k for k in keys if isinstance(k, bytes))


def _defaults(value: object) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError('takes options as JSON, such as {"max_retry": 3}') from None
    if not isinstance(value, Mapping):
        raise ValueError("takes a mapping of task options")  # noqa: TRY004  # see _check
    return dict(value)


def _setting(
    default: Any, check: Callable[[object], Any], takes: str, doc: str, *, secret: bool = False
) -> Any:
    return field(
        default=default,
        repr=not secret,
        metadata={"check": check, "takes": takes, "doc": doc, "secret": secret},
    )


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of an app, checked. Durations are in seconds."""

    url: str = _setting(DEFAULT_URL, _text, "a store URL", "Where the jobs live.", secret=True)
    prefix: str | None = _setting(
        None,
        _text,
        "a text",
        "What the names of all keys begin with, on Redis; 'taskq' if not set.",
    )
    defaults: Mapping[str, Any] | None = _setting(
        None, _defaults, "options", "Defaults for the options of every task."
    )
    keep_succeeded: float = _setting(
        3600.0,
        _seconds(zero=True),
        "seconds",
        "How long the records of succeeded, cancelled and expired jobs stay.",
    )
    keep_failed: float = _setting(
        30 * 86400.0, _seconds(zero=True), "seconds", "How long the records of failed jobs stay."
    )
    max_ended: int = _setting(
        100_000,
        _count(0, 10**9),
        "a number",
        "How many ended jobs of each state are kept at most; the oldest go first.",
    )
    max_size: int = _setting(
        1 << 20,
        _count(1, 1 << 29),
        "bytes",
        "The largest arguments or result that are accepted.",
    )
    sign_key: tuple[bytes, ...] | None = _setting(
        None,
        _keys,
        "a key or several",
        "Sign arguments and results with the first; accept only what one of them signed.",
        secret=True,
    )
    pickle: bool = _setting(
        False,
        _flag,
        "true or false",
        "Pickle what JSON cannot hold. Whoever can write to the store then runs code in the "
        "workers: use it with sign_key.",
    )
    budget: float = _setting(
        2.0,
        _seconds(),
        "seconds",
        "How long an enqueue tries before it raises StoreUnavailable.",
    )
    lease: float = _setting(
        30.0,
        _seconds(1.0),
        "seconds",
        "How long a worker that is not heard of keeps its jobs.",
    )
    grace: float = _setting(
        25.0,
        _seconds(zero=True),
        "seconds",
        "How long a stopping worker lets jobs finish before it gives them back.",
    )
    unknown_after: float = _setting(
        7 * 86400.0,
        _seconds(zero=True),
        "seconds",
        "How long a job whose task no worker knows is kept waiting before it fails.",
    )
    concurrency: int = _setting(
        10, _count(1, 10_000), "a number", "Threads for def tasks in each worker process."
    )
    async_concurrency: int = _setting(
        1000, _count(1, 100_000), "a number", "Coroutines for async def tasks in each process."
    )
    processes: int = _setting(1, _count(1, 1000), "a number", "Worker processes.")
    log_level: str = _setting(
        "INFO",
        _one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
        "a level",
        "How much the command line logs.",
    )
    log_format: Literal["plain", "json"] = _setting(
        "plain", _one_of("plain", "json"), "plain or json", "How the command line logs."
    )

    @classmethod
    def load(cls, given: Mapping[str, Any], env: Mapping[str, str] | None = None) -> Config:
        """Settings from ``given``, then the environment, then defaults. None counts as not given.

        :raises ConfigError: an unknown name (with the nearest known one) or a wrong value; the
            text says where it came from, what was wrong and what would be right.
        """
        env = os.environ if env is None else env
        known: dict[str, Field[Any]] = {f.name: f for f in fields(cls)}
        for name in given:
            if name not in known:
                raise ConfigError(f"unknown setting {name!r}{_hint(name, known)}")
        for variable in env:
            name = variable.removeprefix(ENV_PREFIX).lower()
            if variable.startswith(ENV_PREFIX) and name not in known and name != "app":
                near = difflib.get_close_matches(name, known, 1, 0.85)
                if near:  # others may have TASKQ_ variables of their own; a slip is ours to tell
                    meant = ENV_PREFIX + near[0].upper()
                    raise ConfigError(f"unknown variable {variable}; did you mean {meant}?")
        values: dict[str, Any] = {}
        for name, spec in known.items():
            if given.get(name) is not None:
                values[name] = _check(spec, given[name], name)
            elif env.get(ENV_PREFIX + name.upper(), "") != "":
                variable = ENV_PREFIX + name.upper()
                values[name] = _check(spec, env[variable], variable)
        return cls(**values)


def _hint(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]}?" if near else f". There are: {', '.join(known)}"


def _check(spec: Field[Any], value: object, where: str) -> Any:
    try:
        return spec.metadata["check"](value)
    except ValueError as error:
        shown = "what it was given" if spec.metadata["secret"] else repr(value)[:80]
        raise ConfigError(f"{where} {error}, not {shown}") from None

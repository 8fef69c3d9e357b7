"""The options of a task and of a call: their names, checks and defaults.

The app's defaults lie lowest, the decorator's over them, a call's (``.using``) on top.
The table :data:`OPTIONS` is what the options reference in the documentation is made from.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypedDict, cast

from taskq.errors import InvalidOption
from taskq.job import MAX_PRIORITY, MAX_SECONDS, MIN_PRIORITY, Moment
from taskq.retry import DEFAULT_BACKOFF, Backoff, Exponential

Seconds = float | timedelta
ExceptionTypes = type[BaseException] | tuple[type[BaseException], ...]


@dataclass(frozen=True, slots=True)
class Unique:
    """When two calls count as the same job.

    :param by: names of the parameters that make the key; None takes all of them.
    :param ttl: seconds after which the lock ends, even if the job has not; None: with the job.
    :param until: "done" keeps the lock until the job has ended, "start" until it first starts.
    """

    by: Iterable[str] | None = None
    ttl: Seconds | None = None
    until: Literal["start", "done"] = "done"

    def __post_init__(self) -> None:
        by: object = self.by
        if isinstance(by, str):
            object.__setattr__(self, "by", (by,))
        elif isinstance(by, Iterable):
            object.__setattr__(self, "by", tuple(_text("Unique(by)", name) for name in by))
        elif by is not None:
            raise InvalidOption(f"Unique(by) takes names of parameters, not {_typed(by)}")
        if self.ttl is not None:
            object.__setattr__(self, "ttl", positive("Unique(ttl)", self.ttl))
        if self.until not in ("start", "done"):
            raise InvalidOption(f"Unique(until) takes 'start' or 'done', not {self.until!r}")


def duration(name: str, value: object) -> float:
    """Seconds as a finite float, from a number or a timedelta.

    :raises InvalidOption: for anything else, NaN, infinity, or more than a century.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidOption(f"{name} takes seconds (a number) or a timedelta, not {_typed(value)}")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if math.isnan(seconds) or math.isinf(seconds):
        raise InvalidOption(f"{name} takes a finite number of seconds, not {_short(value)}")
    if seconds > MAX_SECONDS:
        raise InvalidOption(
            f"{name} of {seconds:g} seconds is more than a century; it is in seconds, "
            f"not milliseconds"
        )
    return seconds


def positive(name: str, value: object) -> float:
    seconds = duration(name, value)
    if seconds <= 0:
        raise InvalidOption(f"{name} takes more than 0 seconds, not {seconds:g}")
    return seconds


def not_negative(name: str, value: object) -> float:
    seconds = duration(name, value)
    if seconds < 0:
        raise InvalidOption(f"{name} takes 0 or more seconds, not {seconds:g}")
    return seconds


def moment(name: str, value: object) -> Moment:
    """When: an aware datetime, a timedelta, or seconds from now.

    Past times and negative durations are taken as they are; the store reads them as now.

    :raises InvalidOption: a naive datetime, NaN, infinity, or another type.
    """
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise InvalidOption(
                f"{name} is a naive datetime ({value.isoformat()}); give it a time zone, "
                f"such as datetime.now(timezone.utc) or .replace(tzinfo=ZoneInfo('Europe/Berlin'))"
            )
        # Not .timestamp() alone: it is exact for aware datetimes, up to datetime.max.
        return Moment((value - _EPOCH).total_seconds(), absolute=True)
    if isinstance(value, bool) or not isinstance(value, int | float | timedelta):
        raise InvalidOption(
            f"{name} takes an aware datetime, a timedelta or seconds from now, not {_typed(value)}"
        )
    return Moment(duration(name, value))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _typed(value: object) -> str:
    return f"{_short(value)} ({type(value).__name__})"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _queue(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidOption(f"{name} takes a name, not {_typed(value)}")
    if len(value) > 100 or not value.isprintable() or any(c in value for c in " ,="):
        raise InvalidOption(
            f"{name} takes a name of at most 100 printable characters without blanks, commas "
            f"and equals signs, not {_short(value)}"
        )
    return value


queue_name = _queue


def _text(name: str, value: object) -> str:
    # Lone surrogates are not printable either, so what passes here can be encoded.
    if not isinstance(value, str) or not value or not value.isprintable() or len(value) > 500:
        raise InvalidOption(
            f"{name} takes a text of 1 to 500 printable characters, not {_typed(value)}"
        )
    return value


def _job_id(name: str, value: object) -> str:
    text = _text(name, value)
    size = len(text.encode())
    if size > 128:
        raise InvalidOption(f"{name} takes at most 128 bytes of UTF-8, not {size}")
    return text


def _whole(low: int, high: int) -> Callable[[str, object], int]:
    def check(name: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidOption(f"{name} takes a whole number, not {_typed(value)}")
        if not low <= value <= high:
            raise InvalidOption(f"{name} takes {low} to {high}, not {_short(value)}")
        return value

    return check


def _backoff(name: str, value: object) -> Backoff:
    if value is None or isinstance(value, Exponential):
        return value
    if callable(value):
        return cast("Backoff", value)
    if isinstance(value, int | float | timedelta):
        return not_negative(name, value)
    raise InvalidOption(
        f"{name} takes Exponential(base, max, jitter), seconds, None or a function of "
        f"(attempt, exception), not {_typed(value)}"
    )


def _exceptions(name: str, value: object) -> tuple[type[BaseException], ...]:
    given = value if isinstance(value, tuple | list | set | frozenset) else (value,)
    checked: list[type[BaseException]] = []
    for item in given:
        if not (isinstance(item, type) and issubclass(item, BaseException)):
            raise InvalidOption(f"{name} takes exception classes, not {_typed(item)}")
        checked.append(item)
    return tuple(checked)


def _optional(check: Callable[[str, object], Any]) -> Callable[[str, object], Any]:
    return lambda name, value: None if value is None else check(name, value)


def _unique(name: str, value: object) -> Unique | None:
    if value is None or value is False:
        return None
    if value is True:
        return Unique()
    if isinstance(value, Unique):
        return value
    if isinstance(value, int | float | timedelta):
        return Unique(ttl=positive(name, value))
    raise InvalidOption(f"{name} takes True, seconds or Unique(...), not {_typed(value)}")


def _on_duplicate(name: str, value: object) -> str:
    if value not in ("return", "raise", "replace"):
        raise InvalidOption(f"{name} takes 'return', 'raise' or 'replace', not {_short(value)}")
    return str(value)


def _tags(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InvalidOption(f"{name} takes a list of texts, not {_typed(value)}")
    return tuple(_text(name, tag) for tag in value)


def _headers(name: str, value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise InvalidOption(f"{name} takes a mapping of texts to texts, not {_typed(value)}")
    for key, item in value.items():
        if not isinstance(key, str) or not isinstance(item, str):
            raise InvalidOption(f"{name} takes texts, not {_short(key)}: {_short(item)}")
    return dict(value)


class CallOptions(TypedDict, total=False):
    """What ``.using`` takes."""

    queue: str
    priority: int
    max_retry: int
    backoff: Exponential | Seconds | None
    timeout: Seconds | None
    deadline: Seconds | datetime | None
    expires: Seconds | None
    unique: bool | Seconds | Unique | None
    on_duplicate: Literal["return", "raise", "replace"]
    keep: Seconds | None
    tags: Iterable[str]
    headers: Mapping[str, str]
    job_id: str


class DefaultOptions(TypedDict, total=False):
    """What ``TaskQ(defaults=…)`` takes."""

    queue: str
    priority: int
    max_retry: int
    backoff: Backoff | timedelta
    retry_on: ExceptionTypes
    give_up_on: ExceptionTypes
    timeout: Seconds | None
    deadline: Seconds | None
    expires: Seconds | None
    unique: bool | Seconds | Unique | None
    on_duplicate: Literal["return", "raise", "replace"]
    keep: Seconds | None
    tags: Iterable[str]
    headers: Mapping[str, str]
    max_deaths: int


class TaskOptions(DefaultOptions, total=False):
    """What ``@task`` takes."""

    name: str


@dataclass(frozen=True, slots=True)
class Options:
    """A task's options, checked. Durations are in seconds."""

    name: str = ""
    queue: str = "default"
    priority: int = 0
    max_retry: int = 25
    backoff: Backoff = DEFAULT_BACKOFF
    retry_on: tuple[type[BaseException], ...] = (BaseException,)
    give_up_on: tuple[type[BaseException], ...] = ()
    timeout: float | None = 1800.0
    deadline: Moment | None = None
    expires: float | None = None
    unique: Unique | None = None
    on_duplicate: Literal["return", "raise", "replace"] = "return"
    keep: float | None = None
    tags: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    max_deaths: int = 3
    job_id: str | None = None
    travels: Mapping[str, Any] = field(default_factory=dict)
    """The options that were given for a call and that the worker has to know, as plain JSON."""


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the options table."""

    name: str
    check: Callable[[str, object], Any]
    takes: str
    doc: str
    where: tuple[str, ...] = ("app", "task", "call")


_EVERYWHERE = ("app", "task", "call")

OPTIONS: dict[str, Option] = {
    o.name: o
    for o in (
        Option(
            "name",
            _text,
            "text",
            "The name under which workers find the task; the function's module and qualified "
            "name if not given.",
            ("task",),
        ),
        Option("queue", _queue, "name", "The queue its jobs wait in."),
        Option(
            "priority",
            _whole(MIN_PRIORITY, MAX_PRIORITY),
            "-100 … 100",
            "Within a queue the higher number runs first, equal ones in order of arrival.",
        ),
        Option(
            "max_retry",
            _whole(0, 1_000_000),
            "0 or more",
            "How often a failed attempt is repeated; the job runs at most once more than that.",
        ),
        Option(
            "backoff",
            _backoff,
            "Exponential, seconds, None or a function",
            "How long to wait before the next attempt. Exponential(base, max, jitter) doubles; "
            "a number is a fixed delay, 0 and None mean at once; a function of (attempt, "
            "exception) returns seconds, or None for no further attempt. A call takes no function.",
        ),
        Option(
            "retry_on",
            _exceptions,
            "exception classes",
            "Only these failures are repeated; all by default.",
            ("app", "task"),
        ),
        Option(
            "give_up_on",
            _exceptions,
            "exception classes",
            "These failures are final at once. Stronger than retry_on.",
            ("app", "task"),
        ),
        Option(
            "timeout",
            _optional(positive),
            "seconds or None",
            "The longest that one attempt may take. It is then interrupted and counts as failed.",
        ),
        Option(
            "deadline",
            _optional(moment),
            "seconds from the enqueue, an aware datetime, or None",
            "When the whole job must be over: no start or retry after it; a running attempt is "
            "interrupted, and the job fails.",
        ),
        Option(
            "expires",
            _optional(positive),
            "seconds or None",
            "How long after its due time the job may still start for the first time; later it "
            "ends as expired without running.",
        ),
        Option(
            "unique",
            _unique,
            "True, seconds, Unique(by, ttl, until) or None",
            "At most one job with the same arguments at a time. The lock ends with the job, or "
            "after these seconds if that is earlier.",
        ),
        Option(
            "on_duplicate",
            _on_duplicate,
            "'return', 'raise' or 'replace'",
            "What a call does when such a job is there: return its handle (created is False), "
            "raise Duplicate, or overwrite it.",
        ),
        Option(
            "keep",
            _optional(not_negative),
            "seconds or None",
            "How long the record and result of an ended job stay; 0 deletes them at once. None: "
            "the settings keep_succeeded and keep_failed.",
        ),
        Option("tags", _tags, "texts", "Words to find the job by. Added up over app, task, call."),
        Option(
            "headers",
            _headers,
            "texts by text",
            "Data for middleware, such as a trace id. Merged over app, task and call.",
        ),
        Option(
            "max_deaths",
            _whole(0, 1000),
            "0 or more",
            "After so many deaths in a row of the worker process that runs it, the job fails with "
            "the reason 'killed its worker'. 0 and 1: it is never run again after a death.",
            ("app", "task"),
        ),
        Option(
            "job_id",
            _job_id,
            "text",
            "An id of one's own; enqueuing it again while the record is kept stores nothing.",
            ("call",),
        ),
    )
}

_TRAVELLING = ("max_retry", "backoff", "timeout")
"""Options that the worker obeys; given for one call, they travel with the job."""


def overlay(base: Options, given: Mapping[str, Any], where: str) -> Options:
    """``given`` options checked and laid over ``base``.

    :param where: "app", "task" or "call": what is allowed there.
    :raises InvalidOption: unknown (with the nearest known name), not allowed here, or wrong.
    """
    if not given:
        return base
    changes: dict[str, Any] = {}
    for name, value in given.items():
        option = OPTIONS.get(name)
        if option is None:
            allowed = [o.name for o in OPTIONS.values() if where in o.where]
            near = difflib.get_close_matches(name, allowed, 1)
            hint = f"; did you mean {near[0]}?" if near else f". There are: {', '.join(allowed)}"
            raise InvalidOption(f"unknown option {name!r}{hint}")
        if where not in option.where:
            raise InvalidOption(
                f"{name} is an option of the {' and the '.join(option.where)}, not of the {where}"
            )
        changes[name] = option.check(name, value)
    if "tags" in changes:
        changes["tags"] = tuple(dict.fromkeys((*base.tags, *changes["tags"])))
    if "headers" in changes:
        changes["headers"] = {**base.headers, **changes["headers"]}
    if where == "call":
        travels = dict(base.travels)
        for name in _TRAVELLING:
            if name in changes:
                travels[name] = _plain(name, changes[name])
        changes["travels"] = travels
    return replace(base, **changes)


def _plain(name: str, value: object) -> object:
    if isinstance(value, Exponential):
        return [value.base, value.max, value.jitter]
    if callable(value):
        raise InvalidOption(
            f"{name} of a single call cannot be a function, which does not travel; "
            f"give it to the task"
        )
    return value


def arrived(base: Options, travels: Mapping[str, Any]) -> Options:
    """The options of one job in the worker: the task's, and what travelled with the call.

    :raises InvalidOption: what travelled is not what ``overlay`` made.
    """
    if not travels:
        return base
    changes: dict[str, Any] = {}
    for name, value in travels.items():
        if name not in _TRAVELLING:
            continue  # made by a newer taskq; its effect is that taskq's to define
        if name == "backoff" and isinstance(value, list):
            changes[name] = Exponential(*value)
        else:
            changes[name] = OPTIONS[name].check(name, value)
    return replace(base, **changes)


def defaults() -> dict[str, Any]:
    """Each option's default, for the reference."""
    made = Options()
    return {f.name: getattr(made, f.name) for f in fields(made) if f.name in OPTIONS}

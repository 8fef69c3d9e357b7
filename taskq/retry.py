"""What becomes of a claim: the whole retry logic, as pure functions.

`decide` takes what is known of a job and how its run ended, and says where the job goes.
It is used for every end alike: a return, an exception, a timeout, a dead worker.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from taskq.errors import (
    Cancel,
    CancelRequested,
    DeadlineExceeded,
    DecodeError,
    EncodeError,
    Fail,
    InvalidOption,
    Retry,
    Snooze,
    TaskNotFound,
    WorkerStopping,
)
from taskq.job import MAX_SECONDS, State

logger = logging.getLogger("taskq.retry")


@dataclass(frozen=True, slots=True)
class Exponential:
    """A delay that doubles with each attempt.

    Attempt ``n`` (from 1) is followed by ``min(max, base * 2 ** (n - 1))`` seconds, made
    longer or shorter by a random share of up to ``jitter``. With the default jitter the
    intervals of successive attempts do not overlap until ``max`` is reached.

    :param base: seconds after the first attempt.
    :param max: the longest delay in seconds, before jitter.
    :param jitter: 0 (none) to 1.
    """

    base: float = 1.0
    max: float = 6 * 3600.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        for name in ("base", "max", "jitter"):
            value = getattr(self, name)
            if isinstance(value, timedelta):
                value = value.total_seconds()
                object.__setattr__(self, name, value)
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not 0 <= value <= MAX_SECONDS
            ):
                raise InvalidOption(
                    f"Exponential({name}) takes 0 to {MAX_SECONDS:.0f} (a century), "
                    f"not {value!r:.80}"
                )
        if self.jitter > 1:
            raise InvalidOption(f"Exponential(jitter) takes 0 to 1, not {self.jitter!r}")

    def delay(self, attempt: int, rand: float) -> float:
        """Seconds after attempt number ``attempt``; ``rand`` is in [0, 1)."""
        # 2 ** 60 seconds is beyond any max; larger powers would overflow a float.
        plain = min(self.max, self.base * 2.0 ** min(max(attempt - 1, 0), 60))
        return plain * (1 + self.jitter * (2 * rand - 1))


BackoffFunction = Callable[[int, BaseException], "float | timedelta | None"]
Backoff = Exponential | float | None | BackoffFunction

DEFAULT_BACKOFF = Exponential()
UNKNOWN_FIRST, UNKNOWN_MOST = 1.0, 60.0


class WorkerDied(Exception):
    """The worker that ran the job died under it (or its machine did)."""


class Policy(Protocol):
    """What `decide` needs of a task's options."""

    @property
    def max_retry(self) -> int: ...
    @property
    def backoff(self) -> Backoff: ...
    @property
    def retry_on(self) -> tuple[type[BaseException], ...]: ...
    @property
    def give_up_on(self) -> tuple[type[BaseException], ...]: ...
    @property
    def max_deaths(self) -> int: ...


class Standing(Protocol):
    """What `decide` needs of a job, as its claim has it."""

    @property
    def attempts(self) -> int: ...
    @property
    def claims(self) -> int: ...
    @property
    def deaths(self) -> int: ...
    @property
    def due_at(self) -> float: ...
    @property
    def enqueued_at(self) -> float: ...
    @property
    def deadline(self) -> float | None: ...


class Decision(NamedTuple):
    """Where the job goes, in how many seconds, and its new counts.

    ``reason`` is for people: why it is not repeated; empty where nothing is odd.
    """

    state: State
    delay: float = 0.0
    attempts: int = 0
    deaths: int = 0
    reason: str = ""


def decide(
    policy: Policy,
    job: Standing,
    error: BaseException | None,
    now: float,
    *,
    ours: bool = True,
    unknown_after: float = 7 * 86400.0,
    rand: Callable[[], float] = random.random,
) -> Decision:
    """What becomes of a job whose run ended with ``error`` (None: it returned).

    :param ours: the error is taskq's own finding (the task is unknown, the worker stops …). An
        error that came out of the task's function is the task's, whatever its class.
    :param now: the store's time, in seconds since the epoch.
    :param unknown_after: seconds after its enqueue for which a job whose task is unknown is kept.
    :param rand: gives numbers in [0, 1) for jitter.
    """
    attempt = job.attempts + 1
    if error is None:
        return Decision(State.SUCCEEDED, attempts=attempt)
    if isinstance(error, Snooze):
        return Decision(State.SCHEDULED, _wait(error.delay, now), job.attempts)
    if isinstance(error, Cancel):
        return Decision(State.CANCELLED, attempts=attempt)
    if ours:
        if isinstance(error, WorkerStopping):
            return Decision(State.READY, attempts=job.attempts, deaths=job.deaths)
        if isinstance(error, CancelRequested):
            return Decision(State.CANCELLED, attempts=attempt)
        if isinstance(error, WorkerDied):
            return _died(policy, job)
        if isinstance(error, TaskNotFound):
            return _unknown(job, now, unknown_after)

    def failed(reason: str) -> Decision:
        return Decision(State.FAILED, attempts=attempt, reason=reason)

    if isinstance(error, Fail):
        return failed("the task gave up")
    if ours:
        if isinstance(error, DeadlineExceeded):
            return failed("its deadline passed")
        if isinstance(error, DecodeError):
            return failed("its arguments cannot be read")
        if isinstance(error, EncodeError):
            return failed("its result cannot be stored")
    if isinstance(error, policy.give_up_on):
        return failed("give_up_on names this error")
    if not isinstance(error, Retry) and not isinstance(error, policy.retry_on):
        return failed("retry_on does not name this error")
    if attempt > policy.max_retry:
        return failed("out of attempts" if policy.max_retry else "it is not to be retried")
    if isinstance(error, Retry) and error.delay is not None:
        delay: float | None = _wait(error.delay, now)
    else:
        delay = _backoff(policy.backoff, attempt, error, rand)
    if delay is None:
        return failed("its backoff function gave up")
    if job.deadline is not None and now + delay >= job.deadline:
        return failed("its deadline would pass before the next attempt")
    return Decision(State.RETRYING, delay, attempt)


def _died(policy: Policy, job: Standing) -> Decision:
    deaths = job.deaths + 1
    if deaths >= max(policy.max_deaths, 1):
        return Decision(State.FAILED, 0.0, job.attempts, deaths, "killed its worker")
    return Decision(State.READY, 0.0, job.attempts, deaths)


def _unknown(job: Standing, now: float, unknown_after: float) -> Decision:
    since = max(job.enqueued_at, 0.0)
    if now - since > unknown_after:
        return Decision(State.FAILED, 0.0, job.attempts, job.deaths, "its task stayed unknown")
    delay = min(UNKNOWN_MOST, UNKNOWN_FIRST * 2.0 ** min(max(job.claims - 1, 0), 10))
    return Decision(State.RETRYING, delay, job.attempts, job.deaths)


def _backoff(
    backoff: Backoff, attempt: int, error: BaseException, rand: Callable[[], float]
) -> float | None:
    if backoff is None:
        return 0.0
    if isinstance(backoff, Exponential):
        return backoff.delay(attempt, rand())
    if isinstance(backoff, int | float):
        return float(backoff)
    try:
        made = backoff(attempt, error)
        return None if made is None else _wait(made, 0.0)
    except BaseException:  # a user's function: the job must not be lost over it
        logger.exception("a backoff function failed; the default backoff is used")
        return DEFAULT_BACKOFF.delay(attempt, rand())


def _wait(delay: float | timedelta | datetime, now: float) -> float:
    """Seconds to wait, never negative."""
    if isinstance(delay, datetime):
        return min(max(delay.timestamp() - now, 0.0), MAX_SECONDS)
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else float(delay)
    if not math.isfinite(seconds):
        raise ValueError(f"a delay takes a finite number of seconds, not {delay!r}")
    return min(max(seconds, 0.0), MAX_SECONDS)

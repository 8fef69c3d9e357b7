"""The retry logic as a table: how a run ended, and what becomes of its job."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    TimedOut,
    WorkerStopping,
)
from taskq.job import MAX_SECONDS, State
from taskq.options import Options
from taskq.retry import Decision, Exponential, WorkerDied, decide

NOW = 1_800_000_000.0
DAY = 86400.0


@dataclass
class Standing:
    """A job as its claim has it."""

    attempts: int = 0
    claims: int = 1
    deaths: int = 0
    due_at: float = NOW
    enqueued_at: float = NOW
    deadline: float | None = None


PLAIN = Options(max_retry=2, backoff=10.0)


def outcome(
    error: BaseException | None,
    job: Standing | None = None,
    policy: Options = PLAIN,
    *,
    ours: bool = True,
    rand: float = 0.5,
) -> Decision:
    return decide(policy, job or Standing(), error, NOW, ours=ours, rand=lambda: rand)


def succeeded(attempts: int) -> Decision:
    return Decision(State.SUCCEEDED, attempts=attempts)


def retrying(delay: float, attempts: int) -> Decision:
    return Decision(State.RETRYING, delay, attempts)


def failed(reason: str, attempts: int = 1) -> Decision:
    return Decision(State.FAILED, attempts=attempts, reason=reason)


def row(
    what: str,
    error: BaseException | None,
    becomes: Decision,
    *,
    ours: bool = True,
    policy: dict[str, Any] | None = None,
    **job: Any,
) -> Any:
    made = replace(PLAIN, **(policy or {}))
    return pytest.param(error, Standing(**job), made, ours, becomes, id=what)


IN_AN_HOUR = datetime.fromtimestamp(NOW + 3600, UTC)
AN_HOUR_AGO = datetime.fromtimestamp(NOW - 3600, UTC)
HOUR = timedelta(hours=1)

TABLE = [
    # -- it returned
    row("success", None, succeeded(1)),
    row("success on a later attempt", None, succeeded(3), attempts=2),
    row("success clears deaths", None, Decision(State.SUCCEEDED, attempts=1, deaths=0), deaths=2),
    # -- an exception: max_retry=2, so three attempts in all
    row("first failure", ValueError(), retrying(10, 1), attempts=0),
    row("last retry", ValueError(), retrying(10, 2), attempts=1),
    row("at max_retry", ValueError(), failed("out of attempts", 3), attempts=2),
    row("beyond max_retry", ValueError(), failed("out of attempts", 8), attempts=7),
    row(
        "max_retry=0",
        ValueError(),
        failed("it is not to be retried"),
        policy={"max_retry": 0},
    ),
    row("SystemExit counts as any failure", SystemExit(1), retrying(10, 1), ours=False),
    row("KeyboardInterrupt as well", KeyboardInterrupt(), retrying(10, 1), ours=False),
    row("a failure clears deaths", ValueError(), retrying(10, 1), deaths=2),
    # -- Retry
    row("Retry takes the backoff", Retry(), retrying(10, 1)),
    row("Retry(seconds)", Retry(delay=3), retrying(3, 1)),
    row("Retry(0) at once", Retry(delay=0), retrying(0, 1)),
    row("Retry(negative) at once", Retry(delay=-5), retrying(0, 1)),
    row("Retry(timedelta)", Retry(delay=HOUR), retrying(3600, 1)),
    row("Retry(datetime)", Retry(delay=IN_AN_HOUR), retrying(3600, 1)),
    row("Retry(past datetime)", Retry(delay=AN_HOUR_AGO), retrying(0, 1)),
    row("Retry(a century and more)", Retry(delay=1e300), retrying(MAX_SECONDS, 1)),
    row("Retry uses an attempt", Retry(delay=3), failed("out of attempts", 3), attempts=2),
    row("Retry needs no retry_on", Retry(), retrying(10, 1), policy={"retry_on": (OSError,)}),
    # -- Snooze
    row("Snooze", Snooze(7), Decision(State.SCHEDULED, 7, 0)),
    row("Snooze uses no attempt", Snooze(7), Decision(State.SCHEDULED, 7, 9), attempts=9),
    row("Snooze(timedelta)", Snooze(HOUR), Decision(State.SCHEDULED, 3600, 0)),
    row("Snooze(datetime)", Snooze(IN_AN_HOUR), Decision(State.SCHEDULED, 3600, 0)),
    row("Snooze(past)", Snooze(AN_HOUR_AGO), Decision(State.SCHEDULED, 0, 0)),
    # -- told so
    row("Cancel", Cancel("no"), Decision(State.CANCELLED, attempts=1)),
    row("CancelRequested", CancelRequested(), Decision(State.CANCELLED, attempts=1)),
    row("Fail with attempts left", Fail("no"), failed("the task gave up")),
    # -- times
    row("TimedOut is retried", TimedOut(), retrying(10, 1)),
    row("TimedOut at the last", TimedOut(), failed("out of attempts", 3), attempts=2),
    row("DeadlineExceeded", DeadlineExceeded(), failed("its deadline passed")),
    row(
        "no attempt after the deadline",
        ValueError(),
        failed("its deadline would pass before the next attempt"),
        deadline=NOW + 10,
    ),
    row("an attempt before the deadline", ValueError(), retrying(10, 1), deadline=NOW + 10.1),
    row(
        "Retry beyond the deadline",
        Retry(delay=60),
        failed("its deadline would pass before the next attempt"),
        deadline=NOW + 59,
    ),
    # -- the worker
    row("WorkerStopping", WorkerStopping(), Decision(State.READY, attempts=0)),
    row(
        "WorkerStopping changes no number",
        WorkerStopping(),
        Decision(State.READY, attempts=4, deaths=1),
        attempts=4,
        deaths=1,
    ),
    row("WorkerDied", WorkerDied(), Decision(State.READY, deaths=1)),
    row("WorkerDied again", WorkerDied(), Decision(State.READY, deaths=2), deaths=1),
    row(
        "WorkerDied too often",
        WorkerDied(),
        Decision(State.FAILED, deaths=3, reason="killed its worker"),
        deaths=2,
    ),
    row(
        "WorkerDied, max_deaths=0",
        WorkerDied(),
        Decision(State.FAILED, deaths=1, reason="killed its worker"),
        policy={"max_deaths": 0},
    ),
    row(
        "WorkerDied uses no attempt, even the last",
        WorkerDied(),
        Decision(State.READY, attempts=2, deaths=1),
        attempts=2,
    ),
    # -- bytes
    row("DecodeError", DecodeError("x"), failed("its arguments cannot be read")),
    row("EncodeError", EncodeError("x"), failed("its result cannot be stored")),
    # -- an unknown task
    row("unknown, at first", TaskNotFound(), retrying(1, 0), claims=1),
    row("unknown, later", TaskNotFound(), retrying(8, 0), claims=4),
    row("unknown, much later", TaskNotFound(), retrying(60, 0), claims=50),
    row("unknown, claimed for ever", TaskNotFound(), retrying(60, 0), claims=10**9),
    row("unknown uses no attempt", TaskNotFound(), retrying(1, 5), attempts=5),
    row(
        "unknown, almost a week",
        TaskNotFound(),
        retrying(60, 0),
        claims=99,
        enqueued_at=NOW - 7 * DAY + 1,
    ),
    row(
        "unknown for a week",
        TaskNotFound(),
        failed("its task stayed unknown", 0),
        enqueued_at=NOW - 7 * DAY - 1,
    ),
    # -- which errors
    row(
        "give_up_on",
        KeyError(),
        failed("give_up_on names this error"),
        policy={"give_up_on": (OSError, LookupError)},
    ),
    row(
        "give_up_on beats retry_on",
        KeyError(),
        failed("give_up_on names this error"),
        policy={"give_up_on": (KeyError,), "retry_on": (KeyError,)},
    ),
    row("retry_on names it", KeyError(), retrying(10, 1), policy={"retry_on": (LookupError,)}),
    row(
        "retry_on does not name it",
        ValueError(),
        failed("retry_on does not name this error"),
        policy={"retry_on": (OSError, LookupError)},
    ),
    # -- taskq's own errors that come out of the task's function are the task's
    row("TaskNotFound of the task's", TaskNotFound(), retrying(10, 1), ours=False),
    row("DecodeError of the task's", DecodeError("x"), retrying(10, 1), ours=False),
    row("EncodeError of the task's", EncodeError("x"), retrying(10, 1), ours=False),
    row("WorkerStopping of the task's", WorkerStopping(), retrying(10, 1), ours=False),
    row("DeadlineExceeded of the task's", DeadlineExceeded(), retrying(10, 1), ours=False),
    row("CancelRequested of the task's", CancelRequested(), retrying(10, 1), ours=False),
    row("WorkerDied of the task's", WorkerDied(), retrying(10, 1), ours=False),
    row("Fail of the task's", Fail(), failed("the task gave up"), ours=False),
    row("Cancel of the task's", Cancel(), Decision(State.CANCELLED, attempts=1), ours=False),
    row("Snooze of the task's", Snooze(7), Decision(State.SCHEDULED, 7, 0), ours=False),
    # -- backoffs
    row("no backoff", ValueError(), retrying(0, 1), policy={"backoff": None}),
    row("exponential, first", ValueError(), retrying(1, 1), policy={"backoff": Exponential()}),
    row(
        "exponential, fourth",
        ValueError(),
        retrying(8, 4),
        policy={"backoff": Exponential(), "max_retry": 25},
        attempts=3,
    ),
    row(
        "a huge attempt number is capped",
        ValueError(),
        retrying(6 * 3600, 10**9 + 1),
        policy={"backoff": Exponential(), "max_retry": 10**10},
        attempts=10**9,
    ),
    row(
        "a function of attempt and error",
        OSError(7, "x"),
        retrying(107, 1),
        policy={"backoff": lambda attempt, error: 100.0 * attempt + error.errno},
    ),
    row(
        "a function that gives a timedelta",
        ValueError(),
        retrying(3600, 1),
        policy={"backoff": lambda attempt, error: HOUR},
    ),
    row(
        "a function that gives up",
        ValueError(),
        failed("its backoff function gave up"),
        policy={"backoff": lambda attempt, error: None},
    ),
    row(
        "a function that raises: the default",
        ValueError(),
        retrying(1, 1),
        policy={"backoff": lambda attempt, error: 1 / 0},
    ),
    row(
        "a function that gives NaN: the default",
        ValueError(),
        retrying(1, 1),
        policy={"backoff": lambda attempt, error: math.nan},
    ),
    row(
        "a function that gives nonsense: the default",
        ValueError(),
        retrying(1, 1),
        policy={"backoff": lambda attempt, error: "soon"},
    ),
    row(
        "a function that gives less than nothing",
        ValueError(),
        retrying(0, 1),
        policy={"backoff": lambda attempt, error: -5},
    ),
    row(
        "a function that gives a century and more",
        ValueError(),
        retrying(MAX_SECONDS, 1),
        policy={"backoff": lambda attempt, error: 1e300},
    ),
]


@pytest.mark.parametrize(("error", "job", "policy", "ours", "becomes"), TABLE)
def test_what_becomes_of_a_job(
    error: BaseException | None, job: Standing, policy: Options, ours: bool, becomes: Decision
) -> None:
    assert outcome(error, job, policy, ours=ours) == becomes


def test_a_job_runs_max_retry_plus_one_times() -> None:
    """RTY-01"""
    for max_retry in (0, 1, 5, 25):
        policy = Options(max_retry=max_retry, backoff=None)
        job, runs = Standing(), 0
        while True:
            runs += 1
            made = outcome(ValueError(), job, policy)
            job = replace(job, attempts=made.attempts)
            if made.state is State.FAILED:
                break
        assert runs == max_retry + 1


def test_a_job_survives_max_deaths_less_one() -> None:
    """The death number ``max_deaths`` is the last one; with 0 the first one is."""
    for max_deaths, runs_wanted in ((0, 1), (1, 1), (2, 2), (3, 3), (10, 10)):
        policy = Options(max_deaths=max_deaths)
        job, runs = Standing(), 0
        while True:
            runs += 1
            made = outcome(WorkerDied(), job, policy)
            job = replace(job, deaths=made.deaths)
            if made.state is State.FAILED:
                break
        assert runs == runs_wanted


def test_unknown_after_can_be_set() -> None:
    job = Standing(enqueued_at=NOW - 61)
    kept = decide(PLAIN, job, TaskNotFound(), NOW, unknown_after=62)
    gone = decide(PLAIN, job, TaskNotFound(), NOW, unknown_after=60)
    assert (kept.state, gone.state) == (State.RETRYING, State.FAILED)


# -- delays -----------------------------------------------------------------------------------

attempt_numbers = st.integers(min_value=1, max_value=10**12)
shares = st.floats(min_value=0, max_value=1, exclude_max=True)
backoffs = st.builds(
    Exponential,
    base=st.floats(min_value=0, max_value=1e6),
    max=st.floats(min_value=0, max_value=1e9),
    jitter=st.floats(min_value=0, max_value=1),
)


@given(backoffs, attempt_numbers, shares)
def test_a_delay_lies_in_its_interval(backoff: Exponential, attempt: int, rand: float) -> None:
    """RTY-03, RTY-04"""
    plain = min(backoff.max, backoff.base * 2 ** min(attempt - 1, 60))
    slack = 1e-9 * plain
    delay = backoff.delay(attempt, rand)
    low, high = plain * (1 - backoff.jitter) - slack, plain * (1 + backoff.jitter) + slack
    assert low <= delay <= high


@given(st.integers(min_value=1, max_value=14), shares, shares)
def test_delays_grow_whatever_the_jitter(attempt: int, one: float, other: float) -> None:
    """RTY-03: by default, the intervals of successive attempts do not overlap."""
    backoff = Exponential()
    assert backoff.delay(attempt, one) < backoff.delay(attempt + 1, other)


@given(backoffs, attempt_numbers, shares)
def test_every_retry_delay_is_a_number_one_can_wait(
    backoff: Exponential, attempt: int, rand: float
) -> None:
    policy = Options(max_retry=10**15, backoff=backoff)
    made = outcome(ValueError(), Standing(attempts=attempt - 1), policy, rand=rand)
    assert made.state is State.RETRYING
    assert 0 <= made.delay < math.inf


def test_jitter_spreads() -> None:
    backoff = Exponential(base=100, jitter=0.2)
    assert [backoff.delay(1, rand) for rand in (0.0, 0.5, 1.0)] == pytest.approx([80, 100, 120])


def test_without_jitter_delays_are_exact() -> None:
    backoff = Exponential(base=1, max=10, jitter=0)
    assert [backoff.delay(n, 0.9) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_a_delay_may_be_a_timedelta() -> None:
    assert Exponential(base=timedelta(minutes=1)).base == 60  # type: ignore[arg-type]  # accepted all the same


@pytest.mark.parametrize(
    "wrong",
    [
        {"base": -1},
        {"base": math.nan},
        {"base": math.inf},
        {"max": "1"},
        {"max": True},
        {"jitter": -0.1},
        {"jitter": 1.1},
        {"jitter": None},
        {"base": 10**400},
    ],
)
def test_a_wrong_backoff_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match=r"Exponential\((base|max|jitter)\)"):
        Exponential(**wrong)


# -- what a task may raise ----------------------------------------------------------------------


@pytest.mark.parametrize("control", [Retry, Snooze])
@pytest.mark.parametrize(
    "delay", ["soon", True, math.nan, math.inf, datetime(2030, 1, 1), [1]], ids=repr
)
def test_a_wrong_delay_is_refused_where_it_is_raised(control: type, delay: object) -> None:
    with pytest.raises(InvalidOption, match="delay"):
        control(delay=delay)

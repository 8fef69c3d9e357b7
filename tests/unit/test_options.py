"""Task options: what each takes and refuses, and how app, task and call lie over each other."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_type_hints
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.errors import ConfigError, InvalidOption
from taskq.job import MAX_SECONDS, Moment
from taskq.options import (
    OPTIONS,
    CallOptions,
    DefaultOptions,
    Options,
    TaskOptions,
    Unique,
    arrived,
    defaults,
    moment,
    overlay,
)
from taskq.retry import Exponential

HOUR = timedelta(hours=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def doubled(attempt: int, error: BaseException) -> float:
    return 2.0 * attempt


def short(value: object) -> str:
    """For the tests' names, which must be the same in every process."""
    return str(getattr(value, "__name__", repr(value)[:40]))


RIGHT = [
    ("name", "mail.send", "mail.send"),
    ("name", "with blanks and ümlauts", "with blanks and ümlauts"),
    ("queue", "mail", "mail"),
    ("queue", "q" * 100, "q" * 100),
    ("queue", "e-mail:in/1.2_é", "e-mail:in/1.2_é"),
    ("priority", -100, -100),
    ("priority", 0, 0),
    ("priority", 100, 100),
    ("max_retry", 0, 0),
    ("max_retry", 1_000_000, 1_000_000),
    ("backoff", None, None),
    ("backoff", 0, 0.0),
    ("backoff", 1.5, 1.5),
    ("backoff", HOUR, 3600.0),
    ("backoff", Exponential(2), Exponential(2)),
    ("backoff", doubled, doubled),
    ("retry_on", OSError, (OSError,)),
    ("retry_on", (OSError, ValueError), (OSError, ValueError)),
    ("retry_on", [KeyError], (KeyError,)),
    ("retry_on", (), ()),
    ("give_up_on", SystemExit, (SystemExit,)),
    ("timeout", 0.5, 0.5),
    ("timeout", HOUR, 3600.0),
    ("timeout", None, None),
    ("timeout", MAX_SECONDS, MAX_SECONDS),
    ("deadline", 60, Moment(60.0)),
    ("deadline", HOUR, Moment(3600.0)),
    ("deadline", -1, Moment(-1.0)),
    ("deadline", EPOCH + HOUR, Moment(3600.0, absolute=True)),
    ("deadline", None, None),
    ("expires", 1, 1.0),
    ("expires", None, None),
    ("unique", True, Unique()),
    ("unique", False, None),
    ("unique", None, None),
    ("unique", 60, Unique(ttl=60)),
    ("unique", HOUR, Unique(ttl=3600)),
    ("unique", Unique(by=["a"]), Unique(by=("a",))),
    ("on_duplicate", "return", "return"),
    ("on_duplicate", "raise", "raise"),
    ("on_duplicate", "replace", "replace"),
    ("keep", 0, 0.0),
    ("keep", HOUR, 3600.0),
    ("keep", None, None),
    ("tags", ["a", "b"], ("a", "b")),
    ("tags", (), ()),
    ("tags", {"a"}, ("a",)),
    ("headers", {"trace": "1"}, {"trace": "1"}),
    ("headers", {}, {}),
    ("max_deaths", 0, 0),
    ("max_deaths", 1000, 1000),
    ("job_id", "order-7", "order-7"),
    ("job_id", "i" * 128, "i" * 128),
]

NO_SECONDS = ["5", True, [1], math.nan, math.inf, -math.inf, 10**400, MAX_SECONDS + 1]
NO_SECONDS += [timedelta.max, timedelta(days=40_000)]
NO_NAME = ["", None, 5, b"mail", "two\nlines", "nul\0"]
NAIVE = datetime(2030, 1, 1)

WRONG: list[tuple[str, Any]] = [
    *(("name", value) for value in [*NO_NAME, "n" * 501]),
    *(("queue", value) for value in [*NO_NAME, "a,b", "a=b", "a b", "q" * 101]),
    *(("priority", value) for value in [-101, 101, 1.0, "1", True, None, math.nan, 10**400]),
    *(("max_retry", value) for value in [-1, 1_000_001, 1.0, "1", True, None, math.inf]),
    *(("backoff", value) for value in ["1", True, -1, -HOUR, math.nan, math.inf, [1], 10**400]),
    *(("retry_on", value) for value in [5, "OSError", (OSError, 5), OSError(), None, int]),
    *(("give_up_on", value) for value in [5, "OSError", [OSError, None], object]),
    *(("timeout", value) for value in [*NO_SECONDS, 0, -1, timedelta(0)]),
    *(("deadline", value) for value in [*NO_SECONDS, NAIVE]),
    *(("expires", value) for value in [*NO_SECONDS, 0, -1, NAIVE]),
    *(("unique", value) for value in [0, -1, "yes", math.nan, math.inf, ["a"], timedelta.max]),
    *(("on_duplicate", value) for value in ["ignore", "", None, True, "Return"]),
    *(("keep", value) for value in [*NO_SECONDS, -1, -HOUR]),
    *(("tags", value) for value in ["abc", 5, None, [1], [""], ["a\nb"], [None], b"abc"]),
    *(("headers", value) for value in [["a"], "a", {"a": 1}, {1: "a"}, {"a": None}, None]),
    *(("max_deaths", value) for value in [-1, 1001, 1.0, None, True]),
    *(("job_id", value) for value in ["", 5, None, "i" * 129, "ü" * 65, "a\nb", "\udc80"]),
]


def where_it_goes(name: str) -> str:
    return OPTIONS[name].where[-1]


@pytest.mark.parametrize(("name", "value", "means"), RIGHT, ids=short)
def test_a_right_value_is_taken(name: str, value: Any, means: Any) -> None:
    for where in OPTIONS[name].where:
        if name == "backoff" and value is doubled and where == "call":
            continue
        assert getattr(overlay(Options(), {name: value}, where), name) == means


@pytest.mark.parametrize(("name", "value"), WRONG, ids=short)
def test_a_wrong_value_is_refused_by_name(name: str, value: Any) -> None:
    """ORD-03 among others"""
    with pytest.raises(InvalidOption, match=name) as raised:
        overlay(Options(), {name: value}, where_it_goes(name))
    assert len(str(raised.value)) < 400


def test_every_option_has_right_and_wrong_rows() -> None:
    assert {name for name, *_ in RIGHT} == set(OPTIONS)
    assert {name for name, *_ in WRONG} == set(OPTIONS)


def test_the_error_can_be_caught_in_several_ways() -> None:
    for kind in (InvalidOption, ConfigError, TypeError, ValueError):
        with pytest.raises(kind):
            overlay(Options(), {"priority": "high"}, "task")


# -- names and places ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "typo", "meant"),
    [
        ("task", "que", "queue"),
        ("task", "priorty", "priority"),
        ("task", "max_retries", "max_retry"),
        ("task", "time_out", "timeout"),
        ("call", "expire", "expires"),
        ("app", "backof", "backoff"),
    ],
)
def test_a_typo_is_refused_with_a_hint(where: str, typo: str, meant: str) -> None:
    with pytest.raises(InvalidOption, match=f"unknown option '{typo}'; did you mean {meant}"):
        overlay(Options(), {typo: 1}, where)


def test_what_is_like_nothing_is_refused_with_the_list() -> None:
    with pytest.raises(InvalidOption, match=r"unknown option 'xyzzy'.*queue.*job_id"):
        overlay(Options(), {"xyzzy": 1}, "call")


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        ("app", "name", "x"),
        ("call", "name", "x"),
        ("call", "retry_on", OSError),
        ("call", "give_up_on", OSError),
        ("call", "max_deaths", 1),
        ("app", "job_id", "x"),
        ("task", "job_id", "x"),
    ],
)
def test_an_option_in_the_wrong_place_is_refused(where: str, name: str, value: Any) -> None:
    with pytest.raises(InvalidOption, match=f"{name} is an option of the .* not of the {where}"):
        overlay(Options(), {name: value}, where)


@pytest.mark.parametrize(
    ("declared", "where"), [(DefaultOptions, "app"), (TaskOptions, "task"), (CallOptions, "call")]
)
def test_type_checkers_know_the_same_options(declared: type, where: str) -> None:
    allowed = {option.name for option in OPTIONS.values() if where in option.where}
    assert set(get_type_hints(declared)) == allowed


def test_every_option_says_what_it_takes_and_does() -> None:
    for option in OPTIONS.values():
        assert option.takes
        assert option.doc.endswith(".")


def test_the_defaults() -> None:
    made = defaults()
    assert set(made) == set(OPTIONS)
    assert (made["queue"], made["priority"], made["max_retry"]) == ("default", 0, 25)
    assert (made["timeout"], made["on_duplicate"], made["unique"]) == (1800.0, "return", None)
    assert made["backoff"] == Exponential()


# -- one over the other ----------------------------------------------------------------


def test_task_lies_over_app_and_call_over_both() -> None:
    app = overlay(Options(), {"queue": "a", "priority": 1, "timeout": 10, "max_retry": 3}, "app")
    task = overlay(app, {"queue": "t", "priority": 2, "timeout": None}, "task")
    call = overlay(task, {"queue": "c"}, "call")
    assert (call.queue, call.priority, call.timeout, call.max_retry) == ("c", 2, None, 3)
    assert (task.queue, app.queue, app.timeout) == ("t", "a", 10.0)


def test_tags_add_up_without_repeating() -> None:
    app = overlay(Options(), {"tags": ["a", "b"]}, "app")
    call = overlay(overlay(app, {"tags": ["b", "c"]}, "task"), {"tags": ["a", "d"]}, "call")
    assert call.tags == ("a", "b", "c", "d")


def test_headers_merge_and_the_nearer_one_counts() -> None:
    app = overlay(Options(), {"headers": {"a": "app", "b": "app"}}, "app")
    task = overlay(app, {"headers": {"b": "task", "c": "task"}}, "task")
    call = overlay(task, {"headers": {"c": "call"}}, "call")
    assert call.headers == {"a": "app", "b": "task", "c": "call"}
    assert app.headers == {"a": "app", "b": "app"}


def test_later_changes_of_what_was_given_do_not_count() -> None:
    headers, tags = {"a": "1"}, ["a"]
    made = overlay(Options(), {"headers": headers, "tags": tags}, "task")
    headers["b"] = "2"
    tags.append("b")
    assert (made.headers, made.tags) == ({"a": "1"}, ("a",))


def test_unique_can_be_switched_off_for_a_call() -> None:
    task = overlay(Options(), {"unique": 60}, "task")
    assert overlay(task, {"unique": False}, "call").unique is None


# -- what travels with a call ----------------------------------------------------------


@pytest.mark.parametrize(
    "for_call",
    [
        {},
        {"max_retry": 3},
        {"timeout": 5},
        {"timeout": None},
        {"backoff": 2.5},
        {"backoff": None},
        {"backoff": HOUR},
        {"backoff": Exponential(2, 60, 0)},
    ],
    ids=repr,
)
def test_what_the_worker_has_to_know_arrives(for_call: dict[str, Any]) -> None:
    task = Options(max_retry=7, timeout=70.0, backoff=Exponential(7), priority=3)
    call = overlay(task, for_call, "call")
    there = arrived(task, json.loads(json.dumps(call.travels)))
    for name in ("max_retry", "timeout", "backoff"):
        assert getattr(there, name) == getattr(call, name)
    assert set(call.travels) == set(for_call)


def test_what_the_task_says_does_not_travel() -> None:
    task = overlay(Options(), {"max_retry": 3, "timeout": 5, "queue": "low"}, "task")
    assert overlay(task, {"priority": 1}, "call").travels == {}


def test_a_function_does_not_travel() -> None:
    with pytest.raises(InvalidOption, match="function"):
        overlay(Options(), {"backoff": doubled}, "call")


def test_what_a_newer_taskq_sent_is_left_alone() -> None:
    assert arrived(Options(), {"colour": "blue"}) == Options()


@pytest.mark.parametrize(
    "sent", [{"max_retry": "3"}, {"timeout": -1}, {"backoff": [1, 2, "x"]}, {"backoff": "x"}]
)
def test_nonsense_that_arrives_is_refused(sent: dict[str, Any]) -> None:
    with pytest.raises((InvalidOption, TypeError)):
        arrived(Options(), sent)


# -- moments and uniqueness ------------------------------------------------------------


def test_the_same_instant_in_any_zone() -> None:
    """DLY-06"""
    berlin = datetime(2030, 7, 1, 14, 0, tzinfo=ZoneInfo("Europe/Berlin"))
    india = datetime(2030, 7, 1, 17, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    utc = datetime(2030, 7, 1, 12, 0, tzinfo=UTC)
    assert moment("when", berlin) == moment("when", india) == moment("when", utc)


def test_the_two_instants_of_a_repeated_hour_are_told_apart() -> None:
    first = datetime(2030, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    second = first.replace(fold=1)
    assert moment("when", second).seconds - moment("when", first).seconds == 3600


@given(st.datetimes(timezones=st.timezones()))
def test_every_aware_datetime_is_an_instant(when: datetime) -> None:
    made = moment("when", when)
    assert made.absolute
    assert made.seconds == pytest.approx((when.astimezone(UTC) - EPOCH).total_seconds(), abs=1e-3)


def test_a_naive_datetime_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidOption, match=r"apply_at\(when\) is a naive datetime.*time zone"):
        moment("apply_at(when)", NAIVE)


@pytest.mark.parametrize("when", ["2030-01-01T00:00:00Z", None, [1], True, math.nan, 10**400])
def test_what_is_no_time_is_refused(when: object) -> None:
    with pytest.raises(InvalidOption, match="when"):
        moment("when", when)


@pytest.mark.parametrize(
    "wrong",
    [
        {"by": 5},
        {"by": [5]},
        {"by": [""]},
        {"ttl": 0},
        {"ttl": -1},
        {"ttl": math.nan},
        {"ttl": "60"},
        {"until": "end"},
        {"until": None},
    ],
    ids=repr,
)
def test_a_wrong_unique_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match=f"Unique.{next(iter(wrong))}"):
        Unique(**wrong)


def test_unique_takes_one_name_as_well() -> None:
    assert Unique(by="user_id").by == ("user_id",)

"""The key of a unique job: equal for equal calls, however they are written."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq import TaskQ
from taskq.codec import Codec, Hints
from taskq.errors import EncodeError, InvalidOption
from taskq.job import Lock
from taskq.options import Options, Unique, overlay
from taskq.unique import lock_of


@dataclass(frozen=True)
class Point:
    x: int
    y: int = 0


def send(user_id: Any, subject: Any = "hello", *, options: Any = None) -> None: ...


def many(*rows: Any, **fields: Any) -> None: ...


def typed(point: Point, when: datetime | None = None) -> None: ...


def lock(fn: Callable[..., None], unique: object, *args: Any, **kwargs: Any) -> Lock:
    options = overlay(Options(), {"unique": unique}, "task")
    made = lock_of(
        "tasks.send", inspect.signature(fn), Hints.of(fn), options, Codec(), args, kwargs
    )
    assert made is not None
    return made


def key(fn: Callable[..., None], *args: Any, by: Any = None, **kwargs: Any) -> str:
    return lock(fn, Unique(by=by), *args, **kwargs).key


SAME = [
    (key(send, 7), key(send, user_id=7), "by position or by name"),
    (key(send, 7), key(send, 7, "hello"), "default left out or given"),
    (key(send, 7), key(send, 7, options=None), "keyword default given"),
    (key(send, 7, subject="x"), key(send, subject="x", user_id=7), "order of names"),
    (key(send, {"a": 1, "b": 2}), key(send, {"b": 2, "a": 1}), "order of a mapping"),
    (key(send, [{"a": {"c": 1, "b": 2}}]), key(send, [{"a": {"b": 2, "c": 1}}]), "deep inside"),
    (key(send, {1: 2, 3: 4}), key(send, {3: 4, 1: 2}), "order of a mapping with numbers as keys"),
    (key(send, {1, 2, 30}), key(send, {30, 2, 1}), "order of a set"),
    (key(many, a=1, b=2), key(many, b=2, a=1), "order of further names"),
    (key(typed, Point(1)), key(typed, Point(1, 0)), "a dataclass with its default"),
    (
        key(send, 7, "x", by="user_id"),
        key(send, 7, "y", by=["user_id"]),
        "by names what counts",
    ),
]
DIFFERENT = [
    (key(send, 7), key(send, 8), "another value"),
    (key(send, 7), key(send, "7"), "another type"),
    (key(send, [1, 2]), key(send, [2, 1]), "another order of a list"),
    (key(send, {"a": 1}), key(send, {"a": 2}), "another value of a mapping"),
    (key(send, 7, "x"), key(send, 7, options="x"), "another parameter"),
    (key(many, 1, 2), key(many, [1, 2]), "nested or not"),
    (key(many, a=1), key(many, b=1), "another name"),
    (key(send, None), key(send, ""), "nothing and empty"),
    (key(send, {"$set": [1]}), key(send, {1}), "a mapping that looks like a set"),
    (key(typed, Point(1, 2)), key(typed, Point(2, 1)), "another dataclass"),
    (key(send, Decimal("1.0")), key(send, 1.0), "Decimal and float"),
    (key(send, 7, by="user_id"), key(send, 7, by=["user_id", "subject"]), "other parameters"),
]


@pytest.mark.parametrize(("one", "other", "what"), SAME, ids=[row[2] for row in SAME])
def test_equal_calls_have_the_same_key(one: str, other: str, what: str) -> None:
    """UNQ-03"""
    assert one == other, what


@pytest.mark.parametrize(("one", "other", "what"), DIFFERENT, ids=[row[2] for row in DIFFERENT])
def test_different_calls_have_different_keys(one: str, other: str, what: str) -> None:
    """UNQ-03"""
    assert one != other, what


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.uuids() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), values, max_size=5), st.randoms())
def test_the_order_of_keys_never_matters(value: dict[str, Any], rand: Any) -> None:
    items = list(value.items())
    rand.shuffle(items)
    assert key(send, dict(items)) == key(send, value)


@given(values, values)
def test_different_values_are_kept_apart(one: Any, other: Any) -> None:
    same = repr(one) == repr(other)
    assert (key(send, one) == key(send, other)) is same or one == other


def test_a_key_is_short_and_printable_however_long_the_arguments() -> None:
    made = key(send, "x" * 100_000)
    assert len(made) == 40
    assert int(made, 16) >= 0


def test_the_key_of_a_call_is_the_same_in_every_release() -> None:
    """Or a deploy would let every unique job in once more."""
    recorded = "7ba400ce3674ee6dd1ff68a561162a6dc94b28f1"
    when = datetime(2030, 1, 1, tzinfo=UTC)
    assert key(send, UUID(int=7), [when, {1, 2}], options={"a": 1.5}) == recorded


def test_another_task_has_another_key() -> None:
    options = overlay(Options(), {"unique": True}, "task")
    args: Any = (inspect.signature(send), Hints.of(send), options, Codec(), (7,), {})
    one, other = lock_of("a", *args), lock_of("b", *args)
    assert one is not None
    assert other is not None
    assert one.key != other.key


def test_the_lock_says_how_long_and_what_then() -> None:
    assert lock(send, True, 7)._replace(key="") == Lock("", None, False, "return")
    assert lock(send, 60, 7)._replace(key="") == Lock("", 60.0, False, "return")
    unique = Unique(ttl=5, until="start")
    assert lock(send, unique, 7)._replace(key="") == Lock("", 5.0, True, "return")


def test_without_unique_there_is_no_lock() -> None:
    args: Any = ("a", inspect.signature(send), Hints.of(send), Options(), Codec(), (7,), {})
    assert lock_of(*args) is None


def test_by_must_name_parameters() -> None:
    with pytest.raises(InvalidOption, match=r"'user'.*user_id, subject, options"):
        key(send, 7, by=["user"])


def test_by_is_checked_when_the_task_is_declared() -> None:
    app = TaskQ("memory://")
    with pytest.raises(InvalidOption, match="names 'user'"):
        app.task(unique=Unique(by=["user"]))(send)
    app.forget()


def test_by_may_leave_out_what_cannot_be_compared() -> None:
    assert key(send, 7, object(), by="user_id") == key(send, 7, by="user_id")


def test_what_cannot_travel_is_refused() -> None:
    with pytest.raises(EncodeError, match="user_id"):
        key(send, object())


def test_large_arguments_may_be_unique_too() -> None:
    """The setting max_size counts for the key as it does for the call."""
    app = TaskQ("memory://", max_size=5_000_000)
    assert app.task(unique=True)(send).delay("x" * 2_000_000).created
    app.forget()

"""Whatever can be encoded comes back exactly as it was."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import attrs
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.codec import Call, Codec, Hints
from taskq.errors import DecodeError, EncodeError


class Color(Enum):
    RED = 1
    GREEN = "g"


class Point(NamedTuple):
    x: Any
    y: Any = None


@dataclass(frozen=True)
class Pair:
    left: Any
    right: Any = field(default=None)


@attrs.frozen
class Wrap:
    inside: Any


class Model(pydantic.BaseModel):
    a: Any
    b: Any = None


CODEC = Codec(types=[Color, Point, Pair, Wrap, Model])

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
offsets = st.integers(-86_399, 86_399).map(lambda seconds: timezone(timedelta(seconds=seconds)))
zones = st.none() | st.timezones() | offsets
folds = st.integers(0, 1)
moments = st.datetimes(timezones=zones, allow_imaginary=True)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.binary(max_size=20)
    | st.builds(lambda moment, fold: moment.replace(fold=fold), moments, folds)
    | st.dates()
    | st.times(timezones=zones)
    | st.timedeltas()
    | st.decimals()
    | st.uuids()
    | st.sampled_from(Color)
    | st.builds(PurePosixPath, texts)
)
keys = st.recursive(
    leaves.filter(lambda value: not (isinstance(value, Decimal) and value.is_nan())),
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.frozensets(inner, max_size=3)
        | st.builds(Point, inner, inner)
        | st.builds(Pair, inner)
    ),
    max_leaves=5,
)
values = st.recursive(
    leaves | st.sets(keys, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(texts, inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["$set", "$dict", "$as_is", "$", "$x"]), inner, max_size=2
        )
        | st.builds(Point, inner, inner)
        | st.builds(Pair, inner, inner)
        | st.builds(Wrap, inner)
    ),
    max_leaves=20,
)


def shape(value: Any) -> Any:
    """The value as something that only an exact copy equals."""
    kind = type(value)
    match value:
        case set() | frozenset():
            return kind, sorted(repr(shape(one)) for one in value)
        case dict():
            return kind, [(shape(key), shape(one)) for key, one in value.items()]
        case list() | tuple():
            return kind, [shape(one) for one in value]
        case Pair():
            return kind, shape(value.left), shape(value.right)
        case Wrap():
            return kind, shape(value.inside)
        case datetime():
            offset = value.utcoffset()
            zone = getattr(value.tzinfo, "key", None)
            return kind, value.replace(tzinfo=None).isoformat(), offset, zone, value.fold
        case _:
            return kind, repr(value)


@given(value=values)
def test_a_value_comes_back_exactly(value: Any) -> None:
    assert shape(CODEC.decode(CODEC.encode(value))) == shape(value)


@given(value=values)
def test_whatever_the_hint_a_value_comes_back_exactly(value: Any) -> None:
    for hint in (set[int], tuple[datetime, ...], Pair | None, dict[int, datetime], Model, Color):
        assert shape(CODEC.decode(CODEC.encode(value, hint), hint)) == shape(value)


@given(args=st.lists(values, max_size=3), kwargs=st.dictionaries(texts, values, max_size=3))
def test_a_call_comes_back_exactly(args: list[Any], kwargs: dict[str, Any]) -> None:
    call = Call(tuple(args), kwargs, {"a": "b"}, ("t",), {"o": args})
    signed = Codec(sign_with="key", types=[Color, Point, Pair, Wrap])
    for codec in (CODEC, signed):
        back = codec.decode_call(codec.encode_call(call))
        assert shape(back.args) == shape(call.args)
        assert shape(back.kwargs) == shape(call.kwargs)
        assert shape(back.options) == shape(call.options)


@given(a=keys, b=values)
def test_a_model_comes_back_exactly(a: Any, b: Any) -> None:
    back = CODEC.decode(CODEC.encode(Model(a=a, b=b)))
    assert type(back) is Model
    assert shape([back.a, back.b]) == shape([a, b])


@given(value=st.floats() | st.text(st.characters(), max_size=5))
def test_what_is_no_json_is_refused_before_anything_is_written(value: float | str) -> None:
    if isinstance(value, float):
        good = math.isfinite(value)
    else:
        good = not any("\ud800" <= one <= "\udfff" for one in value)
    call = Call(({"a": [value]},))
    if good:
        assert CODEC.decode_call(CODEC.encode_call(call)) == call
    else:
        with pytest.raises(EncodeError) as caught:
            CODEC.encode_call(call)
        assert caught.value.path == "args[0]['a'][0]"


def work(a: datetime, b: set[int], *c: Pair | None, d: dict[int, Color]) -> None: ...


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | texts | st.dates().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@given(args=st.lists(plain, max_size=4), d=plain)
def test_what_is_accepted_at_the_call_is_accepted_by_the_worker(args: list[Any], d: Any) -> None:
    hints = Hints.of(work)
    try:
        data = CODEC.encode_call(Call(tuple(args), {"d": d}), hints)
    except EncodeError:
        return
    try:
        CODEC.decode_call(data, hints)
    except DecodeError as error:
        raise AssertionError("accepted and lost") from error


@given(value=values)
def test_a_canonical_form_does_not_depend_on_order(value: Any) -> None:
    def turned(value: Any) -> Any:
        if type(value) is dict:
            return {key: turned(one) for key, one in reversed(value.items())}
        return [turned(one) for one in value] if type(value) is list else value

    assert CODEC.canonical(turned(value)) == CODEC.canonical(value)

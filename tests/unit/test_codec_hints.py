"""Plain JSON, as other languages write it, built up by what the annotations say."""

from __future__ import annotations

import enum
import functools
import json
import pathlib
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import pydantic
import pytest
from typing_extensions import TypeAliasType

from taskq.codec import Call, Codec, Hints
from taskq.errors import DecodeError, EncodeError

if TYPE_CHECKING:
    from nowhere import Missing


class Color(enum.Enum):
    RED = "r"
    GREEN = "g"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass
class Line:
    name: str
    price: Decimal = Decimal(0)
    on: date | None = None
    until: date = None  # type: ignore[assignment]  # what is tested


@dataclass
class Order:
    id: int
    lines: list[Line]
    above: Order | None = None
    size: int = field(init=False, default=0)


class Point(NamedTuple):
    x: int
    at: datetime | None = None


@attrs.define
class Customer:
    name: str
    born: date
    _code: UUID | None = None


class User(pydantic.BaseModel):
    name: str
    born: date


class Movie(TypedDict, total=False):
    year: int
    seen: date
    sequels: list[Movie]


T = TypeVar("T")
D = TypeVar("D", bound=date)
C = TypeVar("C", date, UUID)


@dataclass
class Box(Generic[T]):
    content: T
    more: list[T] = field(default_factory=list)


ALIAS = TypeAliasType("ALIAS", list[date])
GENERIC = TypeAliasType("GENERIC", dict[str, T], type_params=(T,))

NEW_YEAR = date(2024, 1, 1)
ID = UUID("12345678-1234-5678-1234-567812345678")

FITTING: list[tuple[Any, str, Any]] = [
    (datetime, '"2024-01-01T00:00:00Z"', datetime(2024, 1, 1, tzinfo=UTC)),
    (datetime, '"2024-01-01 10:30"', datetime(2024, 1, 1, 10, 30)),
    (
        datetime,
        '"2024-07-01T10:00[Europe/Berlin]"',
        datetime(2024, 7, 1, 10, tzinfo=ZoneInfo("Europe/Berlin")),
    ),
    (date, '"2024-01-01"', NEW_YEAR),
    (date, '{"$datetime": "2024-01-01T00:00"}', datetime(2024, 1, 1)),
    (time, '"10:30"', time(10, 30)),
    (timedelta, "90", timedelta(seconds=90)),
    (timedelta, "0.5", timedelta(milliseconds=500)),
    (Decimal, '"1.10"', Decimal("1.10")),
    (Decimal, "1.1", Decimal("1.1")),
    (Decimal, "12345678901234567890", Decimal("12345678901234567890")),
    (UUID, f'"{ID}"', ID),
    (pathlib.Path, '"a/b"', pathlib.Path("a/b")),
    (pathlib.PurePath, '"a/b"', pathlib.Path("a/b")),
    (Color, '"g"', Color.GREEN),
    (Right, "3", Right.READ | Right.WRITE),
    (tuple, "[1, [2]]", (1, [2])),
    (tuple[int, date], '[1, "2024-01-01"]', (1, NEW_YEAR)),
    (tuple[date, ...], '["2024-01-01"]', (NEW_YEAR,)),
    (tuple[()], "[]", ()),
    (set, "[1, 1, 2]", {1, 2}),
    (set[date], '["2024-01-01"]', {NEW_YEAR}),
    (frozenset[tuple[int, int]], "[[1, 2]]", frozenset({(1, 2)})),
    (AbstractSet[int], "[1]", {1}),
    (list[date], '["2024-01-01"]', [NEW_YEAR]),
    (Sequence[date], '["2024-01-01"]', [NEW_YEAR]),
    (Iterable[set[int]], "[[1]]", [{1}]),
    (Collection[Color], '["r"]', [Color.RED]),
    (dict[str, date], '{"a": "2024-01-01"}', {"a": NEW_YEAR}),
    (dict[int, str], '{"1": "a", "-2": "b"}', {1: "a", -2: "b"}),
    (dict[date, int], '{"2024-01-01": 1}', {NEW_YEAR: 1}),
    (Mapping[Color, list[date]], '{"r": ["2024-01-01"]}', {Color.RED: [NEW_YEAR]}),
    (Annotated[date, "note"], '"2024-01-01"', NEW_YEAR),
    (D, '"2024-01-01"', NEW_YEAR),
    (C, f'"{ID}"', ID),
    (ALIAS, '["2024-01-01"]', [NEW_YEAR]),
    (GENERIC[list[date]], '{"a": ["2024-01-01"]}', {"a": [NEW_YEAR]}),
    (Literal["a", 1], '"a"', "a"),
    (Line, '{"name": "x"}', Line("x")),
    (
        Line,
        '{"name": "x", "price": "1.5", "on": "2024-01-01", "until": null}',
        Line("x", Decimal("1.5"), NEW_YEAR),
    ),
    (
        Order,
        '{"id": 1, "lines": [{"name": "x"}], "above": {"id": 2, "lines": []}}',
        Order(1, [Line("x")], Order(2, [])),
    ),
    (Point, '{"x": 1, "at": "2024-01-01T00:00"}', Point(1, datetime(2024, 1, 1))),
    (
        Customer,
        f'{{"name": "a", "born": "2024-01-01", "_code": "{ID}"}}',
        Customer("a", NEW_YEAR, ID),
    ),
    (User, '{"name": "a", "born": "2024-01-01"}', User(name="a", born=NEW_YEAR)),
    (Movie, '{"seen": "2024-01-01", "x": 1}', {"seen": NEW_YEAR, "x": 1}),
    (Movie, '{"sequels": [{"seen": "2024-01-01"}]}', {"sequels": [{"seen": NEW_YEAR}]}),
    (Box[date], '{"content": "2024-01-01", "more": []}', Box(NEW_YEAR)),
    (Box[int], '{"content": "x"}', Box("x")),
    (Box[Line], '{"content": {"name": "x"}}', Box(Line("x"))),
    (Box[list[date]], '{"content": ["2024-01-01"]}', Box([NEW_YEAR])),
    (Line | None, "null", None),
    (Line | None, '{"name": "x"}', Line("x")),
    (Line | dict[str, int], '{"name": 1}', {"name": 1}),
    (date | str, '"2024-01-01"', "2024-01-01"),
    (date | int, '"2024-01-01"', NEW_YEAR),
    (UUID | date, '"2024-01-01"', NEW_YEAR),
    (Decimal | float, "1", 1),
    (Decimal | bool, "true", True),
    (int | date, "true", True),
    (list[int] | list[date], '["2024-01-01"]', [NEW_YEAR]),
    (list[int] | list[date], "[1]", [1]),
    (Line | Point, '{"x": 1}', Point(1)),
    (Line | Any, "5", 5),
    (Sequence[str] | date, '["a"]', ["a"]),
    (Movie | Line, '{"year": 1}', {"year": 1}),
    (Literal["today"] | date, '"today"', "today"),
    (Color | None | date, '"2024-01-01"', NEW_YEAR),
    (int, '"text"', "text"),
    (list[int], '"text"', "text"),
    (bytes, '{"$bytes": "eA=="}', b"x"),
    (type[Line], '"text"', "text"),
    (Callable[[Line], Line], "1", 1),
    ("Missing", "1", 1),
]


@pytest.mark.parametrize(("hint", "text", "value"), FITTING)
def test_plain_json_becomes_what_the_hint_says(hint: Any, text: str, value: Any) -> None:
    back = Codec().decode(text.encode(), hint)
    assert back == value
    assert type(back) is type(value)


MISFITS: list[tuple[Any, str, str]] = [
    (datetime, '"x"', "value expected datetime.datetime, found str"),
    (datetime, "null", "value expected datetime.datetime, found None"),
    (datetime, "1", "found int"),
    (datetime, '"2024-01-01T00:00[No/Where]"', "time zone 'No/Where'"),
    (datetime, '"2024-01-01T00:00[../../etc/passwd]"', "ISO 8601"),
    (date, '"2024-02-30"', "datetime.date"),
    (time, '"25:00"', "datetime.time"),
    (timedelta, "true", "found bool"),
    (timedelta, "1e300", "out of range"),
    (Decimal, '"x"', "decimal.Decimal"),
    (Decimal, '"1e99999999999999999999"', "decimal.Decimal"),
    (Decimal, "true", "found bool"),
    (UUID, '"x"', "uuid.UUID"),
    (pathlib.Path, "{}", "pathlib.Path"),
    (Color, '"blue"', "is not a value of .*Color"),
    (Color, "[]", "is not a value of .*Color"),
    (Right, "9", "is not a value of .*Right"),
    (set[int], '"text"', "expected set"),
    (set[list[int]], "[[1]]", "expected set"),
    (tuple[int, date], "[1]", "2 items, found 1"),
    (tuple[int, date], '"ab"', "expected a tuple"),
    (list[date], '"text"', "expected list, found str"),
    (dict[str, date], "[]", "expected a dict"),
    (dict[int, str], '{"x": ""}', "whole numbers"),
    (dict[int, str], '{"1": "", "01": ""}', "keys are equal"),
    (Line, "[]", "expected .*Line, found list"),
    (Line, "null", "found None"),
    (Line, "{}", "did not accept its fields.*'name'"),
    (Line, '{"name": "x", "nmae": 1}', "no field 'nmae'"),
    (Order, '{"id": 1, "lines": [], "size": 1}', "size .*computed"),
    (Order, '{"id": 1, "lines": [{"name": "x", "on": "y"}]}', r"value.lines\[0\].on expected"),
    (Order | None, '{"id": 1, "lines": [5]}', r"value.lines\[0\] expected"),
    (Order | Line, "5", "expected .*Order | .*Line, found int"),
    (User, "5", "is not a .*User"),
    (Movie, "5", "expected .*Movie"),
    (Movie, '{"seen": 1}', r"value\['seen'\]"),
    (UUID | date, '"x"', "expected uuid.UUID | datetime.date, found str"),
    (Box[date], '{"content": 1}', "value.content"),
]


@pytest.mark.parametrize(("hint", "text", "told"), MISFITS)
def test_what_does_not_fit_is_told(hint: Any, text: str, told: str) -> None:
    with pytest.raises(DecodeError, match=told):
        Codec().decode(text.encode(), hint)

    def work(x: Any) -> None: ...

    work.__annotations__["x"] = hint
    with pytest.raises(DecodeError, match=r"^args\[0\]"):
        Codec().decode_call(b'{"a": [%s]}' % text.encode(), Hints.of(work))
    with pytest.raises(EncodeError) as caught:
        Codec().encode_call(Call(kwargs={"x": json.loads(text)}), Hints.of(work))
    assert caught.value.path.startswith("kwargs['x']")


@pytest.mark.parametrize(("hint", "text", "value"), FITTING)
def test_a_call_of_plain_json_is_built_up_by_who_runs_it(hint: Any, text: str, value: Any) -> None:
    def work(x: Any, *rest: Any, **more: Any) -> None: ...

    work.__annotations__ = {"x": hint, "rest": hint, "more": hint}
    codec, hints = Codec(), Hints.of(work)
    plain = json.loads(text)
    call = codec.decode_call(
        codec.encode_call(Call((plain, plain), {"y": plain}), hints)
        if "$" not in text
        else b'{"a":[%s,%s],"k":{"y":%s}}' % ((text.encode(),) * 3),
        hints,
    )
    assert call == Call((value, value), {"y": value})


@pytest.mark.parametrize(("hint", "text", "value"), FITTING)
def test_what_python_wrote_as_a_value_is_not_changed(hint: Any, text: str, value: Any) -> None:
    plain = json.loads(text)
    codec = Codec()
    back = codec.decode(codec.encode(plain, hint), hint)
    assert back == plain
    assert type(back) is type(plain)


def test_an_annotation_is_no_check_of_a_result() -> None:
    codec = Codec()
    for value in (None, {"a": 1}, [1], "text", 5, (1, 2), date(2024, 1, 1), {1: 2}):
        for hint in (Line, list[date], datetime, set[int], tuple[int], Movie, User):
            assert codec.decode(codec.encode(value, hint), hint) == value


def test_a_tuple_of_another_length_is_left_to_the_function() -> None:
    def work(pair: tuple[int, date]) -> None: ...

    codec, hints = Codec(), Hints.of(work)
    call = Call(((1, NEW_YEAR, 2),))
    assert codec.decode_call(codec.encode_call(call, hints), hints) == call


def test_none_is_taken_where_it_is_the_default() -> None:
    def work(at: Any = None, *, line: Any = None) -> None: ...

    work.__annotations__.update(at=datetime, line=Line)  # as careless annotations have it
    codec, hints = Codec(), Hints.of(work)
    call = Call((None,), {"line": None})
    assert codec.decode_call(codec.encode_call(call, hints), hints) == call


class TestHints:
    def test_what_cannot_be_resolved_counts_as_any(self) -> None:
        def work(a: Missing, b: Line, c: list[Missing] | None = None) -> Missing: ...

        codec, hints = Codec(), Hints.of(work)
        call = Call((1, Line("x")), {"c": [1]})
        assert codec.decode_call(codec.encode_call(call, hints), hints) == call
        assert codec.decode(codec.encode({"a": 1}, hints.result), hints.result) == {"a": 1}
        with pytest.raises(EncodeError, match=r"'Missing' could not be resolved.*types=\[Line\]"):
            codec.encode_call(Call((Line("x"),)), hints)

    def test_a_field_that_cannot_be_resolved_spoils_no_other(self) -> None:
        @dataclass
        class Partly:
            a: Missing
            b: date

        data = b'{"a": 1, "b": "2024-01-01"}'
        assert Codec().decode(data, Partly) == Partly(1, NEW_YEAR)

    def test_plain_functions_are_known_as_such(self) -> None:
        def plain(a: int, b: list[str], *c: dict[str, Any], d: str | None = None) -> Line: ...
        def rich(a: int, **b: Line) -> int: ...

        assert Hints.of(plain).plain
        assert not Hints.of(rich).plain

    @pytest.mark.parametrize("kind", ["function", "method", "partial", "instance", "wrapped"])
    def test_any_callable_has_hints(self, kind: str) -> None:
        class Service:
            def __call__(self, line: Line) -> date: ...

            def method(self, line: Line) -> date: ...

        def function(line: Line) -> date: ...

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any: ...

        callables: dict[str, Callable[..., Any]] = {
            "function": function,
            "method": Service().method,
            "partial": functools.partial(function),
            "instance": Service(),
            "wrapped": wrapped,
        }
        codec, hints = Codec(), Hints.of(callables[kind])
        call = Call((Line("x"),))
        assert codec.decode_call(codec.encode_call(call, hints), hints) == call
        assert codec.decode(b'"2024-01-01"', hints.result) == NEW_YEAR

    def test_one_without_a_signature_takes_anything(self) -> None:
        codec, hints = Codec(), Hints.of(dict.update)
        call = Call((1, {"a": (2,)}), {"x": None})
        assert codec.decode_call(codec.encode_call(call, hints), hints) == call

    def test_annotations_that_are_no_types_are_left_alone(self) -> None:
        def work(a: Any = None, b: Any = None, c: Any = None, d: Any = None) -> None: ...

        work.__annotations__.update(a="a note", b=5, c=[date], d="Line", **{"return": "a ; b"})
        codec, hints = Codec(), Hints.of(work)
        call = Call(("2024-01-01", 1, ["2024-01-01"], Line("x")))
        assert codec.decode_call(codec.encode_call(call, hints), hints) == call
        assert codec.decode(codec.encode(1, hints.result), hints.result) == 1

    def test_more_arguments_than_parameters_are_left_to_the_function(self) -> None:
        def work(a: date) -> None: ...

        codec, hints = Codec(), Hints.of(work)
        call = Call((NEW_YEAR, 2), {"b": 3})
        assert codec.decode_call(codec.encode_call(call, hints), hints) == call

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="the statement is of Python 3.12")
    def test_an_alias_that_mentions_itself_is_followed(self) -> None:
        names: dict[str, Any] = {"date": date, "Line": Line}
        exec("type Tree = dict[str, Tree] | list[Tree] | date | Line", names)
        tree = names["Tree"]
        text = b'{"a": ["2024-01-01", {"b": {"name": "x"}}]}'
        assert Codec().decode(text, tree) == {"a": [NEW_YEAR, {"b": Line("x")}]}
        value = {"a": [Line("x")]}
        assert Codec().decode(Codec().encode(value, tree), tree) == value

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="the statement is of Python 3.12")
    def test_a_generic_alias_that_mentions_itself_is_followed(self) -> None:
        names: dict[str, Any] = {"date": date, "Line": Line}
        exec("type Tree[T] = list[Tree[T]] | T\nchosen = Tree[Line | date]", names)
        tree = names["chosen"]
        value = [[Line("x")], NEW_YEAR]
        assert Codec().decode(b'[[{"name": "x"}], "2024-01-01"]', tree) == value
        assert Codec().decode(Codec().encode(value, tree), tree) == value

"""Plain values, standard-library values, calls, size, signatures, pickle."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from taskq.codec import Call, Codec, Hints
from taskq.errors import ConfigError, DecodeError, EncodeError

BERLIN = ZoneInfo("Europe/Berlin")

VALUES = [
    None,
    True,
    False,
    0,
    -1,
    2**53 + 1,
    10**400,
    0.1,
    -0.0,
    1e308,
    "",
    "é 漢 \U0001f600 \x00 \u202e \u2028",
    "a" + "\u0301" * 10_000,
    "$datetime",
    [],
    {},
    [1, [2, [3, {"a": [None]}]]],
    {"a": 1, "": 2, "$x": 3},
    {"$datetime": "not one"},
    {"$dict": []},
    {"$": {"$": {}}},
    {"$as_is": 1},
    {1: "int", "1": "text", 1.5: None, None: True, (1, 2): []},
    (),
    (1, (2, "x"), [3]),
    set(),
    {1, 2, 3},
    {"a", 1, None, (1, 2)},
    frozenset({frozenset({1}), frozenset()}),
    b"",
    bytes(range(256)),
    datetime(2024, 2, 29, 12, 30, 15, 123456),
    datetime(2024, 2, 29, tzinfo=UTC),
    datetime(2024, 2, 29, tzinfo=timezone(timedelta(hours=-3, minutes=-30, seconds=-7))),
    datetime(2024, 7, 1, 8, tzinfo=BERLIN),
    datetime.min,
    datetime.max,
    datetime.max.replace(tzinfo=BERLIN),
    datetime.min.replace(tzinfo=BERLIN),
    date(1, 1, 1),
    date.max,
    time(23, 59, 59, 999999),
    time(1, tzinfo=UTC),
    time(1, tzinfo=BERLIN),
    timedelta.max,
    timedelta.min,
    timedelta(microseconds=-1),
    Decimal("1.10"),
    Decimal("-0"),
    Decimal("NaN"),
    Decimal("1E+400"),
    UUID(int=2**128 - 1),
    pathlib.Path("a/ü b"),
    pathlib.PurePosixPath("/a"),
    pathlib.PureWindowsPath("C:\\a"),
]


def same(left: object, right: object) -> bool:
    """Equal, of the same types all the way down, with the same text."""
    return type(left) is type(right) and repr(left) == repr(right)


@pytest.fixture
def codec() -> Codec:
    return Codec()


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_as_it_was(codec: Codec, value: object) -> None:
    back = codec.decode(codec.encode(value))
    if isinstance(value, set | frozenset):
        assert type(back) is type(value)
        assert back == value
    else:
        assert same(back, value)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_from_inside_a_call(codec: Codec, value: object) -> None:
    call = Call((value, [value]), {"x": value, "y": {"deep": (value,)}})
    back = codec.decode_call(codec.encode_call(call))
    assert codec.encode_call(back) == codec.encode_call(call)
    assert type(back.args[0]) is type(back.kwargs["y"]["deep"][0]) is type(value)
    assert str(back) == str(call) or isinstance(value, set | frozenset)


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize(
    "local",
    [datetime(2026, 10, 25, 2, 30), datetime(2026, 3, 29, 2, 30), datetime(2026, 1, 1)],
    ids=["ambiguous", "in the gap", "ordinary"],
)
@pytest.mark.parametrize("zone", [None, UTC, BERLIN, timezone(timedelta(hours=1))])
def test_a_datetime_keeps_instant_offset_zone_and_fold(
    codec: Codec, local: datetime, zone: Any, fold: int
) -> None:
    moment = local.replace(tzinfo=zone, fold=fold)
    back = codec.decode(codec.encode(moment))
    assert back.replace(tzinfo=None) == local
    assert back.fold == fold
    assert back.utcoffset() == moment.utcoffset()
    assert back.tzinfo == zone
    assert getattr(back.tzinfo, "key", None) == getattr(zone, "key", None)


def test_an_instant_counts_where_the_rules_of_the_zone_differ(codec: Codec) -> None:
    back = codec.decode(b'{"$datetime":"2026-07-01T12:00:00+05:00[Europe/Berlin]"}')
    assert back == datetime(2026, 7, 1, 7, tzinfo=UTC)
    assert back.tzinfo is BERLIN


def test_of_other_zones_the_offset_is_kept(codec: Codec) -> None:
    back = codec.decode(codec.encode(datetime(2024, 1, 1, tzinfo=Local())))
    assert back == datetime(2024, 1, 1, tzinfo=Local())
    assert back.tzinfo == timezone(timedelta(hours=1))


def test_a_class_that_stands_in_for_datetime_travels_as_one(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datetime as module

    class Frozen(datetime):
        pass

    with pytest.raises(EncodeError, match="subclass of datetime"):
        codec.encode(Frozen(2024, 1, 1))
    monkeypatch.setattr(module, "datetime", Frozen)
    assert codec.decode(codec.encode(Frozen(2024, 1, 1))) == datetime(2024, 1, 1)


def test_the_wire_format_is_compact_json(codec: Codec) -> None:
    assert codec.encode_call(Call((7, "ü"), {"x": 1})) == '{"a":[7,"ü"],"k":{"x":1}}'.encode()
    assert codec.encode_call(Call()) == b"{}"
    assert codec.encode_call(Call(kwargs={"x": [1]})) == b'{"k":{"x":[1]}}'
    assert codec.encode({"a": (1, date(2024, 1, 2))}) == (
        b'{"a":{"$tuple":[1,{"$date":"2024-01-02"}]}}'
    )


def test_equal_sets_have_equal_bytes(codec: Codec) -> None:
    words = [f"word {n}" for n in range(100)]
    backwards = words[::-1]
    assert codec.encode(set(words)) == codec.encode(set(backwards))


def test_a_call_keeps_headers_tags_and_options(codec: Codec) -> None:
    call = Call((1,), {"a": 2}, {"$trace": "x"}, ("t", "$u"), {"timeout": 3.5, "tz": BERLIN.key})
    assert codec.decode_call(codec.encode_call(call)) == call


def test_calls_do_not_share_what_they_hold(codec: Codec) -> None:
    first, second = codec.decode_call(b"{}"), codec.decode_call(b"{}")
    first.headers["a"] = "b"
    first.options["c"] = 1
    first.kwargs["d"] = 2
    assert second == Call()


@pytest.mark.parametrize(
    ("data", "call"),
    [
        (b' \n{ "a" : [ 1 ] }\r\n\t', Call((1,))),
        (b'{"a": ["\\u00fc", "\\ud83d\\ude00"]}', Call(("ü", "\U0001f600"))),
        (
            b'{"k": {"when": {"\\u0024date": "2024-01-02"}}}',
            Call(kwargs={"when": date(2024, 1, 2)}),
        ),
        (b'{"a": [{"$timedelta": 1.5}]}', Call((timedelta(seconds=1.5),))),
    ],
)
def test_other_writers_need_not_be_compact(codec: Codec, data: bytes, call: Call) -> None:
    assert codec.decode_call(data) == call


def test_an_error_tells_the_path(codec: Codec) -> None:
    cases: list[tuple[Call, str]] = [
        (Call((1, object())), "args[1]"),
        (Call(({"a": [0, {"b": object()}]},)), "args[0]['a'][1]['b']"),
        (Call(kwargs={"x": (1, object())}), "kwargs['x'][1]"),
        (Call(kwargs={"x": {(1, 2): object()}}), "kwargs['x'][<tuple>]"),
        (Call(({object(): 1},)), "args[0]{key}"),
        (Call(({object()},)), "args[0]{item}"),
        (Call((), {}, {}, (), {"o": [object()]}), "options['o'][0]"),
    ]
    for call, path in cases:
        with pytest.raises(EncodeError) as caught:
            codec.encode_call(call)
        assert caught.value.path == path
        assert str(caught.value).startswith(path + " is of type object")
    with pytest.raises(EncodeError) as caught:
        codec.encode([object()], where="result")
    assert caught.value.path == "result[0]"


class Text(str):
    __slots__ = ()


class Local(tzinfo):
    """Like many a library's zone: it needs a date to know its offset."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None if moment is None else timedelta(hours=1)

    def dst(self, moment: datetime | None) -> None:
        return None


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (float("nan"), "is nan"),
        (float("inf"), "is inf"),
        (-float("inf"), "is -inf"),
        ("a\ud800", "lone surrogate .* at index 1"),
        ({"\udfff": 1}, "lone surrogate"),
        (pathlib.Path("\udcff"), "lone surrogate"),
        (10**5000, "too many digits"),
        (Text("x"), "subclass of str"),
        (time(1, tzinfo=timezone(timedelta(microseconds=1))), "offset of whole seconds"),
        (time(1, tzinfo=Local()), "offset of whole seconds"),
        (datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=1, microseconds=5))), "offset"),
        (bytearray(b"x"), r"send bytes\(\.\.\.\)"),
        (range(3), "send a list"),
        ((n for n in ()), "send a list"),
        (1j, "complex"),
        (print, "cannot travel"),
        (int, "cannot travel"),
        (Exception("x"), "cannot travel"),
    ],
    ids=lambda value: value if type(value) is str and value.isascii() else type(value).__name__,
)
def test_what_json_cannot_take_is_told(codec: Codec, value: object, told: str) -> None:
    for call in (Call((value,)), Call(kwargs={"x": value}), Call(([0, {"a": value}],))):
        with pytest.raises(EncodeError, match=told):
            codec.encode_call(call)
    with pytest.raises(EncodeError, match=told):
        codec.encode({1: (value,)})


def test_names_of_arguments_are_texts(codec: Codec) -> None:
    with pytest.raises(EncodeError):
        codec.encode_call(Call(kwargs={1: 2}))  # type: ignore[dict-item]  # what is tested
    with pytest.raises(EncodeError, match="kwargs"):
        codec.encode_call(Call(kwargs={"\ud800": 2}))


@pytest.mark.parametrize(
    "call",
    [
        Call(headers={"a": 1}),  # type: ignore[dict-item]  # what is tested
        Call(tags=(1,)),  # type: ignore[arg-type]  # what is tested
        Call(headers={"a": "\ud800"}),
        Call(tags=("\ud800",)),
    ],
)
def test_headers_and_tags_are_texts(codec: Codec, call: Call) -> None:
    with pytest.raises(EncodeError, match=r"^(headers|tags)"):
        codec.encode_call(call)


def nested(depth: int, wrap: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = wrap(value)
    return value


WRAPS: list[Callable[[Any], Any]] = [
    lambda value: [value],
    lambda value: {"a": value},
    lambda value: (value,),
    lambda value: {1: value},
    lambda value: frozenset({value}),
]


@pytest.mark.parametrize("wrap", WRAPS)
def test_depth_is_bounded(codec: Codec, wrap: Callable[[Any], Any]) -> None:
    value = nested(99, wrap)
    assert codec.decode(codec.encode(value)) == value
    for depth in (101, 900):
        with pytest.raises(EncodeError, match="levels deep"):
            codec.encode(nested(depth, wrap))


def test_depth_beyond_the_interpreters_is_an_error_of_ours(codec: Codec) -> None:
    deep = nested(100_000, WRAPS[0])
    with pytest.raises(EncodeError, match="levels deep") as caught:
        codec.encode_call(Call((deep,)))
    assert len(str(caught.value)) < 500
    with pytest.raises(EncodeError, match="levels deep"):
        Codec(pickle=True).encode(deep)


def test_a_value_that_holds_itself_is_refused(codec: Codec) -> None:
    knot: list[Any] = [1]
    knot.append({"again": knot})
    with pytest.raises(EncodeError, match="holds itself"):
        codec.encode_call(Call((knot,)))


class TestSize:
    def test_the_limit_holds_to_the_byte(self) -> None:
        codec = Codec(max_size=10)
        assert codec.encode("x" * 8) == b'"xxxxxxxx"'
        with pytest.raises(
            EncodeError, match=r"result is 11 bytes long; the limit is 10 .*max_size"
        ):
            codec.encode("x" * 9, where="result")
        with pytest.raises(EncodeError, match="the call is 14 bytes"):
            codec.encode_call(Call(("x" * 4,)))

    def test_it_is_one_mebibyte_unless_told_otherwise(self, codec: Codec) -> None:
        codec.encode("x" * (2**20 - 2))
        with pytest.raises(EncodeError, match="1,048,577 bytes long; the limit is 1,048,576"):
            codec.encode("x" * (2**20 - 1))

    def test_it_does_not_hold_for_what_is_stored_already(self, codec: Codec) -> None:
        assert len(Codec(max_size=10).decode(codec.encode("x" * 100))) == 100

    @pytest.mark.parametrize("size", [0, -1, 1.5, True, "1"])
    def test_it_is_a_number_of_bytes(self, size: Any) -> None:
        with pytest.raises(ConfigError, match="max_size"):
            Codec(max_size=size)


class TestSigning:
    def test_a_signed_message_is_read_with_the_key(self) -> None:
        codec = Codec(sign_with="key")
        data = codec.encode_call(Call((1,)))
        assert data.startswith(b"hmac-sha256:")
        assert data.endswith(b':{"a":[1]}')
        assert codec.decode_call(data) == Call((1,))
        assert codec.decode(codec.encode((1, "x"))) == (1, "x")

    def test_keys_can_be_changed_without_a_pause(self) -> None:
        old, both = Codec(sign_with=b"old"), Codec(sign_with=["new", b"old"])
        new = Codec(sign_with="new")
        assert both.decode(old.encode(1)) == 1
        assert new.decode(both.encode(2)) == 2
        with pytest.raises(DecodeError, match="signature"):
            new.decode(old.encode(1))

    def test_every_changed_byte_is_noticed(self) -> None:
        codec = Codec(sign_with="key")
        data = codec.encode_call(Call((1, "text")))
        for index in range(len(data)):
            changed = data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]
            with pytest.raises(DecodeError):
                codec.decode_call(changed)
        for end in range(len(data)):
            with pytest.raises(DecodeError):
                codec.decode_call(data[:end])

    def test_an_unsigned_message_is_refused_where_a_key_is_set(self) -> None:
        with pytest.raises(DecodeError, match="not signed"):
            Codec(sign_with="key").decode(Codec().encode(1))
        with pytest.raises(DecodeError, match="not signed"):
            Codec(sign_with="key").decode(b"")

    def test_a_signed_message_is_told_where_no_key_is_set(self, codec: Codec) -> None:
        with pytest.raises(DecodeError, match="is signed, but no key"):
            codec.decode(Codec(sign_with="key").encode(1))

    def test_a_signature_holds_for_its_context_only(self) -> None:
        codec = Codec(sign_with="key")
        data = codec.encode_call(Call((1,)), context="pay")
        assert codec.decode_call(data, context="pay") == Call((1,))
        with pytest.raises(DecodeError, match="signature"):
            codec.decode_call(data, context="refund")

    def test_the_signature_counts_for_the_size(self) -> None:
        with pytest.raises(EncodeError, match="is 78 bytes"):
            Codec(sign_with="key", max_size=77).encode(1)

    @pytest.mark.parametrize("key", ["", b"", [], [""], [1], ["a", ""]])
    def test_an_empty_key_is_refused(self, key: Any) -> None:
        with pytest.raises(ConfigError, match="sign_with"):
            Codec(sign_with=key)


class Opaque:
    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and other.number == self.number

    __hash__ = None  # type: ignore[assignment]  # as with every class that only has __eq__


class TestPickle:
    def test_it_takes_what_json_cannot(self) -> None:
        codec = Codec(pickle=True)
        value = {"a": [Opaque(1), 1j, float("inf"), "\ud800", Text("x")], "plain": [1]}
        data = codec.encode(value)
        back = codec.decode(data)
        assert back == value
        assert type(back["a"][4]) is Text
        assert json.loads(data)["plain"] == [1]

    def test_it_is_read_only_where_it_was_asked_for(self, codec: Codec) -> None:
        data = Codec(pickle=True).encode(Opaque(1))
        with pytest.raises(DecodeError, match="pickle=True"):
            codec.decode(data)

    def test_what_cannot_be_pickled_is_told_with_its_path(self) -> None:
        with pytest.raises(EncodeError, match="pickled") as caught:
            Codec(pickle=True).encode_call(Call(([1, lambda: None],)))
        assert caught.value.path == "args[0][1]"

    @pytest.mark.parametrize("content", ["", "!", "AAAA", "gARO", "Y25vX3N1Y2hfbW9kdWxlCngKLg=="])
    def test_broken_pickles_are_errors_of_ours(self, content: str) -> None:
        with pytest.raises(DecodeError, match="unpickled"):
            Codec(pickle=True).decode(json.dumps({"$pickle": content}).encode())


class TestCanonical:
    def test_it_does_not_depend_on_the_order_of_dicts(self, codec: Codec) -> None:
        one = {"a": 1, "b": {2: "x", (1,): "y"}, "c": {1, 2}}
        two = {"c": {2, 1}, "b": {(1,): "y", 2: "x"}, "a": 1}
        assert codec.canonical(one) == codec.canonical(two)

    def test_it_tells_different_values_apart(self, codec: Codec) -> None:
        values = [1, 1.0, True, "1", [1], (1,), {1}, {"1": 1}, {1: 1}, None, [[1], 2], [[1, 2]]]
        assert len({codec.canonical(value) for value in values}) == len(values)

    def test_it_knows_the_classes_of_every_parameter(self, codec: Codec) -> None:
        def work(a: int, *rest: pathlib.Path, **more: UUID) -> None: ...

        assert codec.canonical({"a": UUID(int=1)}, Hints.of(work))
        with pytest.raises(EncodeError):
            codec.canonical({"a": object()}, Hints.of(work))

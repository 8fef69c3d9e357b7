"""Bytes that nobody of ours wrote: a DecodeError, whatever they are, and no code is run."""

from __future__ import annotations

import base64
import json
import pickle
import sys
from dataclasses import dataclass
from enum import Enum, Flag
from pathlib import Path
from typing import Any, NamedTuple

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.codec import Call, Codec, Hints
from taskq.errors import DecodeError


class Color(Enum):
    RED = "r"


class Right(Flag):
    READ = 1


@dataclass
class Line:
    name: str


class Point(NamedTuple):
    x: int


class User(pydantic.BaseModel):
    name: str


Everything = Color | Right | Line | Point | User
TYPES = [Color, Right, Line, Point, User]


def work(
    a: Everything | None = None, *rest: Any, line: Line | None = None, **more: Any
) -> None: ...


HINTS = Hints.of(work)
MODULE = __name__
LINE, COLOR, USER = f"{MODULE}:Line", f"{MODULE}:Color", f"{MODULE}:User"

NOT_JSON: list[bytes] = [
    b"",
    b" ",
    b"{",
    b'{"a":[1]}x',
    b'{"a":[1]}{}',
    b"\xff",
    b'"\xed\xa0\x80"',
    b"\xef\xbb\xbf{}",
    '{"a":[1]}'.encode("utf-16"),
    b"{'a': [1]}",
    b'{"a":[NaN]}',
    b'{"a":[Infinity]}',
    b'{"a":[-Infinity]}',
    b'{"a":[1e999]}',
    b'{"a":[-1e999]}',
    b'{"a":[' + b"1" * 5000 + b"]}",
    b'{"a":[1],"a":[2]}',
    b'{"k":{"x":1,"x":2}}',
    b'{"k":{"x":{"y":1,"\\u0079":2}}}',
    b'{"a":["\\ud800"]}',
    b'{"k":{"\\udc00":1}}',
    b'{"a":["\x00"]}',
    b"[" * 100_000,
    b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"a":' * 100_000,
    pickle.dumps({"a": [1]}),
    b"hmac-sha256:",
    b"hmac-sha256:" + b"0" * 64 + b":{}",
    b"\x1f\x8b\x08\x00",
]

NO_CALL: list[Any] = [
    None,
    [],
    [[1], {}],
    1,
    "text",
    {"a": {}},
    {"a": None},
    {"k": None},
    {"t": None},
    {"a": "xy"},
    {"a": 1},
    {"k": []},
    {"k": 1},
    {"h": []},
    {"h": {"a": 1}},
    {"t": {}},
    {"t": [1]},
    {"t": "text"},
    {"o": []},
    {"z": 1},
    {"args": [1]},
    {"$dict": []},
    {"t": {"$set": ["x"]}},
    {"o": {"$dict": 1}},
    {"x" * 1000: 1},
]

BAD_TAGS: list[Any] = [
    {"$": 1},
    {"$unknown": 1},
    {"$" + "x" * 1000: 1},
    {"$as_is": 1},
    {"$datetime": 1},
    {"$datetime": ""},
    {"$datetime": "2024-13-01"},
    {"$datetime": "2024-01-01T00:00[Europe/Nowhere]"},
    {"$datetime": "2024-01-01T00:00[" + "a" * 10_000 + "]"},
    {"$datetime": "2024-01-01T00:00[../../../etc/passwd]"},
    {"$datetime": "2024-01-01T00:00[/etc/passwd]"},
    {"$datetime": "2024-01-01T00:00[a/b]"},
    {"$datetime": "2024-01-01T00:00[zones]"},
    {"$datetime": "2024-01-01T00:00[Europe]"},
    {"$datetime": "0001-01-01T00:00+10:00[Pacific/Niue]"},
    {"$datetime": "9999-12-31T23:59-10:00[Pacific/Kiritimati]"},
    {"$date": None},
    {"$date": "2024-02-30"},
    {"$time": "x"},
    {"$time": []},
    {"$timedelta": "1"},
    {"$timedelta": [1, 2]},
    {"$timedelta": [1, 2, 3.5]},
    {"$timedelta": [10**30, 0, 0]},
    {"$timedelta": [True, 0, 0]},
    {"$timedelta": 1e300},
    {"$decimal": "x"},
    {"$decimal": None},
    {"$decimal": "1e" + "9" * 40},
    {"$uuid": "x"},
    {"$uuid": 1},
    {"$bytes": "!"},
    {"$bytes": "é"},
    {"$bytes": "a"},
    {"$path": 1},
    {"$tuple": {}},
    {"$tuple": "ab"},
    {"$set": [[1]]},
    {"$set": [1, 1]},
    {"$set": [1, True]},
    {"$frozenset": [{"a": 1}]},
    {"$dict": {}},
    {"$dict": [1]},
    {"$dict": [[1]]},
    {"$dict": [[1, 2, 3]]},
    {"$dict": [[1, 2], [1, 3]]},
    {"$dict": [[[], 2]]},
    {"$dict": [[{"$set": []}, 2]]},
    {"$enum": 1},
    {"$enum": [COLOR]},
    {"$enum": [COLOR, "BLUE"]},
    {"$enum": [COLOR, "__class__"]},
    {"$enum": [COLOR, "r"]},
    {"$enum": [COLOR, 1]},
    {"$enum": [COLOR, None]},
    {"$enum": [f"{MODULE}:Right", 99]},
    {"$enum": [LINE, "x"]},
    {"$enum": [1, "x"]},
    {"$enum": [[], "x"]},
    {"$enum": ["os:_Environ", "x"]},
    {"$object": 1},
    {"$object": [LINE]},
    {"$object": [LINE, []]},
    {"$object": [LINE, {}]},
    {"$object": [LINE, {"name": 1, "more": 2}]},
    {"$object": [LINE, {"__class__": 1}]},
    {"$object": [LINE, {"name": {"$object": [LINE, {}]}}]},
    {"$object": [COLOR, {"value": "r"}]},
    {"$object": [USER, {}]},
    {"$object": [USER, {"name": 5}]},
    {"$object": ["os:system", {"command": "true"}]},
    {"$object": ["subprocess:Popen", {"args": "true"}]},
    {"$object": ["builtins:eval", {"source": "1"}]},
    {"$object": [f"{MODULE}:Line.__init__", {}]},
    {"$object": [None, {}]},
    {"$pickle": base64.b64encode(pickle.dumps(1)).decode()},
]


@pytest.mark.parametrize("data", NOT_JSON, ids=lambda data: repr(data[:20]))
@pytest.mark.parametrize("hints", [None, HINTS])
def test_what_is_not_json_is_refused(data: bytes, hints: Hints | None) -> None:
    with pytest.raises(DecodeError) as caught:
        Codec().decode_call(data, hints)
    assert len(str(caught.value)) < 500
    with pytest.raises(DecodeError):
        Codec().decode(data, Everything)


@pytest.mark.parametrize("tree", NO_CALL, ids=lambda tree: str(tree)[:20])
def test_what_is_no_call_is_refused(tree: Any) -> None:
    with pytest.raises(DecodeError) as caught:
        Codec().decode_call(json.dumps(tree).encode(), HINTS)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("tree", BAD_TAGS, ids=lambda tree: str(tree)[:40])
def test_tags_that_are_wrong_are_refused_with_their_path(tree: Any) -> None:
    for codec in (Codec(), Codec(types=TYPES)):
        for inner, path in [
            ({"a": [tree]}, "args[0]"),
            ({"a": [1, [0, tree]]}, "args[1][1]"),
            ({"k": {"x": {"a": 1, "b": tree}}}, "kwargs['x']['b']"),
        ]:
            with pytest.raises(DecodeError) as caught:
                codec.decode_call(json.dumps(inner).encode(), HINTS)
            assert str(caught.value).startswith(path), caught.value
            assert len(str(caught.value)) < 700


def test_nothing_is_imported() -> None:
    before = set(sys.modules)
    for name in ("antigravity:x", "this:x", "tests.unit.nowhere:Line", "xmlrpc.server:x"):
        for tag in ("$object", "$enum"):
            with pytest.raises(DecodeError):
                Codec(types=TYPES).decode(json.dumps({tag: [name, {}]}).encode())
    assert set(sys.modules) == before


def test_a_pickle_is_not_loaded_unless_asked_for(tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (mark,)

    tree = {"$pickle": base64.b64encode(pickle.dumps(Bomb())).decode()}
    with pytest.raises(DecodeError):
        Codec(types=TYPES).decode(json.dumps(tree).encode())
    assert not mark.exists()


def test_plain_depth_that_json_takes_is_an_ordinary_value() -> None:
    data = b'{"a":' + b"[" * 300 + b"]" * 300 + b"}"
    assert len(Codec().decode_call(data).args) == 1


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
    | st.sampled_from([LINE, COLOR, USER, "RED", "2024-01-01", "[Europe/Berlin]"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "x", "a"]), inner, max_size=2)
        | st.dictionaries(
            st.sampled_from([next(iter(tree)) for tree in BAD_TAGS]),
            inner,
            min_size=1,
            max_size=1,
        )
    ),
    max_leaves=20,
)


@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_call_or_a_decode_error(data: bytes) -> None:
    for codec in (Codec(types=TYPES), Codec(sign_with="key")):
        for hints in (None, HINTS):
            try:
                assert isinstance(codec.decode_call(data, hints), Call)
            except DecodeError:
                pass


@given(args=st.lists(junk, max_size=3), kwargs=st.dictionaries(st.text(max_size=4), junk))
def test_any_json_is_a_call_or_a_decode_error(args: list[Any], kwargs: dict[str, Any]) -> None:
    data = json.dumps({"a": args, "k": kwargs}).encode()
    for hints in (None, HINTS):
        try:
            call = Codec(types=TYPES).decode_call(data, hints)
        except DecodeError:
            continue
        assert len(call.args) == len(args)
        assert call.kwargs.keys() == kwargs.keys()


@given(index=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_changed_byte_is_another_call_or_a_decode_error(index: int, byte: int) -> None:
    codec = Codec(types=TYPES)
    call = Call((Color.RED, Line("x"), {1: (2, {3})}), {"u": User(name="n")}, {"h": "v"}, ("t",))
    data = bytearray(codec.encode_call(call))
    data[index % len(data)] = byte
    try:
        assert isinstance(codec.decode_call(bytes(data), HINTS), Call)
    except DecodeError:
        pass

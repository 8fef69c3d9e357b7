"""Whole messages: calls and results as bytes and back, signed and within their size.

The format is told at the head of ``taskq/codec/__init__.py``.
"""

from __future__ import annotations

import hmac
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskq.codec.hints import ANYTHING, Hints, Shape
from taskq.codec.place import Place, Refused, show
from taskq.codec.trees import SCALARS, Reader, Registry, Writer, json_text
from taskq.errors import ConfigError, DecodeError, EncodeError

_SIGNED = b"hmac-sha256:"
_BODY = len(_SIGNED) + 64 + 1
_TEXT = frozenset({str})
_EXTRAS = {"h": "headers", "t": "tags", "o": "options"}
_SPACE = " \t\r\n"


@dataclass(slots=True)
class Call:
    """A call of a task, as it travels."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


class Codec:
    """Turns calls and values into bytes and back. Has no state; safe for threads.

    :param max_size: the largest message in bytes; larger ones are refused when encoded.
    :param sign_with: a key, or several: the first signs, all are good for reading, so that
        keys can be changed without a pause. With a key, a message without a good signature
        is refused.
    :param pickle: pickle what JSON cannot take, and read such messages. Whoever can write
        to the store can then run code in every worker, unless messages are signed.
    :param types: users' classes that may travel although no annotation mentions them.
    """

    def __init__(
        self,
        *,
        max_size: int = 1 << 20,
        sign_with: str | bytes | Sequence[str | bytes] | None = None,
        pickle: bool = False,
        types: Iterable[type] = (),
    ) -> None:
        if type(max_size) is not int or max_size < 1:
            raise ConfigError(f"max_size: a number of bytes of at least 1, not {max_size!r}")
        self._max_size = max_size
        self._keys = _keys(sign_with)
        self._pickle = pickle
        self._registry = Registry(types)

    def encode(
        self, value: object, hint: object = Any, *, where: str = "value", context: str = ""
    ) -> bytes:
        """The value as bytes, from which ``decode`` with the same hint makes an equal one.

        :param hint: the annotation (or its Shape): the users' classes that it mentions may
            travel. It does not check: what doesn't fit it travels as it is.
        :param where: what the value is called in an error.
        :param context: what a signature holds for besides the value; the same is needed to
            decode it, so a signed message cannot be used in another place.
        :raises EncodeError: the value, or something in it, cannot travel, or is too large.
        """
        shape = Shape.of(hint)

        def build(careful: bool) -> Any:
            tree = self._tree(value, shape, where, careful)
            return tree if _fits(value, shape) else {"$as_is": tree}

        return self._sealed(self._body(build, where), where, context)

    def decode(
        self, data: bytes, hint: object = Any, *, where: str = "value", context: str = ""
    ) -> Any:
        """The value that ``encode`` turned into these bytes, or that plain JSON stands for.

        :raises DecodeError: the bytes are no such message, or do not fit the hint.
        """
        tree, tagged = self._parsed(data, where, context)
        shape = Shape.of(hint)
        try:
            if tagged and type(tree) is dict and tree.keys() == {"$as_is"}:
                return self._read(tree["$as_is"], shape, where)
            return self._value(tree, shape, where, tagged)
        except (Refused, RecursionError) as error:
            raise _decode_error(error, where) from error.__cause__

    def encode_call(self, call: Call, hints: Hints | None = None, *, context: str = "") -> bytes:
        """The call as bytes.

        :param hints: of the task's function: the users' classes that its annotations mention
            may travel, and plain JSON given for an annotated type has to fit it.
        :param context: as for ``encode``; the task's name, say.
        :raises EncodeError: an argument cannot travel, or the call is too large.
        """
        args, kwargs = call.args, call.kwargs
        if (
            (hints is None or hints.plain)
            and not (call.headers or call.tags or call.options)
            and SCALARS.issuperset(map(type, args))
            and SCALARS.issuperset(map(type, kwargs.values()))
            and _TEXT.issuperset(map(type, kwargs))
        ):
            # The ordinary call: nothing to walk through.
            try:
                tree: dict[str, Any] = {"a": args} if args else {}
                if kwargs:
                    tree["k"] = kwargs
                return self._sealed(json_text(tree).encode(), "the call", context)
            except ValueError:
                pass  # told below, with the path
        body = self._body(lambda careful: self._call_tree(call, hints, careful), "the call")
        return self._sealed(body, "the call", context)

    def decode_call(self, data: bytes, hints: Hints | None = None, *, context: str = "") -> Call:
        """The call that these bytes stand for.

        :raises DecodeError: the bytes are no call, or its arguments do not fit the hints.
        """
        tree, tagged = self._parsed(data, "the call", context)
        if type(tree) is not dict:
            raise DecodeError("the call is no JSON object")
        args = tree.pop("a", [])
        kwargs = tree.pop("k", {})
        if type(args) is not list:
            raise DecodeError('the call: "a", the positional arguments, is no list')
        if type(kwargs) is not dict:
            raise DecodeError('the call: "k", the keyword arguments, is no object')
        try:
            if tagged or not (hints is None or hints.plain):
                for index, one in enumerate(args):
                    shape = ANYTHING if hints is None else hints.at(index)
                    args[index] = self._value(one, shape, ("args", index), tagged)
                for name, one in kwargs.items():
                    shape = ANYTHING if hints is None else hints.named(name)
                    kwargs[name] = self._value(one, shape, ("kwargs", (name,)), tagged)
            call = Call(tuple(args), kwargs)
            if tree:
                self._read_extras(call, tree)
        except (Refused, RecursionError) as error:
            raise _decode_error(error, "the call") from error.__cause__
        return call

    def raw_call(self, data: bytes, *, context: str = "") -> dict[str, Any]:
        """The JSON of a call, with its tags: to show where the task's types are not known.

        :raises DecodeError: the bytes are no call.
        """
        tree, _ = self._parsed(data, "the call", context)
        if type(tree) is not dict or type(tree.get("a", [])) is not list:
            raise DecodeError("the call is no JSON object with a list of arguments")
        if type(tree.get("k", {})) is not dict:
            raise DecodeError('the call: "k", the keyword arguments, is no object')
        call: dict[str, Any] = tree
        return call

    def canonical(self, value: object, hints: Hints | None = None) -> bytes:
        """Bytes that are equal for equal values, in whatever order their dicts are.

        For keys and comparisons; they can be neither decoded nor too large.

        :param hints: of a function; the classes that its parameters mention may be in the value.
        :raises EncodeError: something in the value cannot travel.
        """
        shape = ANYTHING if hints is None else hints.together
        return self._body(
            lambda careful: _ordered(self._tree(value, shape, "value", careful)), "value"
        )

    def _call_tree(self, call: Call, hints: Hints | None, careful: bool) -> dict[str, Any]:
        if not _TEXT.issuperset(map(type, call.kwargs)):
            raise Refused("kwargs", "has a name that is not a str")
        if careful:
            names = Writer(self._registry, ANYTHING, pickle=False, careful=True)
            names.tree(list(call.kwargs), ("kwargs", "{name}"))
        tree: dict[str, Any] = {}
        if call.args:
            tree["a"] = [
                self._argument(one, hints.at(i) if hints else ANYTHING, ("args", i), careful)
                for i, one in enumerate(call.args)
            ]
        if call.kwargs:
            tree["k"] = {
                name: self._argument(
                    one, hints.named(name) if hints else ANYTHING, ("kwargs", (name,)), careful
                )
                for name, one in call.kwargs.items()
            }
        if call.headers:
            if not all(type(one) is str for pair in call.headers.items() for one in pair):
                raise Refused("headers", "are not a dict of texts by name")
            tree["h"] = self._tree(call.headers, ANYTHING, "headers", careful)
        if call.tags:
            if not all(type(one) is str for one in call.tags):
                raise Refused("tags", "are not texts")
            tree["t"] = self._tree(list(call.tags), ANYTHING, "tags", careful)
        if call.options:
            tree["o"] = self._tree(call.options, ANYTHING, "options", careful)
        return tree

    def _read_extras(self, call: Call, tree: dict[str, Any]) -> None:
        """Headers, tags and options; the tree holds nothing else but what is unknown."""
        for key, content in tree.items():
            match key, self._read(content, ANYTHING, _EXTRAS.get(key, "the call")):
                case "h", dict() as headers if all(type(v) is str for v in headers.values()):
                    call.headers = headers
                case "t", list() as tags if all(type(one) is str for one in tags):
                    call.tags = tuple(tags)
                case "o", dict() as options:
                    call.options = options
                case _:
                    raise DecodeError(f"the call: {key[:60]!r} is unknown or not in its form")

    def _argument(self, value: Any, shape: Shape, place: Place, careful: bool) -> Any:
        tree = self._tree(value, shape, place, careful)
        if shape.revive is not None:
            shape.revive(value, place)  # what will not fit is refused now, not in the worker
        return tree

    def _tree(self, value: Any, shape: Shape, place: Place, careful: bool) -> Any:
        writer = Writer(self._registry, shape, pickle=self._pickle, careful=careful)
        return writer.tree(value, place)

    def _read(self, tree: Any, shape: Shape, place: Place) -> Any:
        return Reader(self._registry, shape, pickle=self._pickle).value(tree, place)

    def _value(self, tree: Any, shape: Shape, place: Place, tagged: bool) -> Any:
        value = self._read(tree, shape, place) if tagged else tree
        return value if shape.revive is None else shape.revive(value, place)

    def _body(self, build: Callable[[bool], Any], where: str) -> bytes:
        try:
            try:
                return json_text(build(False)).encode()
            except ValueError:  # NaN, a lone surrogate …: the careful way finds out where
                return json_text(build(True)).encode()
        except Refused as refused:
            place = show(refused.place)
            raise EncodeError(f"{place} {refused.reason}", place) from refused.__cause__
        except RecursionError as error:
            raise EncodeError(f"{where} is nested too deep", where) from error
        except ValueError as error:
            raise EncodeError(f"{where} cannot be written as JSON: {error}", where) from error

    def _sealed(self, body: bytes, where: str, context: str) -> bytes:
        if self._keys:
            body = _SIGNED + _digest(self._keys[0], body, context) + b":" + body
        if len(body) > self._max_size:
            raise EncodeError(
                f"{where} is {len(body):,} bytes long; the limit is {self._max_size:,} "
                "(max_size). Store large data elsewhere and send where it is",
                where,
            )
        return body

    def _parsed(self, data: bytes, where: str, context: str) -> tuple[Any, bool]:
        """The tree of the message, its signature checked, and whether tags may be in it."""
        if self._keys or data[:1] == b"h":
            data = self._unsealed(data, where, context)
        try:
            text = data.decode()
            if text[:1] in _SPACE:
                text = text.lstrip(_SPACE)
            tree, end = _parse(text)
            if end != len(text) and text[end:].strip(_SPACE):
                raise DecodeError(f"{where}: more bytes follow the JSON")
            if b"\\u" not in data:
                return tree, b'"$' in data
            json_text(tree).encode()  # a lone surrogate may have been written as an escape
        except RecursionError as error:
            raise DecodeError(f"{where} is nested too deep") from error
        except DecodeError:
            raise
        except ValueError as error:
            raise DecodeError(f"{where} is not JSON in UTF-8: {error}") from error
        return tree, True

    def _unsealed(self, data: bytes, where: str, context: str) -> bytes:
        signed = data.startswith(_SIGNED) and data[_BODY - 1 : _BODY] == b":"
        if not self._keys:
            if signed:
                raise DecodeError(f"{where} is signed, but no key is set here (sign_with)")
            return data
        if not signed:
            raise DecodeError(f"{where} is not signed, but a key is set here (sign_with)")
        body, digest = data[_BODY:], data[len(_SIGNED) : _BODY - 1]
        for key in self._keys:
            if hmac.compare_digest(_digest(key, body, context), digest):
                return body
        raise DecodeError(f"the signature of {where} is wrong: another key, or changed bytes")


def _keys(sign_with: str | bytes | Sequence[str | bytes] | None) -> tuple[bytes, ...]:
    if sign_with is None:
        return ()
    given = (sign_with,) if isinstance(sign_with, str | bytes) else tuple(sign_with)
    if not given or not all(isinstance(one, str | bytes) and one for one in given):
        raise ConfigError("sign_with: a key that is not empty, or a list of them")
    return tuple(one.encode() if isinstance(one, str) else one for one in given)


def _digest(key: bytes, body: bytes, context: str) -> bytes:
    return hmac.digest(key, context.encode() + b"\0" + body, "sha256").hex().encode()


def _ordered(tree: Any) -> Any:
    if type(tree) is list:
        return [_ordered(one) for one in tree]
    if type(tree) is not dict:
        return tree
    ordered = {key: _ordered(tree[key]) for key in sorted(tree)}
    if ordered.keys() == {"$dict"}:
        ordered["$dict"].sort(key=json_text)
    return ordered


def _fits(value: Any, shape: Shape) -> bool:
    """True if reading by this shape leaves the value as it is."""
    try:
        return shape.revive is None or shape.revive(value, "") is value
    except Refused:
        return False


def _decode_error(error: Refused | RecursionError, where: str) -> DecodeError:
    if isinstance(error, Refused):
        return DecodeError(f"{show(error.place)} {error.reason}")
    return DecodeError(f"{where} is nested too deep")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _not_json(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("an object has the same key twice")
    return made


_parse = json.JSONDecoder(
    parse_float=_finite, parse_constant=_not_json, object_pairs_hook=_unique
).raw_decode

"""Values as trees of plain JSON (None, bool, int, float, str, list, dict), and back."""

from __future__ import annotations

import base64
import datetime
import json
import math
import pickle
from collections.abc import Callable, Iterable
from enum import Enum
from json import encoder as json_encoder
from types import GeneratorType
from typing import Any

from taskq.codec.hints import Shape
from taskq.codec.place import Place, Refused, name_of
from taskq.codec.records import (
    ModelState,
    is_model,
    is_record,
    model_as_json,
    model_comes_back,
    put_model_together,
    put_together,
    read_enum,
    take_apart,
    take_model_apart,
    wire_name,
    write_enum,
)
from taskq.codec.scalars import READERS, WRITERS
from taskq.errors import ConfigError

SCALARS = frozenset({str, int, float, bool, type(None)})

MAX_DEPTH = 100
"""Deepest nesting that is written. Far from the interpreter's own limit, so that what one
process could write, another can read, however deep its stack already is."""

_CONTAINERS: dict[type, str] = {tuple: "$tuple", set: "$set", frozenset: "$frozenset"}


def _json_writer() -> Callable[[Any], str]:
    options: dict[str, Any] = {"ensure_ascii": False, "check_circular": False, "allow_nan": False}
    plain = json.JSONEncoder(separators=(",", ":"), **options)
    try:
        # JSONEncoder.encode builds this very object anew at each call, at twice the cost.
        make, escape = vars(json_encoder)["c_make_encoder"], json_encoder.encode_basestring
        write = make(None, plain.default, escape, None, ":", ",", False, False, False)
    except (LookupError, TypeError):  # an interpreter that has no such thing
        return plain.encode

    def text(tree: Any) -> str:
        return "".join(write(tree, 0))

    return text


json_text = _json_writer()
"""The tree as compact JSON. ValueError for NaN, infinity and an int of too many digits."""


class Registry:
    """The classes that may travel besides those that the annotations mention."""

    __slots__ = ("_by_name", "_names")

    def __init__(self, types: Iterable[type]) -> None:
        self._names: dict[type, str] = {}
        for cls in types:
            if not is_record(cls):
                raise ConfigError(
                    f"types: {cls!r} is no Enum, dataclass, NamedTuple, attrs class or "
                    "pydantic model"
                )
            self._names.update(Shape(cls).names)
        self._by_name = {name: cls for cls, name in self._names.items()}

    def allows(self, cls: type, shape: Shape) -> bool:
        """True if an instance of the class may travel where the shape is."""
        known = cls in shape.names or cls in self._names
        return known and self.find(wire_name(cls), shape) is cls

    def find(self, name: object, shape: Shape) -> type | None:
        """The class of that name.

        One that moved to another module (or was written by a file run as ``__main__``) is
        known by its qualified name alone, if only one class has it.
        """
        if type(name) is not str:
            return None
        for known in (shape.by_name, self._by_name):
            if name in known:
                return known[name]
        qualname = name.rpartition(":")[2]
        same = {one for one in (*shape.names, *self._names) if one.__qualname__ == qualname}
        return same.pop() if len(same) == 1 else None

    def base_of(self, cls: type, shape: Shape) -> type | None:
        """The nearest base class that may travel."""
        return next((one for one in cls.__mro__[1:] if self.allows(one, shape)), None)


class Writer:
    """Turns a value into a tree, or raises Refused."""

    __slots__ = ("_careful", "_pickle", "_registry", "_shape")

    def __init__(self, registry: Registry, shape: Shape, *, pickle: bool, careful: bool) -> None:
        """``careful``: also look at every text and number, to find the one that JSON refused."""
        self._registry = registry
        self._shape = shape
        self._pickle = pickle
        self._careful = careful

    def tree(self, value: Any, place: Place, depth: int = 0) -> Any:
        cls = type(value)
        if cls in SCALARS:
            return self._scalar(value, place) if self._careful else value
        if depth >= MAX_DEPTH:
            raise Refused(place, f"is nested more than {MAX_DEPTH} levels deep, or holds itself")
        if cls is dict:
            return self._dict(value, place, depth)
        if cls is list:
            return self._items(value, place, depth)
        if cls in _CONTAINERS:
            return {_CONTAINERS[cls]: self._container(value, place, depth)}
        if cls in WRITERS:
            return self._tagged(cls, value, place)
        if is_record(cls):
            return self._record(value, place, depth)
        for real in (datetime.datetime, datetime.date):
            # A testing tool that freezes the time puts a class of its own in their place.
            if cls is real:
                return self._tagged(cls.__mro__[1], value, place)
        return self._refused(value, place, _why_not(cls))

    def _refused(self, value: Any, place: Place, reason: str) -> Any:
        if not self._pickle:
            raise Refused(place, reason)
        try:
            return {"$pickle": base64.b64encode(pickle.dumps(value)).decode()}
        except Exception as error:
            raise Refused(place, f"{reason}. Nor can it be pickled: {error}") from error

    def _scalar(self, value: Any, place: Place) -> Any:
        if type(value) is str:
            try:
                value.encode()
            except UnicodeEncodeError as error:
                reason = f"holds a lone surrogate (half a character) at index {error.start}"
                return self._refused(value, place, reason)
        elif type(value) is float and not math.isfinite(value):
            return self._refused(value, place, f"is {value!r}, which JSON has no form for")
        elif type(value) is int:
            try:
                str(value)
            except ValueError as error:
                return self._refused(value, place, f"is an int of too many digits: {error}")
        return value

    def _tagged(self, cls: type, value: Any, place: Place) -> Any:
        tag, write = WRITERS[cls]
        try:
            content = write(value)
        except ValueError as error:
            return self._refused(value, place, str(error))
        if self._careful and type(content) is str:
            checked = self._scalar(content, place)
            if checked is not content:
                return self._refused(value, place, "")
        return {tag: content}

    def _items(self, value: list[Any], place: Place, depth: int) -> list[Any]:
        if self._careful:
            return [self.tree(one, (place, i), depth + 1) for i, one in enumerate(value)]
        if SCALARS.issuperset(map(type, value)):
            return value
        return [
            one if type(one) in SCALARS else self.tree(one, (place, i), depth + 1)
            for i, one in enumerate(value)
        ]

    def _container(self, value: Any, place: Place, depth: int) -> list[Any]:
        if type(value) is tuple:
            return self._items(list(value), place, depth)
        trees = [self.tree(one, (place, "{item}"), depth + 1) for one in value]
        # Sets of equal content have equal bytes, whatever order their hashes give them.
        return sorted(trees, key=json_text)

    def _dict(self, value: dict[Any, Any], place: Place, depth: int) -> dict[str, Any]:
        for key in value:
            if type(key) is not str or (key[:1] == "$" and len(value) == 1):
                return self._pairs(value, place, depth)
        if self._careful:
            for key in value:
                if self._scalar(key, (place, "{key}")) is not key:
                    return self._pairs(value, place, depth)
        elif SCALARS.issuperset(map(type, value.values())):
            return value
        return {
            key: one
            if type(one) in SCALARS and not self._careful
            else self.tree(one, (place, (key,)), depth + 1)
            for key, one in value.items()
        }

    def _pairs(self, value: dict[Any, Any], place: Place, depth: int) -> dict[str, Any]:
        inside = depth + 1
        pairs = [
            [self.tree(key, (place, "{key}"), inside), self.tree(one, (place, (key,)), inside)]
            for key, one in value.items()
        ]
        return {"$dict": pairs}

    def _record(self, value: Any, place: Place, depth: int) -> Any:
        cls = type(value)
        if not self._registry.allows(cls, self._shape):
            return self._refused(value, place, self._unnamed(cls))
        name = wire_name(cls)
        if isinstance(value, Enum):
            return {"$enum": [name, write_enum(value)]}
        if is_model(cls):
            return self._model(value, name, place, depth)
        try:
            parts = take_apart(value, place)
        except Refused as refused:
            return self._refused(value, place, refused.reason)
        trees = {
            part: self.tree(one, (place, f".{part}"), depth + 1) for part, one in parts.items()
        }
        return {"$object": [name, trees]}

    def _model(self, model: Any, name: str, place: Place, depth: int) -> Any:
        state = take_model_apart(model)
        values: dict[str, Any] = {}
        trees: dict[str, Any] = {}
        refusal = Refused(
            place, "would not come back equal: its validation, or a private attribute, changes it"
        )
        for part, one in state.values.items():
            inside = (place, f".{part}")
            try:
                trees[part], values[part] = self.tree(one, inside, depth + 1), one
            except Refused as refused:
                # A type that only pydantic knows (a URL, say) may travel in pydantic's form.
                refusal = refused
                values[part] = model_as_json(model, part, refused)
                trees[part] = self.tree(values[part], inside, depth + 1)
        if not model_comes_back(model, ModelState(values, state.given)):
            return self._refused(model, refusal.place, refusal.reason)
        given = sorted(state.given)
        return {"$object": [name, trees] if len(given) == len(trees) else [name, trees, given]}

    def _unnamed(self, cls: type) -> str:
        short, missing = cls.__name__, self._shape.unresolved
        base = self._registry.base_of(cls, self._shape)
        if missing:
            why = (
                f"while the annotation's name {missing!r} could not be resolved "
                "(is it imported under TYPE_CHECKING only?)"
            )
        elif base is not None:
            why = f"a subclass of {base.__name__} that is not named itself"
        else:
            why = "which no annotation names"
        return (
            f"is of type {name_of(cls)}, {why}: annotate the parameter (or the result) with "
            f"{short}, or register it: TaskQ(types=[{short}])"
        )


def _why_not(cls: type) -> str:
    base = next((one.__name__ for one in cls.__mro__[1:] if one in _ORDINARY), None)
    if base is not None:
        # The value might survive, its class would not.
        return (
            f"is of type {name_of(cls)}, a subclass of {base} that would come back as a mere "
            f"{base}: convert it with {base}(...) or the like"
        )
    advice = _ADVICE.get(cls, "send its id or its plain values instead")
    return f"is of type {name_of(cls)}, which cannot travel: {advice}"


_ORDINARY = {*SCALARS, *_CONTAINERS, *WRITERS, list, dict} - {type(None)}
_ADVICE: dict[type, str] = {
    bytearray: "send bytes(...) of it",
    memoryview: "send bytes(...) of it",
    GeneratorType: "send a list of it",
    range: "send a list of it",
    map: "send a list of it",
    filter: "send a list of it",
    zip: "send a list of it",
    type({}.keys()): "send a list of it",
    type({}.values()): "send a list of it",
    type({}.items()): "send a dict of it",
    complex: "send its two parts",
}


class Reader:
    """Turns the tags in a tree into values, or raises Refused."""

    __slots__ = ("_pickle", "_registry", "_shape")

    def __init__(self, registry: Registry, shape: Shape, *, pickle: bool) -> None:
        self._registry = registry
        self._shape = shape
        self._pickle = pickle

    def value(self, tree: Any, place: Place) -> Any:
        cls = type(tree)
        if cls is list:
            return self._items(tree, place)
        if cls is not dict:
            return tree
        if len(tree) == 1:
            [(tag, content)] = tree.items()
            if tag[:1] == "$":
                return self._tagged(tag, content, place)
        return {
            key: one if type(one) in SCALARS else self.value(one, (place, (key,)))
            for key, one in tree.items()
        }

    def _items(self, tree: Any, place: Place) -> list[Any]:
        if SCALARS.issuperset(map(type, tree)):
            return tree  # type: ignore[no-any-return]  # a list, as the caller saw
        return [
            one if type(one) in SCALARS else self.value(one, (place, index))
            for index, one in enumerate(tree)
        ]

    def _tagged(self, tag: str, content: Any, place: Place) -> Any:
        read = READERS.get(tag)
        if read is not None:
            try:
                return read(content)
            except ValueError as error:
                raise Refused(place, f"what {tag} holds is wrong: {error}") from error
        match tag, content:
            case "$tuple", [*_]:
                return tuple(self._items(content, place))
            case "$set", [*_]:
                return _hashed(set, self._items(content, place), place)
            case "$frozenset", [*_]:
                return _hashed(frozenset, self._items(content, place), place)
            case "$dict", [*pairs] if all(type(one) is list and len(one) == 2 for one in pairs):
                return self._dict(pairs, place)
            case "$enum", [name, member]:
                cls = self._class(name, place)
                if issubclass(cls, Enum):
                    return read_enum(cls, member, place)
            case "$object", [name, dict() as parts]:
                return self._object(name, parts, None, place)
            case "$object", [name, dict() as parts, [*given]]:
                return self._object(name, parts, given, place)
            case "$pickle", str():
                return self._pickled(content, place)
            case _:
                pass
        raise Refused(
            place,
            f"is no tag that is known here, or not in its form: {tag[:60]!r}; an object with such "
            'a key travels as {"$dict": [[key, value]]}',
        )

    def _class(self, name: Any, place: Place) -> type:
        cls = self._registry.find(name, self._shape)
        if cls is None:
            told = repr(name[:120]) if type(name) is str else "(no text)"
            raise Refused(
                place,
                f"names the class {told}, which neither the annotation mentions nor "
                "TaskQ(types=[...]) registers",
            )
        return cls

    def _dict(self, pairs: list[list[Any]], place: Place) -> dict[Any, Any]:
        read = [
            (self.value(key, (place, "{key}")), self.value(one, (place, "{value}")))
            for key, one in pairs
        ]
        made: dict[Any, Any] = _hashed(dict, read, place)
        return made

    def _object(self, name: Any, parts: dict[str, Any], given: Any, place: Place) -> Any:
        cls = self._class(name, place)
        values = {part: self.value(one, (place, f".{part[:60]}")) for part, one in parts.items()}
        if is_model(cls):
            names = set(values) if given is None else {one for one in given if type(one) is str}
            return put_model_together(cls, ModelState(values, names), place)
        if issubclass(cls, Enum):
            raise Refused(place, f"{name_of(cls)} is an Enum and has no fields")
        return put_together(cls, values, place, exact=True)

    def _pickled(self, content: str, place: Place) -> Any:
        if not self._pickle:
            raise Refused(place, "is pickled, and this codec does not read that (pickle=True)")
        try:
            data = base64.b64decode(content, validate=True)
            return pickle.loads(data)  # noqa: S301 - only where the user asked for it by name
        except Exception as error:
            raise Refused(place, f"cannot be unpickled: {type(error).__name__}: {error}") from error


def _hashed(make: Callable[[Any], Any], content: list[Any], place: Place) -> Any:
    try:
        made = make(content)
    except Exception as error:  # the hash of a user's class may raise anything
        raise Refused(place, f"cannot be a {make.__name__}: {error}") from error
    if len(made) != len(content):
        raise Refused(place, "two of its items or keys are equal")
    return made

"""What a function's annotations say about its arguments and its result.

A :class:`Shape` is one annotation made ready: the users' classes that it mentions, the only
ones that a message may name, and a function that builds up the annotated value from plain
JSON (a dict for a dataclass, a text for a datetime), as another language writes it.
"""

from __future__ import annotations

import collections.abc as abc
import inspect
import operator
import types
import typing
from collections.abc import Callable, Iterable
from enum import Enum
from functools import cached_property
from typing import Any

from taskq.codec.place import Place, Refused, name_of
from taskq.codec.records import (
    annotations_of,
    enum_of_value,
    is_model,
    is_record,
    layout,
    or_none,
    part_hints,
    put_together,
    validate_model,
    wire_name,
)
from taskq.codec.scalars import FROM_PLAIN

Revive = Callable[[Any, Place], Any]

_PLAIN = frozenset({str, int, float, bool, type(None), list, dict})
_SEQUENCES = (list, abc.Sequence, abc.MutableSequence, abc.Iterable, abc.Collection)
_MAPPINGS = (dict, abc.Mapping, abc.MutableMapping)
_SETS: dict[type, type] = {set: set, abc.Set: set, abc.MutableSet: set, frozenset: frozenset}
_UNIONS = (typing.Union, types.UnionType)
_WRAPPERS = ("Annotated", "Required", "NotRequired", "ReadOnly", "Final", "ClassVar", "Unpack")


class Shape:
    """An annotation, ready for the codec."""

    __slots__ = ("by_name", "names", "revive", "unresolved")

    def __init__(self, hint: object = Any) -> None:
        found = _Mentioned()
        found.look(hint)
        self.names = found.classes
        """The users' classes that the annotation mentions, also in their fields."""
        self.by_name = {name: cls for cls, name in self.names.items()}
        self.revive: Revive | None = _reviver(hint)
        """Builds up the annotated value from plain JSON; None: there is nothing to build.
        Gives back the very same object when it needs no change."""
        self.unresolved = found.unresolved
        """A name in the annotation that could not be resolved, so that anything fits it."""

    @staticmethod
    def of(hint: object) -> Shape:
        """The shape of an annotation (or the shape itself)."""
        if hint is Any:
            return ANYTHING
        return hint if isinstance(hint, Shape) else Shape(hint)


class Hints:
    """The annotations of one function. They are resolved at first use, then kept.

    An annotation that cannot be resolved counts as Any.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Hints:
        """The hints of a function. Keep them: resolving is the expensive part."""
        return cls(function)

    @cached_property
    def _shapes(self) -> tuple[tuple[Shape, ...], Shape, dict[str, Shape], Shape]:
        hints = self._hints
        positional: list[Shape] = []
        named: dict[str, Shape] = {}
        rest = others = ANYTHING
        try:
            parameters = inspect.signature(self._function).parameters.values()
        except (TypeError, ValueError):  # some builtins have no signature
            return (), rest, named, others
        for parameter in parameters:
            hint = hints.get(parameter.name, Any)
            shape = Shape.of(or_none(hint) if parameter.default is None else hint)
            if parameter.kind is parameter.VAR_POSITIONAL:
                rest = shape
            elif parameter.kind is parameter.VAR_KEYWORD:
                others = shape
            else:
                named[parameter.name] = shape
                if parameter.kind is not parameter.KEYWORD_ONLY:
                    positional.append(shape)
        return tuple(positional), rest, named, others

    @cached_property
    def _hints(self) -> dict[str, Any]:
        function = self._function
        if not isinstance(function, type) and not hasattr(function, "__annotations__"):
            function = getattr(function, "func", type(function).__call__)
        return annotations_of(function)

    @cached_property
    def plain(self) -> bool:
        """True if no parameter names a class or a type that JSON has no form for."""
        positional, rest, named, others = self._shapes
        return all(shape.revive is None for shape in (*positional, rest, *named.values(), others))

    @cached_property
    def result(self) -> Shape:
        """The shape of what the function returns."""
        return Shape.of(self._hints.get("return", Any))

    @cached_property
    def together(self) -> Shape:
        """A shape that mentions every class that some parameter mentions."""
        positional, rest, named, others = self._shapes
        whole = Shape()
        for shape in (*positional, rest, *named.values(), others):
            whole.names.update(shape.names)
            whole.by_name.update(shape.by_name)
        return whole

    def at(self, position: int) -> Shape:
        """The shape of the positional argument at that index."""
        positional, rest, _, _ = self._shapes
        return positional[position] if position < len(positional) else rest

    def named(self, name: str) -> Shape:
        """The shape of the argument given by that name."""
        _, _, named, others = self._shapes
        return named.get(name, others)


def _is_alias(hint: object) -> bool:
    """True for what Python 3.12's ``type`` statement (or TypeAliasType) makes."""
    return "TypeAliasType" in (type(hint).__name__, type(typing.get_origin(hint)).__name__)


def _aliased(alias: Any) -> Any:
    """What the alias stands for, with its own type variables replaced."""
    origin = typing.get_origin(alias)
    if origin is None:
        return alias.__value__
    known = dict(zip(origin.__type_params__, typing.get_args(alias), strict=False))
    return _filled(origin.__value__, known)


def _inner(hint: Any) -> Any:
    """The type behind Annotated, NewType, a type variable's bound and the like."""
    while True:
        origin = typing.get_origin(hint)
        if origin is typing.Annotated or getattr(origin, "_name", None) in _WRAPPERS:
            hint = typing.get_args(hint)[0]
        elif isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        elif isinstance(hint, typing.TypeVar):
            if hint.__constraints__:
                return typing.Union[hint.__constraints__]  # noqa: UP007 - a tuple of unknown length
            hint = Any if hint.__bound__ is None else hint.__bound__
        else:
            return hint


def _is_typed_dict(cls: type) -> bool:
    return issubclass(cls, dict) and hasattr(cls, "__required_keys__")


class _Mentioned:
    """Collects the users' classes that a hint mentions, also in the fields of those classes."""

    def __init__(self) -> None:
        self.classes: dict[type, str] = {}
        self.unresolved = ""
        self._seen: list[Any] = []  # compared by equality: not every hint has a hash

    def look(self, hint: Any) -> None:
        hint = _inner(hint)
        origin = typing.get_origin(hint)
        cls = origin if isinstance(origin, type) else hint
        if isinstance(hint, str | typing.ForwardRef):
            self.unresolved = getattr(hint, "__forward_arg__", str(hint))
        elif _is_alias(hint):
            if self._is_new(hint):
                self.look(_aliased(hint))
        elif origin is typing.Literal:
            self._look_at_all(type(one) for one in typing.get_args(hint))
        elif origin not in (type, abc.Callable):
            self._look_at_all(typing.get_args(hint))
            if is_record(cls):
                if cls not in self.classes:
                    self.classes[cls] = wire_name(cls)
                    self._look_at_all(part_hints(cls).values())
            elif isinstance(cls, type) and _is_typed_dict(cls) and self._is_new(cls):
                self._look_at_all(annotations_of(cls).values())

    def _look_at_all(self, hints: Iterable[Any]) -> None:
        for one in hints:
            self.look(one)

    def _is_new(self, hint: Any) -> bool:
        new = hint not in self._seen
        self._seen.append(hint)
        return new


def _reviver(hint: Any, active: tuple[Any, ...] = ()) -> Revive | None:
    hint = _inner(hint)
    if _is_alias(hint):
        if hint in active:  # an alias that mentions itself is compiled as deep as the value is

            def later(value: Any, place: Place) -> Any:
                revive = _reviver(hint)
                return value if revive is None else revive(value, place)

            return later
        return _reviver(_aliased(hint), (*active, hint))
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in _UNIONS:
        return _union(args, active)
    if origin is typing.Literal:
        return _union([type(one) for one in args], active)
    cls = origin or hint
    if not isinstance(cls, type):
        return None
    if is_record(cls):
        return _record(cls, args)
    if cls in FROM_PLAIN:
        return _scalar(cls)
    if cls in _SETS:
        return _items(_SETS[cls], cls, _reviver(args[0], active) if args else None)
    if cls is tuple:
        return _tuple(args, active)
    if cls in _SEQUENCES:
        item = _reviver(args[0], active) if args else None
        return None if item is None else _items(None, cls, item)
    if cls in _MAPPINGS and len(args) == 2:
        return _mapping(_key_reviver(args[0], active), _reviver(args[1], active))
    if _is_typed_dict(cls):
        return _typed_dict(cls)
    return None


def _misfit(value: object, place: Place, wanted: str) -> Refused:
    return Refused(place, f"expected {wanted}, found {name_of(type(value))}")


def _is_dict(value: object, place: Place, wanted: str) -> bool:
    """False for what was written with a tag, and is therefore exact. Refused for the rest."""
    if type(value) is not dict and type(value) in _PLAIN:
        raise _misfit(value, place, wanted)
    return type(value) is dict


def _same(new: Iterable[Any], old: Iterable[Any]) -> bool:
    return all(map(operator.is_, new, old))


def _scalar(cls: type) -> Revive:
    read = FROM_PLAIN[cls]

    def revive(value: Any, place: Place) -> Any:
        if type(value) not in _PLAIN:
            return value
        try:
            return read(value)
        except ValueError as error:
            found = name_of(type(value))
            raise Refused(place, f"expected {name_of(cls)}, found {found}: {error}") from error

    return revive


def _record(cls: type, args: tuple[Any, ...]) -> Revive:
    if issubclass(cls, Enum) or is_model(cls):
        make: Any = enum_of_value if issubclass(cls, Enum) else validate_model

        def revive(value: Any, place: Place) -> Any:
            return make(cls, value, place) if type(value) in _PLAIN else value

    else:
        variables: tuple[Any, ...] = getattr(cls, "__parameters__", ())
        known = dict(zip(variables, args, strict=False))
        parts: dict[str, Revive | None] = {}

        def revive(value: Any, place: Place) -> Any:
            if not _is_dict(value, place, name_of(cls)):
                return value
            if not all(type(name) is str for name in value):
                raise Refused(place, f"expected {name_of(cls)}, found a dict with other keys")
            if not parts:  # not before it is needed: a class may mention itself
                parts.update(
                    {one.name: _reviver(_filled(one.hint, known)) for one in layout(cls).parts}
                )
            given = {
                name: item if (fit := parts.get(name)) is None else fit(item, (place, f".{name}"))
                for name, item in value.items()
            }
            return put_together(cls, given, place, exact=False)

    return revive


def _filled(hint: Any, known: dict[Any, Any]) -> Any:
    """The hint with a generic class's type variables replaced."""
    if not known or isinstance(hint, type):
        return hint
    if isinstance(hint, typing.TypeVar):
        return known.get(hint, hint)
    variables = getattr(hint, "__parameters__", ())
    return hint[tuple(known.get(one, one) for one in variables)] if variables else hint


def _items(make: Callable[[Any], Any] | None, cls: type, item: Revive | None) -> Revive:
    """For a list, set or the like; ``make`` turns a list into it (None: it stays a list)."""

    def revive(value: Any, place: Place) -> Any:
        found = type(value)
        if found is not list and found in _PLAIN:
            raise _misfit(value, place, name_of(cls))
        if found not in (list, tuple, set, frozenset):
            return value
        new = value
        if item is not None:
            new = [item(one, (place, index)) for index, one in enumerate(value)]
        if found is list and make is not None:
            try:
                return make(new)
            except TypeError as error:
                raise Refused(place, f"expected {name_of(cls)}: {error}") from error
        return value if new is value or _same(new, value) else found(new)

    return revive


def _tuple(args: tuple[Any, ...], active: tuple[Any, ...]) -> Revive:
    if not args:
        return _items(tuple, tuple, None)
    if len(args) == 2 and args[1] is Ellipsis:
        return _items(tuple, tuple, _reviver(args[0], active))
    if any(typing.get_origin(one) is typing.Unpack for one in args):
        return _items(tuple, tuple, None)
    items = [_reviver(one, active) for one in args]

    def revive(value: Any, place: Place) -> Any:
        if type(value) not in (list, tuple):
            if type(value) in _PLAIN:
                raise _misfit(value, place, "a tuple")
            return value
        if len(value) != len(items):
            if type(value) is tuple:
                return value
            raise Refused(place, f"expected a tuple of {len(items)} items, found {len(value)}")
        new = tuple(
            one if fit is None else fit(one, (place, index))
            for index, (one, fit) in enumerate(zip(value, items, strict=True))
        )
        return value if type(value) is tuple and _same(new, value) else new

    return revive


def _key_reviver(hint: Any, active: tuple[Any, ...]) -> Revive | None:
    """For a dict's keys, which in plain JSON are always texts."""
    if _inner(hint) is not int:
        return _reviver(hint, active)

    def revive(value: Any, place: Place) -> Any:
        if type(value) is not str:
            return value
        try:
            return int(value)
        except ValueError as error:
            raise Refused(place, "expected keys that are whole numbers") from error

    return revive


def _mapping(key: Revive | None, item: Revive | None) -> Revive | None:
    if key is None and item is None:
        return None

    def revive(value: Any, place: Place) -> Any:
        if not _is_dict(value, place, "a dict"):
            return value
        new = {}
        for name, one in value.items():
            inside = (place, (name,))
            new_name = name if key is None else key(name, inside)
            new[new_name] = one if item is None else item(one, inside)
        if len(new) != len(value):
            raise Refused(place, "two of its keys are equal")
        return value if _same(new, value) and _same(new.values(), value.values()) else new

    return revive


def _typed_dict(cls: type) -> Revive:
    parts: dict[str, Revive | None] = {}

    def revive(value: Any, place: Place) -> Any:
        if not _is_dict(value, place, name_of(cls)):
            return value
        if not parts:  # not before it is needed: a class may mention itself
            parts.update({name: _reviver(hint) for name, hint in annotations_of(cls).items()})
        new = {
            name: one if (fit := parts.get(name)) is None else fit(one, (place, (name,)))
            for name, one in value.items()
        }
        return value if _same(new.values(), value.values()) else new

    return revive


def _members(args: Iterable[Any], active: tuple[Any, ...]) -> list[Any]:
    """The members of a union, with unions, literals and aliases among them spread out."""
    members: list[Any] = []
    for one in map(_inner, args):
        origin = typing.get_origin(one)
        if origin in _UNIONS:
            members += _members(typing.get_args(one), active)
        elif origin is typing.Literal:
            members += [type(value) for value in typing.get_args(one)]
        elif _is_alias(one) and one not in active:
            members += _members([_aliased(one)], (*active, one))
        else:
            members.append(one)
    return members


def _union(args: Iterable[Any], active: tuple[Any, ...]) -> Revive | None:
    members = [(one, _reviver(one, active)) for one in _members(args, active)]
    revivers = [revive for _, revive in members if revive is not None]
    if not revivers:
        return None
    exact: dict[type, list[Revive | None]] = {}
    anything = False
    for one, revive in members:
        kinds = _plain_kinds(one)
        anything = anything or (revive is None and not kinds)
        for kind in kinds:
            exact.setdefault(kind, []).append(revive)
    names = " | ".join(name_of(one) if isinstance(one, type) else str(one) for one, _ in members)

    def fit(value: Any, place: Place) -> Any:
        if type(value) not in _PLAIN:
            return value
        # Members of the value's own type first, and of those the ones that say more.
        same = exact.get(type(value), [])
        candidates = [one for one in same if one is not None]
        if not (anything or None in same):
            candidates += [one for one in revivers if one not in candidates]
        refusals: list[Refused] = []
        for revive in candidates:
            try:
                return revive(value, place)
            except Refused as refused:
                refusals.append(refused)
        if anything or None in same:
            return value
        if len(revivers) == 1:
            raise refusals[0]  # the only one says best what is wrong
        raise _misfit(value, place, names)

    return fit


def _plain_kinds(hint: Any) -> tuple[type, ...]:
    """The types of plain JSON that a member of a union takes as they are."""
    cls = typing.get_origin(hint) or hint
    if cls is float:
        return (float, int)
    if cls is int:
        return (int, bool)
    if cls in _PLAIN:
        return (cls,)
    if cls in _SEQUENCES:
        return (list, str)
    if cls in _MAPPINGS or (isinstance(cls, type) and _is_typed_dict(cls)):
        return (dict,)
    return (bytes,) if cls is bytes else ()


ANYTHING = Shape()
"""The shape of Any, and of what has no annotation."""

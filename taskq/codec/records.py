"""Values of users' classes: taken apart into named parts, and put together again.

A record is an instance of an Enum, a dataclass, a NamedTuple, an attrs class or a pydantic
model. attrs and pydantic are never imported here: their classes are known by what they
carry. Constructors and validators run, so a class's own checks hold for whatever comes in;
then the parts get exactly the values that were written, also those that the constructor
would compute anew.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import typing
from collections.abc import Iterator, Mapping
from enum import Enum, Flag
from types import SimpleNamespace
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from taskq.codec.place import Place, Refused, name_of


class Part(NamedTuple):
    """A field: its name, how the constructor calls it (None: it doesn't take it), its hint."""

    name: str
    argument: str | None
    hint: Any


class Layout(NamedTuple):
    """The parts of a class, and why its instances could not be put together again, if so."""

    parts: tuple[Part, ...]
    obstacle: str = ""


def is_model(cls: type) -> bool:
    """True for a pydantic model."""
    return hasattr(cls, "__pydantic_validator__") and hasattr(cls, "model_validate")


def is_named_tuple(cls: type) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_fields") and hasattr(cls, "_make")


def is_record(cls: object) -> bool:
    """True for a class whose instances can be taken apart and put together again."""
    return isinstance(cls, type) and (
        issubclass(cls, Enum)
        or is_model(cls)
        or dataclasses.is_dataclass(cls)
        or hasattr(cls, "__attrs_attrs__")
        or is_named_tuple(cls)
    )


def wire_name(cls: type) -> str:
    """The name under which a class travels, such as ``shop.models:Order``."""
    return f"{cls.__module__}:{cls.__qualname__}"


def annotations_of(owner: Any) -> dict[str, Any]:
    """The annotations of a class or a function, resolved one by one if need be.

    One that cannot be resolved (its name is imported under TYPE_CHECKING only, say) stays
    the text or the ForwardRef that it is, and spoils no other.
    """
    try:
        return typing.get_type_hints(owner, include_extras=True)
    except Exception:  # noqa: BLE001 - annotations are arbitrary code; each is tried again
        found: dict[str, Any] = {}
    for scope in reversed(owner.__mro__) if isinstance(owner, type) else (owner,):
        names = getattr(inspect.unwrap(scope), "__globals__", {})
        if isinstance(scope, type):
            names = {**vars(sys.modules.get(scope.__module__, typing)), **vars(scope)}
        try:
            declared = inspect.get_annotations(scope)
        except Exception:  # noqa: BLE001, S112 - as above; then nothing is known of this scope
            continue
        found.update({name: _resolved(name, hint, names) for name, hint in declared.items()})
    return found


def _resolved(name: str, hint: Any, names: dict[str, Any]) -> Any:
    holder: Any = SimpleNamespace(__annotations__={name: hint})
    try:
        return typing.get_type_hints(holder, names, include_extras=True)[name]
    except Exception:  # noqa: BLE001 - see annotations_of
        return hint


def or_none(hint: Any) -> Any:
    """The hint of something whose default is None, which its annotation need not say."""
    try:
        return hint if hint is Any else typing.Union[hint, None]  # noqa: UP007 - may be a text
    except (TypeError, SyntaxError):
        return hint  # an annotation that is no type at all


def part_hints(cls: Any) -> Mapping[str, Any]:
    """The hints of a record's parts by name."""
    if issubclass(cls, Enum):
        return {}
    if is_model(cls):
        fields: Mapping[str, Any] = getattr(cls, "model_fields", {})
        return {name: info.annotation for name, info in fields.items()}
    return {part.name: part.hint for part in layout(cls).parts}


_layouts: WeakKeyDictionary[type, Layout] = WeakKeyDictionary()


def layout(cls: type) -> Layout:
    """The parts of a dataclass, NamedTuple or attrs class."""
    known = _layouts.get(cls)
    if known is None:
        known = _layouts[cls] = _layout(cls)
    return known


def _layout(cls: type) -> Layout:
    hints = annotations_of(cls)
    parts: list[Part] = []
    for name, argument, default, declared in _fields(cls):
        hint = hints.get(name, declared)
        parts.append(Part(name, argument, or_none(hint) if default is None else hint))
    obstacle = ""
    try:
        inspect.signature(cls).bind(**{one.argument: None for one in parts if one.argument})
    except (TypeError, ValueError) as error:
        obstacle = f"cannot be rebuilt by calling it with its fields: {error}"
    return Layout(tuple(parts), obstacle)


def _fields(cls: Any) -> Iterator[tuple[str, str | None, Any, Any]]:
    """Name, constructor's argument, default (``...``: none) and declared type of each field."""
    if hasattr(cls, "__attrs_attrs__"):
        for one in cls.__attrs_attrs__:
            declared = Any if one.type is None else one.type
            default = None if one.default is None else ...
            yield one.name, one.alias if one.init else None, default, declared
    elif dataclasses.is_dataclass(cls):
        for one in dataclasses.fields(cls):
            default = None if one.default is None else ...
            yield one.name, one.name if one.init else None, default, Any
    else:
        defaults = cls._field_defaults
        for name in cls._fields:
            yield name, name, defaults.get(name, ...), Any


def take_apart(value: Any, place: Place) -> dict[str, Any]:
    """The parts of a dataclass, NamedTuple or attrs instance by name."""
    cls = type(value)
    parts, obstacle = layout(cls)
    if obstacle:
        raise Refused(place, f"{name_of(cls)} {obstacle}")
    if issubclass(cls, tuple):
        return dict(zip(cls._fields, value, strict=True))  # type: ignore[attr-defined]
    try:
        return {part.name: getattr(value, part.name) for part in parts}
    except Exception as error:  # a field may be a property of the user's
        raise Refused(
            place, f"a field of {name_of(cls)} cannot be read: {type(error).__name__}: {error}"
        ) from error


def put_together(cls: Any, values: dict[str, Any], place: Place, *, exact: bool) -> Any:
    """An instance of a dataclass, NamedTuple or attrs class with these parts.

    Parts that are missing get their defaults. ``exact``: the values were taken from an
    instance, so the new one has to equal it whatever its constructor makes of them.
    """
    parts = {part.name: part for part in layout(cls).parts}
    unknown = values.keys() - parts.keys()
    if unknown:
        names = ", ".join(sorted(repr(name[:60]) for name in unknown)[:5])
        raise Refused(place, f"{name_of(cls)} has no field {names}")
    taken: dict[str, Any] = {}
    for name, value in values.items():
        argument = parts[name].argument
        if argument is not None:
            taken[argument] = value
        elif not exact:
            raise Refused(place, f"the field {name} of {name_of(cls)} is computed, not given")
    try:
        made = cls(**taken)
        if not exact:
            return made
        changed = [name for name in values if getattr(made, name, ...) is not values[name]]
        if changed and isinstance(made, tuple):
            return cls._make([values.get(name, getattr(made, name)) for name in parts])
        for name in changed:
            object.__setattr__(made, name, values[name])
    except Exception as error:
        raise Refused(
            place, f"{name_of(cls)} did not accept its fields: {type(error).__name__}: {error}"
        ) from error
    return made


def write_enum(member: Enum) -> str | int:
    """What stands for the member: its name, or the number of a combination of flags."""
    cls = type(member)
    if member.name is not None and cls.__members__.get(member.name) is member:
        return member.name
    return typing.cast(int, member.value)


def read_enum(cls: type[Enum], content: object, place: Place) -> Enum:
    if type(content) is str and content in cls.__members__:
        return cls.__members__[content]
    if type(content) is int and issubclass(cls, Flag):
        return enum_of_value(cls, content, place)
    raise Refused(place, f"{name_of(cls)} has no such member")


def enum_of_value(cls: type[Enum], value: object, place: Place) -> Enum:
    """The member of that value."""
    try:
        return cls(value)
    except Exception as error:  # _missing_ is the user's
        raise Refused(place, f"is not a value of {name_of(cls)}") from error


class ModelState(NamedTuple):
    """What a pydantic model holds: its fields (and extra ones), and which of them were set."""

    values: dict[str, Any]
    given: set[str]


def take_model_apart(model: Any) -> ModelState:
    fields: Mapping[str, Any] = type(model).model_fields
    values = {name: value for name, value in vars(model).items() if name in fields}
    values.update(model.model_extra or {})
    return ModelState(values, set(model.model_fields_set))


def put_model_together(cls: Any, state: ModelState, place: Place) -> Any:
    """The model, validated, with the same fields counting as set."""
    made = validate_model(cls, _arguments(cls, state.values), place)
    made.model_fields_set.intersection_update(state.given)
    return made


def validate_model(cls: Any, content: object, place: Place) -> Any:
    """The model that pydantic builds from the content."""
    try:
        return cls.model_validate(content)
    except Exception as error:  # noqa: BLE001 - not its cause: pydantic's text quotes the input
        raise Refused(place, f"is not a {name_of(cls)}: {_complaint(error)}") from None


def model_as_json(model: Any, field: str, refusal: Refused) -> Any:
    """One field in the form that pydantic gives it in JSON; else ``refusal`` is raised."""
    try:
        return model.model_dump(mode="json", include={field}, round_trip=True)[field]
    except Exception as error:  # serialisers are the user's
        raise refusal from error


def model_comes_back(model: Any, state: ModelState) -> bool:
    """True if a model made of these values equals the one that they were taken from."""
    try:
        return bool(put_model_together(type(model), state, "") == model)
    except Exception:  # noqa: BLE001 - validators are the user's; no model, no equality
        return False


def _arguments(cls: Any, values: dict[str, Any]) -> Any:
    """The values under the names that the model's validation expects."""
    if getattr(cls, "__pydantic_root_model__", False):
        return values.get("root")
    by_alias: dict[str, Any] = {}
    for name, value in values.items():
        field = cls.model_fields.get(name)
        alias = getattr(field, "validation_alias", None)
        choices = getattr(alias, "choices", (alias,))
        by_alias[next((one for one in choices if isinstance(one, str)), name)] = value
    return by_alias


def _complaint(error: Exception) -> str:
    errors: Any = getattr(error, "errors", None)
    if not callable(errors):
        return f"{type(error).__name__}: {error}"
    told: Any = errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(
        f"{'.'.join(map(str, one['loc'])) or 'the value'}: {one['msg']}" for one in told[:5]
    )

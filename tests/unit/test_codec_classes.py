"""Users' classes: which of them travel, and how they are refused otherwise."""

from __future__ import annotations

import dataclasses
import enum
import json
import subprocess
import sys
from collections import OrderedDict, defaultdict, namedtuple
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar
from uuid import UUID, uuid4

import attrs
import pydantic
import pytest

from taskq.codec import Call, Codec, Hints
from taskq.errors import ConfigError, DecodeError, EncodeError


class Color(enum.Enum):
    RED = "r"
    GREEN = "g"
    ROUGE = "r"  # noqa: PIE796 - an alias is what is tested


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Kind(enum.StrEnum):
    SMALL = "small"


class Right(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()
    ALL = READ | WRITE


class Odd(enum.Enum):
    PAIR = (1, 2)
    NAN = float("nan")


@dataclass
class Line:
    name: str
    price: Decimal
    color: Color | None = None


@dataclass(frozen=True, slots=True)
class Order:
    id: UUID
    lines: list[Line]
    at: datetime
    tags: frozenset[str] = frozenset()
    extra: Any = None


@dataclass
class Sub(Line):
    more: int = 0


@dataclass
class Computed:
    """Its constructor changes what it is given and computes the rest."""

    text: str
    length: int = field(init=False)

    def __post_init__(self) -> None:
        self.text = self.text + "!"
        self.length = len(self.text)


@dataclass
class Checked:
    number: int

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError("negative")


@dataclass
class Seeded:
    seed: InitVar[int]
    value: int = 0


@dataclass(kw_only=True)
class Node:
    children: list[Node] = field(default_factory=list)
    above: Node | None = None
    name: str = ""


class Point(NamedTuple):
    x: int
    y: Color = Color.RED


Plain = namedtuple("Plain", ["a", "b"])


class Wilful(NamedTuple("Wilful", [("a", int)])):
    __slots__ = ()

    def __new__(cls, a: int) -> Wilful:
        return super().__new__(cls, a + 1)


@attrs.frozen
class Customer:
    name: str
    born: date
    _secret: str = "none"
    points: list[Point] = attrs.field(factory=list, converter=list)
    label: str = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "label", self.name.upper())


class Address(pydantic.BaseModel):
    street: str
    city: str = "Berlin"


class User(pydantic.BaseModel):
    name: str
    email: str | None = None
    born: date
    raw: bytes = b""
    address: Address = Address(street="none")
    level: Level = Level.LOW
    things: Any = None


class Aliased(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, extra="allow", frozen=True)

    number: int = pydantic.Field(alias="theNumber")
    at: datetime
    either: int = pydantic.Field(1, validation_alias=pydantic.AliasChoices("one", "two"))


class Site(pydantic.BaseModel):
    url: pydantic.HttpUrl


class Account(pydantic.BaseModel):
    password: pydantic.SecretStr


class Numbers(pydantic.RootModel[list[int]]):
    pass


class Private(pydantic.BaseModel):
    name: str
    _note: str = "default"


class Twice(pydantic.BaseModel):
    text: str

    @pydantic.field_validator("text")
    @classmethod
    def longer(cls, value: str) -> str:
        return value + "!"


@pydantic.dataclasses.dataclass
class Checking:
    number: int


T = TypeVar("T")
B = TypeVar("B", bound=Line)


@dataclass
class Box(Generic[T]):
    content: T


class Movie(TypedDict, total=False):
    line: Line
    year: int


OrderId = NewType("OrderId", Line)
LINE = Line("x", Decimal("1.10"), Color.GREEN)


def round_trip(value: Any, hint: Any = Any, codec: Codec | None = None) -> Any:
    codec = codec or Codec()
    return codec.decode(codec.encode(value, hint), hint)


INSTANCES: list[tuple[Any, Any]] = [
    (Color.RED, Color),
    (Color.ROUGE, Color),
    (Level.HIGH, Level),
    (Kind.SMALL, Kind),
    (Right.READ, Right),
    (Right.ALL, Right),
    (Right(0), Right),
    (Odd.PAIR, Odd),
    (Odd.NAN, Odd),
    (LINE, Line),
    (Order(UUID(int=1), [LINE], datetime(2024, 1, 1, tzinfo=UTC), frozenset({"a"})), Order),
    (Computed("x"), Computed),
    (Checked(1), Checked),
    (Node(name="top", children=[Node(above=Node(name="other"))]), Node),
    (Point(1, Color.GREEN), Point),
    (Plain((1,), {"x": 1}), Plain),
    (Customer("ann", date(2000, 1, 1), "s", [Point(2)]), Customer),
    (User(name="u", born=date(2000, 1, 1), raw=b"\xff\x00", level=Level.HIGH), User),
    (User(name="u", born=date(2000, 1, 1), things=(1, {2: date(1, 1, 1)})), User),
    (Aliased(theNumber=1, at=datetime(2024, 1, 1), one=2, more=[1]), Aliased),
    (Site(url="https://example.com/a"), Site),
    (Numbers([1, 2]), Numbers),
    (Checking(3), Checking),
    (Box(LINE), Box[Line]),
]


@pytest.mark.parametrize(
    ("value", "hint"), INSTANCES, ids=lambda value: getattr(value, "__name__", type(value).__name__)
)
class TestInstances:
    def test_it_comes_back_equal_and_of_its_class(self, value: Any, hint: Any) -> None:
        back = round_trip(value, hint)
        assert type(back) is type(value)
        assert back == value

    def test_it_travels_where_any_annotation_mentions_its_class(
        self, value: Any, hint: Any
    ) -> None:
        for wider, wrapped in [
            (list[hint], [value]),
            (hint | None, value),
            (dict[str, tuple[hint, ...]], {"a": (value,)}),
            (Sequence[hint], (value, value)),
            (Mapping[str, hint | int], {"x": value, "y": 1}),
            (Annotated[list[Annotated[hint, "note"]], {}], [value]),
            (tuple[int, hint], (1, value)),
            (Box[list[hint]], Box([value])),
        ]:
            assert round_trip(wrapped, wider) == wrapped

    def test_it_travels_if_it_is_registered(self, value: Any, hint: Any) -> None:
        codec = Codec(types=[type(value), Line])
        assert round_trip({"a": [value]}, Any, codec) == {"a": [value]}

    def test_it_is_refused_where_nothing_names_it(self, value: Any, hint: Any) -> None:
        name = type(value).__name__
        with pytest.raises(EncodeError, match=rf"types=\[{name}\]") as caught:
            Codec().encode_call(Call(([0, value],)), Hints.of(lambda x: x))
        assert caught.value.path == "args[0][1]"

    def test_it_is_not_read_where_nothing_names_it(self, value: Any, hint: Any) -> None:
        data = Codec().encode(value, hint)
        with pytest.raises(DecodeError, match="names the class"):
            Codec().decode(data)


def test_identity_of_enum_members_is_kept() -> None:
    assert round_trip(Color.ROUGE, Color) is Color.RED
    assert round_trip(Odd.NAN, Odd) is Odd.NAN


def test_enums_and_records_can_be_keys_and_items_of_sets() -> None:
    value = {Color.RED: {Point(1), Point(2)}}
    assert round_trip(value, dict[Color, set[Point]]) == value


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (OrderId, LINE),
        (B, LINE),
        (list[B], [LINE]),
        (Literal[Color.RED], Color.RED),
        (Movie, {"line": LINE, "year": 1}),
        (OrderedDict[str, Line], {"a": LINE}),
    ],
)
def test_what_else_names_a_class(hint: Any, value: Any) -> None:
    assert round_trip(value, hint) == value


def test_arguments_are_named_by_position_and_name() -> None:
    def work(line: Line, /, *lines: Point, color: Color, **colors: Level) -> Order: ...

    hints = Hints.of(work)
    codec = Codec()
    call = Call((LINE, Point(1), Point(2)), {"color": Color.RED, "x": Level.LOW, "y": Level.HIGH})
    assert codec.decode_call(codec.encode_call(call, hints), hints) == call
    order = Order(UUID(int=1), [LINE], datetime(2024, 1, 1))
    assert codec.decode(codec.encode(order, hints.result), hints.result) == order
    for wrong, path in [
        (Call((Point(1),)), "args[0]"),
        (Call((LINE, LINE)), "args[1]"),
        (Call((LINE,), {"color": Level.LOW}), "kwargs['color']"),
        (Call((LINE,), {"z": Color.RED}), "kwargs['z']"),
    ]:
        with pytest.raises(EncodeError) as caught:
            codec.encode_call(wrong, hints)
        assert caught.value.path == path


def test_the_path_goes_through_fields() -> None:
    line = Line("x", object())  # type: ignore[arg-type]  # what is tested
    order = Order(UUID(int=1), [LINE, line], datetime(2024, 1, 1))
    user = User(name="u", born=date(2000, 1, 1), things={"a": [object()]})

    def work(order: Order, user: User) -> None: ...

    for call, path in [
        (Call((order,)), "args[0].lines[1].price"),
        (Call(kwargs={"user": user}), "kwargs['user'].things['a'][0]"),
    ]:
        with pytest.raises(EncodeError) as caught:
            Codec().encode_call(call, Hints.of(work))
        assert caught.value.path == path


def test_a_subclass_is_refused_unless_it_is_named_itself() -> None:
    value = Sub("x", Decimal(1))
    with pytest.raises(EncodeError, match="a subclass of Line that is not named itself"):
        Codec().encode(value, Line)
    assert type(round_trip(value, Line | Sub)) is Sub
    assert type(round_trip(value, Line, Codec(types=[Sub]))) is Sub


def test_registering_a_class_registers_those_of_its_fields() -> None:
    assert round_trip(LINE, Any, Codec(types=[Order])) == LINE


@pytest.mark.parametrize("cls", [int, datetime, object, "Order", LINE, Exception])
def test_only_such_classes_can_be_registered(cls: Any) -> None:
    with pytest.raises(ConfigError, match="types"):
        Codec(types=[cls])


def test_a_class_that_moved_is_known_by_its_qualified_name() -> None:
    data = Codec().encode(LINE, Line).replace(__name__.encode(), b"__main__")
    assert b"__main__:Line" in data
    assert Codec().decode(data, Line) == LINE

    def make() -> type:
        @dataclass
        class Line:
            name: str

        Line.__qualname__ = "Line"
        Line.__module__ = "elsewhere"
        return Line

    with pytest.raises(DecodeError, match="names the class"):
        Codec().decode(data, Line | make())


def test_two_classes_of_one_name_do_not_take_each_others_place() -> None:
    def make(kind: Any) -> Any:
        return dataclasses.make_dataclass("Twin", [("a", kind)])

    one, two = make(int), make(str)
    codec = Codec()
    back = [cls for cls in (one, two) if _travels(codec, cls(1), one | two)]
    assert len(back) == 1
    assert type(codec.decode(codec.encode(back[0](1), one | two), one | two)) is back[0]


def _travels(codec: Codec, value: Any, hint: Any) -> bool:
    try:
        codec.encode(value, hint)
    except EncodeError:
        return False
    return True


class TestConstructors:
    def test_what_they_compute_does_not_change_what_travels(self) -> None:
        value = Computed("x")
        value.length = 77
        back = round_trip(value, Computed)
        assert (back.text, back.length) == ("x!", 77)
        assert round_trip(Wilful(1), Wilful) == (2,)

    def test_they_refuse_what_they_would_not_take(self) -> None:
        value = Checked(1)
        value.number = -1
        data = Codec().encode(value, Checked)
        with pytest.raises(
            DecodeError, match=r"value .*Checked did not accept its fields.*negative"
        ):
            Codec().decode(data, Checked)

    def test_one_that_needs_more_than_the_fields_is_refused_at_once(self) -> None:
        with pytest.raises(EncodeError, match=r"Seeded cannot be rebuilt .* 'seed'"):
            Codec().encode(Seeded(1), Seeded)

    def test_missing_fields_get_their_defaults(self) -> None:
        name = f"{__name__}:Line"
        data = json.dumps({"$object": [name, {"name": "x", "price": 1}]}).encode()
        assert Codec().decode(data, Line) == Line("x", 1)  # type: ignore[arg-type]  # as sent

    def test_unknown_fields_are_refused(self) -> None:
        name = f"{__name__}:Line"
        data = json.dumps({"$object": [name, {"name": "x", "size": 1}]}).encode()
        with pytest.raises(DecodeError, match="Line has no field 'size'"):
            Codec().decode(data, Line)

    def test_a_field_that_is_not_set_is_told(self) -> None:
        value = Computed("x")
        del value.length
        with pytest.raises(EncodeError, match="length"):
            Codec().encode(value, Computed)


class TestModels:
    def test_the_fields_that_were_set_are_kept(self) -> None:
        user = User(name="u", born=date(2000, 1, 1))
        assert round_trip(user, User).model_fields_set == {"name", "born"}
        full = User(**dict(user))
        assert round_trip(full, User).model_fields_set == set(User.model_fields)

    def test_what_pydantic_would_lose_is_refused(self) -> None:
        with pytest.raises(EncodeError, match="SecretStr") as caught:
            Codec().encode(Account(password="very secret"), Account)
        assert caught.value.path == "value.password"
        assert "very secret" not in str(caught.value)

    def test_validation_that_changes_the_model_is_told(self) -> None:
        with pytest.raises(EncodeError, match="its validation"):
            Codec().encode(Twice(text="x"), Twice)

    def test_private_attributes_are_not_lost_in_silence(self) -> None:
        model = Private(name="x")
        assert round_trip(model, Private) == model
        model._note = "changed"
        with pytest.raises(EncodeError, match="private attribute"):
            Codec().encode(model, Private)

    def test_the_input_is_not_quoted_when_it_does_not_fit(self) -> None:
        with pytest.raises(DecodeError, match="born: Field required") as caught:
            Codec().decode(b'{"name": 12345}', User)
        assert "12345" not in str(caught.value)

    def test_pickle_takes_them_too(self) -> None:
        codec = Codec(pickle=True)
        assert codec.decode(codec.encode(Twice(text="x"), Twice), Twice) == Twice(text="x")
        secret = Account(password="very secret")
        assert codec.decode(codec.encode(secret, Account), Account) == secret


@pytest.mark.parametrize(
    "value",
    [defaultdict(list, a=[1]), OrderedDict(a=1), enum.Enum, type("S", (set,), {})({1}), uuid4],
)
def test_relatives_of_ordinary_types_are_refused(value: Any) -> None:
    with pytest.raises(EncodeError):
        Codec().encode(value)


def test_attrs_and_pydantic_are_not_needed() -> None:
    code = "import sys, taskq.codec; print({'attr', 'attrs', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"

"""Annotations are converted both ways; what cannot be stored is refused when the function is defined."""

# ruff: noqa: PYI061, UP007, UP045 -- unions as older code writes them

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    TypedDict,
    TypeVar,
    Union,
)

import bson
import pytest
from bson import ObjectId
from pydantic import BaseModel, Field

from mongoq import ConfigurationError, Done, InvalidTask, Modification, NewTask
from mongoq.functions.definition import Definition
from mongoq.storage.documents.codec import CODEC

T = TypeVar("T")
UserId = NewType("UserId", int)


class Color(Enum):
    RED = "red"
    GREEN = "green"


class Level(IntEnum):
    LOW = 1


class Word(StrEnum):
    YES = "yes"


class Odd(Enum):
    POINT = (1, 2)


class Price(NamedTuple):
    amount: Decimal
    currency: str = "CHF"


class Address(TypedDict):
    street: str
    since: NotRequired[date]


@dataclass
class Line:
    item: str
    price: Decimal
    tags: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Order:
    lines: list[Line]
    placed: date
    color: Color | None = None
    parent: Order | None = None


class Customer(BaseModel):
    name: str
    born: date
    limit: Decimal = Decimal(0)
    kind: Color = Color.RED
    web_site: str | None = Field(default=None, alias="webSite")


@dataclass
class Generics(Generic[T]):
    value: T


def stored(annotation: Any, value: Any) -> Any:
    """What comes back from the database of a call with this value."""

    def function(value: Any) -> None: ...

    function.__annotations__["value"] = annotation
    definition = Definition(function, {})
    tags = definition.signature.tags((value,), {})
    return bson.decode(bson.encode(tags, codec_options=CODEC), CODEC)["value"]


def through(annotation: Any, value: Any) -> Any:
    """What a function gets that was called with this value by way of the database."""

    def function(value: Any) -> Any:
        return value

    function.__annotations__["value"] = annotation
    definition = Definition(function, {})
    _, named = definition.signature.arguments({"value": stored(annotation, value)})
    return named["value"]


NOW = datetime(2026, 8, 1, 9, 30, 0, 123_000, UTC)
ID = uuid.UUID(int=7)

BOTH_WAYS: list[tuple[Any, Any]] = [
    (bool, True), (int, 42), (float, 1.5), (str, "é"), (bytes, b"\0"), (None, None), (uuid.UUID, ID), (datetime, NOW),
    (Decimal, Decimal("1.10")), (Decimal, Decimal("NaN")), (date, date(2026, 8, 1)), (time, time(9, 30, 0, 5)),
    (timedelta, timedelta(days=2, microseconds=5)), (Path, Path("/a/b")), (Color, Color.RED), (Level, Level.LOW),
    (Word, Word.YES), (Literal["a", 1, None], 1), (UserId, UserId(3)), (Annotated[int, "seconds"], 3),
    (ObjectId, ObjectId("65a1f0c2d4e5b6a798c0d1e2")), (list[date], [date(2026, 8, 1)]), (list, [1, "a"]),
    (tuple[int, date], (1, date(2026, 8, 1))), (tuple[int, ...], (1, 2)), (tuple[()], ()), (set[str], {"b", "a"}),
    (frozenset[Color], frozenset({Color.RED, Color.GREEN})), (Sequence[Decimal], [Decimal(1)]),
    (dict[str, Decimal], {"a": Decimal(1)}), (dict[int, str], {3: "a"}), (dict[Color, int], {Color.RED: 1}),
    (dict[uuid.UUID, int], {ID: 1}), (dict[date, int], {date(2026, 8, 1): 1}), (Mapping[str, Any], {"a": [1]}),
    (Optional[date], None), (Optional[date], date(2026, 8, 1)), (int | str, "a"), (int | str, 3), (bool | None, True),
    (Union[date, datetime], NOW), (Union[date, datetime], date(2026, 8, 1)), (float | None, 2.0),
    (list[Line] | Price, Price(Decimal(1))), (uuid.UUID | str, ID), (uuid.UUID | str, "a"),
    (Price, Price(Decimal("9.90"))), (Address, {"street": "x"}), (Address, {"street": "x", "since": date(2026, 8, 1)}),
    (Line, Line("pen", Decimal("1.10"), {"a", "b"})),
    (Order, Order([Line("pen", Decimal("1.10"))], date(2026, 8, 1), Color.GREEN, Order([], date(2025, 1, 1)))),
    (Customer, Customer(name="Ada", born=date(1815, 12, 10), limit=Decimal("1.5"), webSite="x")),
    (list[Customer], [Customer(name="Ada", born=date(1815, 12, 10))]), (Any, {"a": [1, None]}), (object, 3),
]  # fmt: skip


@pytest.mark.parametrize(
    "annotation, value", BOTH_WAYS, ids=[f"{place} {kind}"[:50] for place, (kind, _) in enumerate(BOTH_WAYS)]
)
def test_a_value_is_the_same_on_both_sides(annotation: Any, value: Any) -> None:
    got = through(annotation, value)
    if isinstance(value, Decimal) and value.is_nan():
        assert got.is_nan()
    else:
        assert got == value
        assert type(got) is type(value)


def test_values_are_stored_so_that_other_languages_can_write_and_read_them() -> None:
    assert stored(date, date(2026, 8, 1)) == "2026-08-01"
    assert stored(time, time(9, 30)) == "09:30:00"
    assert stored(timedelta, timedelta(minutes=1)) == 60.0
    assert stored(Color, Color.RED) == "red"
    assert stored(set[str], {"c", "a", "b"}) == ["a", "b", "c"]
    assert stored(Line, Line("pen", Decimal("1.10"))) == {"item": "pen", "price": Decimal("1.10"), "tags": []}
    assert stored(Customer, Customer(name="Ada", born=date(1815, 12, 10))) == {
        "name": "Ada", "born": "1815-12-10", "limit": Decimal(0), "kind": "red", "webSite": None,
    }  # fmt: skip
    assert type(stored(float, 3)) is float


WRONG: list[tuple[Any, Any, str]] = [
    (int, "42", "f(value): '42' is not an int"),
    (float, "1", "f(value): '1' is not a float"),
    (str, None, "f(value): None is not a str"),
    (datetime, datetime(2026, 8, 1), "is not a datetime with a time zone"),  # noqa: DTZ001 -- the fault
    (date, NOW, "is not a date"),
    (Decimal, 1.5, "f(value): 1.5 is not a Decimal"),
    (Color, "red", "f(value): 'red' is not a Color: 'red', 'green'"),
    (Literal["a", "b"], "c", "f(value): 'c' is not one of 'a', 'b'"),
    (Literal[1], True, "f(value): True is not one of 1"),
    (list[int], "12", "f(value): '12' is not a list"),
    (list[int], [1, "2"], "f(value[1]): '2' is not an int"),
    (Sequence[str], "ab", "f(value): 'ab' is not a list or tuple"),
    (tuple[int, int], (1,), "f(value): (1,) is not a tuple of 2"),
    (tuple[int, int], (1, "a"), "f(value[1]): 'a' is not an int"),
    (dict[str, int], {"a": "b"}, "f(value.a): 'b' is not an int"),
    (dict[str, int], {1: 2}, "is not a str"),
    (Line, {"item": "pen"}, "is not a Line"),
    (Order, Order([Line("pen", "1")], date(2026, 8, 1)), "f(value.lines[0].price): '1' is not a Decimal"),  # type: ignore[arg-type]
    (Address, {"stret": "x"}, "is not a Address: it has no stret"),
    (Address, {}, "is not a Address: it lacks street"),
    (int | str, 1.5, "f(value): 1.5 is not an int or a str"),
    (Optional[date], "2026-08-01", "is not a date or None"),
    (Customer, {"name": "Ada"}, "is not a Customer"),
]


@pytest.mark.parametrize("annotation, value, told", WRONG, ids=[told for *_, told in WRONG])
def test_a_value_of_the_wrong_kind_is_refused_in_the_caller_by_its_place(
    annotation: Any, value: Any, told: str
) -> None:
    def f(value: Any) -> None: ...

    f.__annotations__["value"] = annotation
    definition = Definition(f, {})
    with pytest.raises(InvalidTask) as refused:
        definition.signature.tags((value,), {})
    assert told in str(refused.value)


ODD_STORED: list[tuple[Any, Any, str]] = [
    (int, 42.0, ""), (int, 42.5, "42.5 is not an int"), (Decimal, 3, ""), (timedelta, 60, ""),
    (date, "x", "the text of a date"),
    (Color, "blue", "is not a Color"), (Line, {"item": "pen", "price": Decimal(1), "later": 3}, ""),
    (Line, {"price": Decimal(1)}, "is not a Line: it lacks item"), (list[int], {"a": 1}, "is not a list"),
    (Customer, {"name": "Ada"}, "is not a Customer: ValidationError"), (set[Any], [[1]], "is not a set"),
]  # fmt: skip


@pytest.mark.parametrize(
    "annotation, value, told", ODD_STORED, ids=[f"{kind} {value}" for kind, value, _ in ODD_STORED]
)
def test_what_a_foreign_producer_has_stored_is_read_or_refused_by_its_place(
    annotation: Any, value: Any, told: str
) -> None:
    def f(value: Any) -> None: ...

    f.__annotations__["value"] = annotation
    definition = Definition(f, {})
    if not told:
        definition.signature.arguments({"value": value})
        return
    with pytest.raises(InvalidTask) as refused:
        definition.signature.arguments({"value": value})
    assert told in str(refused.value)
    assert str(refused.value).startswith("f(value")


REFUSED: list[tuple[Any, str]] = [
    (complex, "a class of its own"), (Callable[[], None], "code cannot be stored"), (T, "a type variable"),
    (type, "code cannot be stored"), (Odd, "the value of Odd.POINT"), (date | str, "stored alike"),
    (list[int] | set[int], "stored alike"), (timedelta | int, "stored alike"), (Line | Customer, "stored alike"),
    (dict[float, int], "keys of a dict"), (list[complex], "a class of its own"), (Generics[int], "a class of its own"),
    ("no_such_name", "its annotations cannot be evaluated"), (Color | str, "stored alike"),
    ([int], "no way to store it"),
]  # fmt: skip


@pytest.mark.parametrize("annotation, told", REFUSED, ids=[str(kind) for kind, _ in REFUSED])
@pytest.mark.parametrize("where", ["value", "return"])
def test_what_cannot_be_stored_is_refused_when_the_function_is_defined(annotation: Any, told: str, where: str) -> None:
    def charge(value: Any) -> Any: ...

    charge.__annotations__[where] = annotation
    with pytest.raises(ConfigurationError) as refused:
        Definition(charge, {})
    assert told in str(refused.value)
    assert "charge(" in str(refused.value)


def test_the_refusal_of_a_field_names_it_and_its_class() -> None:
    @dataclass
    class Broken:
        inner: complex

    def charge(value: Any) -> None: ...

    charge.__annotations__["value"] = list[Broken]
    with pytest.raises(ConfigurationError, match=r"charge\(value\).*its field 'inner' is annotated complex"):
        Definition(charge, {})


def test_parameters_that_have_no_name_of_their_own_are_refused() -> None:
    for function, told in (
        (lambda *values: None, r"\*values is not a parameter with a name"),
        (lambda **values: None, r"\*\*values is not a parameter with a name"),
        (lambda _hidden: None, "as each becomes a tag"),
    ):
        with pytest.raises(ConfigurationError, match=told):
            Definition(function, {}, name="f")


def test_positional_and_keyword_parameters_keep_their_kind() -> None:
    def f(a: int, /, b: int = 2, *, c: date = date(2026, 1, 1)) -> tuple[int, int, date]:
        return a, b, c

    signature = Definition(f, {}).signature
    tags = signature.tags((1,), {"c": date(2026, 8, 1)})
    positional, named = signature.arguments(tags)

    assert f(*positional, **named) == (1, 2, date(2026, 8, 1))
    for args, kwargs, told in (
        ((1, 2, 3), {}, r"f\(\*\): 3 positional arguments is not at most the 2"),
        ((1,), {"a": 3}, "is not given once"),
        ((), {"a": 3}, "positional only"),
        ((1,), {"bb": 2}, "did you mean 'b'"),
    ):
        with pytest.raises(InvalidTask, match=told):
            signature.tags(args, kwargs)


def test_the_result_is_what_remains_of_an_annotation_with_tasks_that_follow() -> None:
    for annotation, stored_as in (
        (Done[date], "2026-08-01"), (Done[date] | None, "2026-08-01"), (date | NewTask, "2026-08-01"),
        (date | list[NewTask] | Modification, "2026-08-01"),
    ):  # fmt: skip

        def f() -> None: ...

        f.__annotations__["return"] = annotation
        signature = Definition(f, {}).signature
        assert signature.stored_result(date(2026, 8, 1)) == stored_as
        assert signature.result(stored_as) == date(2026, 8, 1)
        following = NewTask()
        assert signature.stored_result(following) is following
        assert signature.stored_result(Done(date(2026, 8, 1), then=[following])).result == "2026-08-01"

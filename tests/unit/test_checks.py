from __future__ import annotations

import math
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from http import HTTPStatus
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId

from mongoq.core.errors import ConfigurationError, InvalidTask
from mongoq.core.validation import DEEPEST, LONGEST, MOST_FAULTS, Checker, shortened, suggesting


def faults_of(checker: Checker) -> list[str]:
    return [str(fault) for fault in checker.faults]


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -(2**63), 2**63 - 1, 1.5, math.inf, "", "ünï", "nul\0inside", b"\x00\xff", uuid.UUID(int=7),
        ObjectId("65a1f0c2d4e5b6a798c0d1e2"), Decimal128("1.1"), Int64(5), Int64(2**63 - 1), HTTPStatus.OK,
        datetime(2030, 1, 1, tzinfo=UTC), [], [[1], (2, [3])], {"a": {"b": [None]}},
    ],
    ids=repr,
)  # fmt: skip
def test_what_bson_carries_is_accepted(value: object) -> None:
    checker = Checker()
    checker.value("payload", value)
    checker.tags("tags", {"name": value})
    assert faults_of(checker) == []


@pytest.mark.parametrize(
    "value, allowed",
    [
        (object(), "object is none"),
        (Decimal("1." + "1" * 34), "at most 34 digits"),
        (1j, "complex is none"),
        (range(3), "range is none"),
        (2**63, "an integer of 64 bits"),
        (-(2**63) - 1, "an integer of 64 bits"),
        ("\ud800", "lone surrogate"),
        (datetime(2030, 1, 1), "a datetime with a time zone"),  # noqa: DTZ001 -- the fault
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_what_bson_cannot_carry_is_refused_wherever_it_hides(value: object, allowed: str) -> None:
    checker = Checker()
    checker.value("payload", {"deep": [0, value]})
    checker.tags("tags", {"name": value})
    first, second = checker.faults
    assert (first.field, second.field) == ("payload.deep[1]", "tags.name")
    assert allowed in first.allowed
    assert first.value == shortened(value)


@pytest.mark.parametrize("name", [1, None, b"a", "nul\0", "\ud800", ("a",)], ids=repr)
def test_a_name_that_is_no_string_of_utf8_is_refused(name: object) -> None:
    checker = Checker()
    checker.value("payload", {"inner": {name: 1}})
    assert [(fault.field, fault.value) for fault in checker.faults] == [("payload.inner name", repr(name))]


@pytest.mark.parametrize("name", ["", "$set", "a.b", "."])
def test_a_name_that_a_filter_would_misread_is_refused_in_tags_and_fine_in_a_payload(name: str) -> None:
    checker = Checker()
    checker.value("payload", {"inner": {name: 1}})
    assert faults_of(checker) == []
    checker.tags("tags", {"inner": [{name: 1}]})
    assert [fault.field for fault in checker.faults] == ["tags.inner[0] name"]


@pytest.mark.parametrize("name", ["", "$a", "a.b", "1st", "_a", "ä", "a b", "a\n", "a" * 129, 1, None], ids=repr)
def test_a_tag_is_named_like_an_ascii_identifier(name: object) -> None:
    checker = Checker()
    checker.tags("tags", {name: 1})
    (fault,) = checker.faults
    assert fault.field == "tags name"
    assert "[A-Za-z][A-Za-z0-9_]" in fault.allowed


@pytest.mark.parametrize("value", [None, [], "a=1", 7, [("a", 1)]], ids=repr)
def test_tags_are_a_mapping(value: object) -> None:
    checker = Checker()
    checker.tags("tags", value)
    assert 'such as {"user": 42}' in checker.faults[0].allowed


def test_values_nest_as_deep_as_promised_and_no_deeper() -> None:
    checker = Checker()
    checker.value("payload", nested(DEEPEST))
    checker.tags("tags", {"a": nested(DEEPEST - 1)})
    assert faults_of(checker) == []
    checker.value("payload", nested(DEEPEST + 1))
    checker.tags("tags", {"a": nested(DEEPEST)})
    assert [fault.allowed for fault in checker.faults] == [f"nested at most {DEEPEST} levels deep"] * 2


def test_nesting_of_2000_levels_is_refused_without_a_recursion_error() -> None:
    checker = Checker()
    checker.value("payload", nested(2000))
    assert len(checker.faults) == 1


def test_a_list_that_holds_itself_is_refused_at_once() -> None:
    once: list[Any] = []
    once.append(once)
    twice: dict[str, Any] = {}
    twice |= {"a": twice, "b": [twice, once]}
    checker = Checker()
    checker.value("payload", once)
    checker.value("payload", twice)
    assert 2 <= len(checker.faults) <= MOST_FAULTS


def test_many_faults_are_not_all_told() -> None:
    checker = Checker()
    checker.value("payload", [1j] * 200_000)
    assert len(checker.faults) == MOST_FAULTS


@pytest.mark.parametrize(
    "value, seconds",
    [(0, 0), (1.5, 1.5), (timedelta(minutes=1), 60), (LONGEST, LONGEST.total_seconds())],
)
def test_a_duration_is_a_timedelta_or_a_number_of_seconds(value: Any, seconds: float) -> None:
    checker = Checker()
    assert checker.duration("delay", value) == timedelta(seconds=seconds)
    assert faults_of(checker) == []


@pytest.mark.parametrize(
    "value",
    [
        -1, -0.1, math.nan, math.inf, -math.inf, timedelta(seconds=-1), timedelta.max, LONGEST + timedelta(seconds=1),
        10**15, 10**400, -(10**400), True, "5", None, Decimal(5), [5],
    ],
    ids=shortened,
)  # fmt: skip
def test_any_other_duration_is_refused_by_name_value_and_what_is_allowed(value: Any) -> None:
    checker = Checker()
    assert checker.duration("delay", value) is None
    (fault,) = checker.faults
    assert fault.field == "delay"
    assert fault.value == shortened(value)
    assert "at most 10 years" in fault.allowed


def test_a_positive_duration_is_not_zero() -> None:
    checker = Checker()
    assert checker.duration("lease", 0, positive=True) is None
    assert "above 0" in checker.faults[0].allowed


@pytest.mark.parametrize("value", [math.nan, math.inf, 1.0, True, False, "1", None, 2**63, -(2**63) - 1], ids=repr)
def test_a_priority_is_an_integer_of_64_bits(value: object) -> None:
    checker = Checker()
    checker.priority("priority", value)
    assert [(fault.field, fault.value) for fault in checker.faults] == [("priority", repr(value))]


def test_an_instant_comes_back_in_utc_and_whole_milliseconds() -> None:
    there = datetime(2030, 1, 1, 2, 0, 0, 123_999, tzinfo=timezone(timedelta(hours=2)))
    assert Checker().instant("run_at", there) == datetime(2030, 1, 1, 0, 0, 0, 123_000, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        datetime(2030, 1, 1),  # noqa: DTZ001 -- the fault
        datetime.min.replace(tzinfo=timezone(timedelta(hours=5))),
        date(2030, 1, 1),
        "2030-01-01T00:00:00Z",
        1_900_000_000,
    ],
    ids=repr,
)
def test_an_instant_without_a_place_in_time_is_refused(value: object) -> None:
    checker = Checker()
    assert checker.instant("run_at", value) is None
    assert "with a time zone" in checker.faults[0].allowed


@pytest.mark.parametrize("value", ["", "a" * 513, "nul\0", "\udfff", 7, None, b"key"], ids=shortened)
def test_a_key_is_a_short_string_of_utf8_without_nul(value: object) -> None:
    checker = Checker()
    checker.text("key", value, 512)
    assert checker.faults[0].field == "key"


def test_all_faults_are_raised_together_each_with_field_value_and_what_is_allowed() -> None:
    checker = Checker(InvalidTask)
    checker.priority("priority", 1.5)
    checker.duration("delay", -1)
    with pytest.raises(InvalidTask) as caught:
        checker.finish()
    assert [fault.field for fault in caught.value.faults] == ["priority", "delay"]
    assert "priority: 1.5 is not an integer from" in str(caught.value)
    assert "; delay: -1 is not a timedelta or a number of seconds" in str(caught.value)


def test_a_checker_without_faults_raises_nothing() -> None:
    Checker().finish()


def test_a_near_miss_gets_a_suggestion() -> None:
    checker = Checker()
    checker.one_of("on_conflict", "skipp", ("error", "skip"))
    with pytest.raises(ConfigurationError, match=r"one of error, skip; did you mean 'skip'\?"):
        checker.finish()


def test_a_misspelt_keyword_is_corrected() -> None:
    @suggesting
    def new(*, priority: int = 0, delay: int = 0) -> int:
        return priority + delay

    assert new(priority=2, delay=1) == 3
    with pytest.raises(TypeError, match=r"new\(\) has no option 'priorty'; did you mean 'priority'\?"):
        new(priorty=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"has no option 'xyz'$"):
        new(xyz=3)  # type: ignore[call-arg]


def test_a_value_is_shown_in_80_characters_even_where_its_repr_raises() -> None:
    class Rude:
        def __repr__(self) -> str:
            raise RuntimeError

    assert shortened(Rude()) == "<Rude>"
    assert len(shortened("x" * 1000)) == 80
    assert shortened(nested(5000)).startswith(("[", "<list>"))


def test_a_misspelt_option_is_corrected() -> None:
    @suggesting
    def order(name: str, *, count: int = 1) -> str:
        return f"{count} {name}"

    assert order("pear", count=2) == "2 pear"
    with pytest.raises(TypeError, match="did you mean 'count'"):
        order("pear", cuont=2)  # type: ignore[call-arg]

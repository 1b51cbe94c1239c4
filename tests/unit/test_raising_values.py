"""Values whose own methods raise: they are refused by row and field, as any other that is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any

import pytest

from mongoq import ConfigurationError, InvalidTask, Linear, NewTask
from mongoq.core.choosing.selection import checked_selection
from mongoq.core.tasks.new_tasks import each
from mongoq.storage.context import Context
from mongoq.storage.documents.encoding import checked_result


class NotATime(datetime):
    """As pandas.NaT, which is a datetime whose methods raise."""

    def utcoffset(self) -> timedelta | None:
        raise ValueError("NaTType does not support utcoffset")


class Broken(Mapping[str, Any]):
    def __getitem__(self, name: str) -> Any:
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        yield "there"

    def __len__(self) -> int:
        return 1


class NoZone(tzinfo):
    """A zone that knows nothing."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        raise NotImplementedError

    def dst(self, moment: datetime | None) -> timedelta | None:
        raise NotImplementedError

    def tzname(self, moment: datetime | None) -> str | None:
        raise NotImplementedError


class Odd(int):
    def __le__(self, other: object) -> bool:
        raise ZeroDivisionError

    __ge__ = __lt__ = __gt__ = __le__


class NoTruth:
    """As a numpy.ndarray of two: it is neither equal to anything nor true or false."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value of an array is ambiguous")

    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array is ambiguous")

    __hash__ = None  # type: ignore[assignment]


NAT = NotATime(2020, 1, 1)
WRONG: dict[str, Any] = {
    "not a time": NAT,
    "a zone without an offset": datetime(2020, 1, 1, tzinfo=NoZone()),
    "a mapping that lies": Broken(),
    "a number that cannot be compared": Odd(5),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_it_names_row_and_field(wrong: Any) -> None:
    rows: list[dict[str, Any]] = [{"n": 1}, {"n": {"at": [wrong]}}]
    for given in (rows, iter(rows)):
        with pytest.raises(InvalidTask, match=r"tasks\[1\]\.tags\.n\.at\[0\]"):
            list(each(given, {}))
    with pytest.raises(InvalidTask, match=r"payload\.x"):
        NewTask(payload={"x": wrong})
    with pytest.raises(InvalidTask, match="result"):
        checked_result(wrong, 1_000)


def test_options_do_as_well(context: Context) -> None:
    with pytest.raises(InvalidTask, match="run_at"):
        NewTask(run_at=NAT)
    with pytest.raises(InvalidTask, match="priority"):
        NewTask(priority=Odd(5))
    with pytest.raises(ConfigurationError, match=r"backoff\.step"):
        Linear(Odd(5))


@pytest.mark.parametrize(
    "name", ["max_retries", "backoff", "deadline", "lease", "keep_completed", "keep_failed", "failure_message"]
)
def test_an_option_that_equals_nothing_is_named(name: str) -> None:
    options: dict[str, Any] = {name: NoTruth()}
    with pytest.raises((InvalidTask, ConfigurationError), match=rf"^{name}"):
        NewTask(**options)


def test_a_choice_that_equals_nothing_is_named() -> None:
    with pytest.raises(InvalidTask, match=r"^on_conflict: .* is not one of"):
        NewTask(on_conflict=NoTruth())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"^state: .* is not one of"):
        checked_selection(state=NoTruth())  # type: ignore[arg-type]
    with pytest.raises(InvalidTask, match=r"^tags"):
        NewTask(NoTruth())  # type: ignore[arg-type]

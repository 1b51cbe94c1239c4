"""What Python can pass that no task can be: refused by name before anything is written, and the queue moves on."""

from __future__ import annotations

import array
import decimal
import fractions
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any

import bson
import pytest
from bson import DBRef, Decimal128, Int64, MinKey, Regex

from mongoq import ConfigurationError, InvalidTask, NewTask, Queue, Task, TaskState
from mongoq.core.errors import MongoqError

SURROGATE = "a\ud800b"
LOOP: list[Any] = []
LOOP.append(LOOP)


def nested(depth: int, *, lists: bool = False) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if lists else {"a": value}
    return value


class Hostile:
    """A value whose every text is an error."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Liar(Mapping[str, Any]):
    """A mapping that raises when it is read."""

    def __getitem__(self, name: str) -> Any:
        raise RuntimeError("no items")

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


class NoOffset(tzinfo):
    def utcoffset(self, _: datetime | None) -> timedelta | None:
        return None

    dst = utcoffset

    def tzname(self, _: datetime | None) -> str | None:
        return None


UNSTORABLE: dict[str, Any] = {
    "an object": object(),
    "an object without a text": Hostile(),
    "a fraction": fractions.Fraction(1, 2),
    "a complex number": 1j,
    "a function": len,
    "a class": int,
    "an iterator": iter([1]),
    "a range": range(3),
    "an array": array.array("i", [1]),
    "a memoryview": memoryview(b"x"),
    "a module": re,
    "a compiled pattern": re.compile("x"),
    "an exception": ValueError("x"),
    "2 ** 63": 2**63,
    "below -2 ** 63": -(2**63) - 1,
    "10 ** 400": 10**400,
    "an Int64 beyond 64 bits": Int64(2**63),
    "a lone surrogate": SURROGATE,
    "a naive datetime": datetime(2030, 1, 1),  # noqa: DTZ001 -- that is the fault
    "a datetime without an offset": datetime(2030, 1, 1, tzinfo=NoOffset()),
    "100 levels": nested(100),
    "200 levels": nested(200),
    "200 levels of lists": nested(200, lists=True),
    "100,000 levels": nested(100_000),
    "a list in itself": LOOP,
    "a number as a name": {1: 2},
    "None as a name": {None: 1},
    "bytes as a name": {b"a": 1},
    "a tuple as a name": {("a",): 1},
    "NUL in a name": {"a\0b": 1},
    "a surrogate in a name": {SURROGATE: 1},
    "a regex that holds NUL": Regex("a\0b"),
    "code that holds a set": bson.Code("f", {"a": {1}}),
    "a reference to an object": DBRef("c", object()),
    "more than 1 MiB": "x" * 2**20,
    "more than 16 MiB": b"x" * 2**24,
    "a million numbers": [1.5] * 1_000_000,
}
ONLY_IN_TAGS: dict[str, Any] = {
    "an operator": {"$gt": 1},
    "an operator deep down": [{"a": {"$where": "sleep(1)"}}],
    "a dotted name": {"a.b": 1},
    "an empty name": {"": 1},
}
NO_TAG_NAMES: tuple[Any, ...] = (
    "", "$where", "$", "a.b", "_id", "1a", "a b", "a\0", "é", "x" * 129, "-a", "a-b", "a\n", "\x1b[31m", "\u202ea",
    SURROGATE, None, 1, b"a", ("a",),
)  # fmt: skip
NO_NAMES: tuple[Any, ...] = (
    "",
    "x" * 513,
    5,
    b"k",
    "a\0b",
    SURROGATE,
    {"$gt": ""},
    ["a"],
    1.5,
    True,
    Hostile(),
    Regex("x"),
)
NO_QUEUES: tuple[Any, ...] = (
    "", "$x", "a b", "x" * 129, "\x1b[31m", "a\n", "ü", "..", "-x", None, 5, b"q", ["default"], {"$ne": None},
    Regex(".*"), SURROGATE, "a\0",
)  # fmt: skip
NO_PRIORITIES: tuple[Any, ...] = (
    2**63, -(2**63) - 1, 1.5, float("nan"), float("inf"), "5", True, None, decimal.Decimal(1), Decimal128("1"), [1],
    {"$gt": 0}, MinKey(),
)  # fmt: skip
NO_DURATIONS: tuple[Any, ...] = (
    -1, float("nan"), float("inf"), float("-inf"), 1e300, 10**15, 10**400, "10", True, [], datetime.now(UTC),
    timedelta(days=4000), timedelta(seconds=-1), timedelta.max, decimal.Decimal(1), {"$gt": 0},
)  # fmt: skip
NO_INSTANTS: tuple[Any, ...] = (
    datetime(2030, 1, 1), "2030-01-01", 0, 1e10, date(2030, 1, 1), {"$gt": 0}, True,  # noqa: DTZ001 -- as above
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
    datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    datetime(2030, 1, 1, tzinfo=NoOffset()),
)  # fmt: skip
NO_COUNTS: tuple[Any, ...] = (-1, 1.5, True, 2**31, "3", float("nan"), [], {"$gt": 0})
NO_BACKOFFS: tuple[Any, ...] = ("x", -1, float("nan"), float("inf"), object(), [], {"$gt": 0}, True, len, timedelta.max)


def inputs() -> Iterator[Any]:
    """Each a name, the arguments of `new`, and the field that the error must name."""
    for name, value in UNSTORABLE.items():
        yield pytest.param({"tags": {"a": value}}, ("tags.a", "task", "tags"), id=f"a tag: {name}")
        yield pytest.param({"tags": {"a": [{"b": value}]}}, ("tags.a", "task"), id=f"in a tag: {name}")
        yield pytest.param({"payload": value}, ("payload", "task"), id=f"payload: {name}")
    for name, value in ONLY_IN_TAGS.items():
        yield pytest.param({"tags": {"a": value}}, ("tags.a",), id=f"a tag: {name}")
    for value in NO_TAG_NAMES:
        yield pytest.param({"tags": {value: 1}}, ("tags name",), id=f"tag name: {ascii(value)[:20]}")
    for value in ([], "x", 5, b"", {1}, iter(()), None.__class__, Hostile()):
        yield pytest.param({"tags": value}, ("tags",), id=f"tags: {type(value).__name__}")
    yield pytest.param({"tags": {f"t{n}": n for n in range(65)}}, ("tags",), id="65 tags")
    rows: tuple[tuple[str, tuple[Any, ...]], ...] = (
        ("key", NO_NAMES), ("unique", NO_NAMES), ("queue", NO_QUEUES), ("priority", NO_PRIORITIES),
        ("delay", NO_DURATIONS), ("run_at", NO_INSTANTS), ("expires_at", NO_INSTANTS), ("max_retries", NO_COUNTS),
        ("backoff", NO_BACKOFFS), ("deadline", (0, *NO_DURATIONS)), ("lease", (0, 0.5, *NO_DURATIONS)),
        ("keep_completed", NO_DURATIONS), ("keep_failed", NO_DURATIONS),
        ("on_conflict", ("skipp", None, True, {"$ne": 1}, [], Hostile())),
    )  # fmt: skip
    for field, values in rows:
        for place, value in enumerate(values):
            yield pytest.param({field: value}, (field,), id=f"{field}: {type(value).__name__} {place}")
    yield pytest.param({"delay": 1, "run_at": datetime.now(UTC)}, ("delay",), id="delay and run_at")


@pytest.mark.parametrize("given, fields", [*inputs()])
def test_what_no_task_can_hold_is_refused_by_name(ground: Any, given: dict[str, Any], fields: tuple[str, ...]) -> None:
    error = ground.refuses(lambda: ground.queue.new(**given), InvalidTask)
    assert isinstance(error, InvalidTask)
    assert error.faults[0].field.startswith(fields), error


@pytest.mark.parametrize("name", UNSTORABLE)
def test_one_bad_task_of_many_keeps_all_from_being_stored(ground: Any, name: str) -> None:
    many = [{"n": 1}, {"a": UNSTORABLE[name]}, {"n": 2}]
    error = ground.refuses(lambda: ground.queue.new_many(many), InvalidTask)
    assert "tasks[1]" in str(error) or "task" in str(error)


@pytest.mark.parametrize(
    "item", [None, 5, "x", [], b"", object(), {"$set": 1}, {1: 1}], ids=lambda value: repr(value).partition(" at 0x")[0]
)
def test_what_is_no_task_among_many_is_named_by_its_place(ground: Any, item: Any) -> None:
    error = ground.refuses(lambda: ground.queue.new_many([{}, NewTask(), item]), InvalidTask)
    assert "tasks[2]" in str(error)


def test_a_mapping_that_fails_stores_nothing(ground: Any) -> None:
    error = ground.refuses(lambda: ground.queue.new(payload=Liar()), InvalidTask)
    assert "RuntimeError" in str(error)


def test_an_iterable_that_fails_stores_nothing(ground: Any) -> None:
    def failing() -> Iterator[dict[str, Any]]:
        yield {}
        raise RuntimeError("half-way")

    ground.refuses(lambda: ground.queue.new_many(failing()), RuntimeError)


@pytest.mark.parametrize("name", UNSTORABLE)
def test_a_result_that_cannot_be_stored_is_refused_and_the_task_stays_claimed(ground: Any, name: str) -> None:
    ground.queue.new(keep_completed=60)  # what is not kept is not stored either
    task = ground.queue.try_claim()
    error = ground.refuses(lambda: ground.queue.complete(task, UNSTORABLE[name]), InvalidTask)
    assert "result" in str(error)
    ground.queue.complete(task)


@pytest.mark.parametrize("text", [SURROGATE, "a\0b", "\x1b[31m\r\n\x07\u202e", "x" * 10_000_000, ""], ids=ascii)
def test_any_reason_of_a_failure_is_kept_as_text(ground: Any, tally: Any, text: str) -> None:
    tally["inputs"] += 1
    key = ground.queue.new().key
    ground.queue.fail(ground.queue.try_claim(), text)
    task = ground.queue.get(key)
    assert task.state is TaskState.FAILED
    assert len(task.last_error.message) <= 2_000
    task.last_error.message.encode()
    ground.moves_on()


@pytest.mark.parametrize(
    "end",
    [
        lambda queue, task: queue.snooze(task, float("nan")),
        lambda queue, task: queue.snooze(task, "soon"),
        lambda queue, task: queue.snooze(task, 10**15),
        lambda queue, task: queue.move(task, "$x"),
        lambda queue, task: queue.move(task, {"$gt": ""}),
        lambda queue, task: queue.move(task, ""),
        lambda queue, task: queue.renew(task, -1),
        lambda queue, task: queue.renew(task, float("inf")),
        lambda queue, task: queue.retry(task, "x", delay="soon"),
        lambda queue, task: queue.retry(task, "x", delay=-1),
    ],
)
def test_a_bad_ending_is_refused_and_the_task_stays_claimed(ground: Any, end: Callable[[Queue, Task], None]) -> None:
    ground.queue.new()
    task = ground.queue.try_claim()
    ground.refuses(lambda: end(ground.queue, task), (ConfigurationError, InvalidTask))
    ground.queue.complete(task)


NO_KEYS: tuple[Any, ...] = (
    {"$gt": ""}, {"$ne": None}, {"$where": "sleep(9)"}, Regex(".*"), re.compile(".*"), ["a"], None, 5, b"k", "",
    SURROGATE, "a\0b", 2**63, 1.5, object(), "x" * 2_000, "x" * 2**24, MinKey(), nested(200), LOOP, float("nan"),
)  # fmt: skip


@pytest.mark.parametrize("value", NO_KEYS, ids=lambda value: f"{type(value).__name__} {ascii(value)[:12]}")
@pytest.mark.parametrize("verb", ["get", "cancel", "tasks", "size", "queue", "where", "claim", "state", "limit"])
def test_what_is_looked_for_is_a_value_and_never_an_operator(ground: Any, tally: Any, verb: str, value: Any) -> None:
    queue = ground.queue
    tally["inputs"] += 1
    if not ground.collection.count_documents({"state": "ready"}):
        queue.new(delay=3000)
        queue.new(queue="other", tags={"a": "b"})
    before = ground.stored()
    look: dict[str, Callable[[], Any]] = {
        "get": lambda: queue.get(value),
        "cancel": lambda: queue.cancel(value),
        "tasks": lambda: queue.tasks(keys=[value]),
        "size": lambda: queue.size(value),
        "queue": lambda: queue.tasks(queue=value),
        "where": lambda: queue.tasks(where={"a": value}),
        "claim": lambda: queue.try_claim([value]),
        "state": lambda: queue.tasks(state=value, limit=1),
        "limit": lambda: queue.tasks(limit=value),
    }
    tally["crashes"] += 1
    try:
        found = look[verb]()
    except MongoqError:
        pass
    else:
        everything = value is None and verb in ("size", "queue", "state", "limit", "where")  # null is as good as no tag
        assert not found or everything or (verb == "limit" and value == 5), found
    tally["crashes"] -= 1
    assert ground.stored() == before


OPTIONS: tuple[dict[str, Any], ...] = (
    *({"namespace": value} for value in ("", "$x", "a..b", "system.x", "a\0b", "a b", "é", "x" * 65, 5)),
    {"namespace": ".a"}, {"namespace": {"$gt": 1}},
    *({"max_task_bytes": value} for value in (0, 2**23 + 1, -1, 1.5, True, "1", None)),
    *({"workers": value} for value in (0, -1, 1.5, True, "1", 10**9)),
    *({"lease": value} for value in (0, 0.5, float("nan"), "1", None, 10**12)),
    *({"backoff": value} for value in ("x", -1, float("nan"), object(), {"$gt": 1})),
    {"max_age": -1}, {"grace": float("inf")}, {"keep_completed": "1h"}, {"max_retries": -1}, {"deadline": 0},
)  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=lambda value: repr(value).partition(" at 0x")[0])
def test_an_option_that_is_not_acceptable_is_named(ground: Any, options: dict[str, Any]) -> None:
    error = ground.refuses(lambda: Queue(ground.uri, **options), ConfigurationError)
    assert next(iter(options)) in str(error)


@pytest.mark.parametrize("value", [-1, 1.5, True, "1", 10**9, float("nan"), [0]], ids=str)
def test_a_prefetch_that_is_not_acceptable_is_named_before_anything_starts(ground: Any, value: Any) -> None:
    def never(_task: Any) -> None:
        raise AssertionError("it was started")

    with Queue(ground.uri) as queue:
        for verb in (queue.run, queue.start, queue.run_once):
            error = ground.refuses(functools.partial(verb, never, prefetch=value), ConfigurationError)
            assert "prefetch" in str(error)

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import bson
import pytest

from mongoq.core.errors import ConfigurationError, InvalidTask
from mongoq.core.judging.backoff import Linear
from mongoq.core.tasks.alike import whole
from mongoq.core.tasks.new_task import MOST_TAGS, NewTask
from mongoq.core.tasks.new_tasks import each
from mongoq.core.validation import MOST_FAULTS
from mongoq.storage.context import Context
from mongoq.storage.documents import decoding, drafting, encoding, fields
from mongoq.storage.documents.codec import CODEC
from mongoq.storage.operations import enqueue

LATER = datetime(2031, 1, 1, tzinfo=UTC)


def sent(context: Context, task: NewTask) -> dict[str, Any]:
    """The document that `new` asks the driver to insert."""
    insert: Any = next(enqueue.new(context, task))
    return bson.decode(insert.body.raw, CODEC)


@pytest.mark.parametrize(
    "options, field",
    [
        ({"tags": {"a": 1j}}, "tags.a"),
        ({"tags": None}, "tags"),
        ({"tags": {f"t{n}": n for n in range(MOST_TAGS + 1)}}, "tags"),
        ({"payload": object()}, "payload"),
        ({"key": ""}, "key"),
        ({"key": "a\0b"}, "key"),
        ({"key": 7}, "key"),
        ({"unique": "x" * 513}, "unique"),
        ({"queue": ""}, "queue"),
        ({"queue": "$new"}, "queue"),
        ({"queue": "a b"}, "queue"),
        ({"queue": "q" * 129}, "queue"),
        ({"queue": None}, "queue"),
        ({"priority": math.nan}, "priority"),
        ({"priority": math.inf}, "priority"),
        ({"priority": True}, "priority"),
        ({"priority": 2**63}, "priority"),
        ({"delay": -1}, "delay"),
        ({"delay": math.nan}, "delay"),
        ({"delay": timedelta(days=4000)}, "delay"),
        ({"delay": 5, "run_at": LATER}, "delay"),
        ({"run_at": datetime(2031, 1, 1)}, "run_at"),  # noqa: DTZ001 -- the fault
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"max_retries": -1}, "max_retries"),
        ({"max_retries": 1.5}, "max_retries"),
        ({"max_retries": True}, "max_retries"),
        ({"max_retries": 2**31}, "max_retries"),
        ({"deadline": 0}, "deadline"),
        ({"lease": 0.5}, "lease"),
        ({"lease": None}, "lease"),
        ({"keep_completed": -1}, "keep_completed"),
        ({"keep_failed": "1 day"}, "keep_failed"),
        ({"backoff": "fast"}, "backoff"),
        ({"backoff": Linear}, "backoff"),
        ({"backoff": True}, "backoff"),
        ({"backoff": lambda attempt: attempt}, "backoff"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_new_task_names_what_is_wrong_with_it(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        NewTask(**options)
    assert {fault.field for fault in caught.value.faults} == {field}
    assert all(fault.allowed and fault.value for fault in caught.value.faults)
    assert isinstance(caught.value, ValueError)


def test_several_faults_are_reported_together() -> None:
    with pytest.raises(InvalidTask) as caught:
        NewTask(tags={"$a": 1, "b": 2j}, priority=1.5, delay=-3, max_retries=-1)  # type: ignore[arg-type]
    fields = [fault.field for fault in caught.value.faults]
    assert fields == ["tags name", "tags.b", "priority", "delay", "max_retries"]


def test_a_callable_backoff_cannot_travel_with_a_task() -> None:
    with pytest.raises(InvalidTask, match="set a callable on the Queue"):
        NewTask(backoff=lambda attempt: attempt)


def test_a_wrong_backoff_is_told_once_and_by_its_field() -> None:
    with pytest.raises(ConfigurationError) as caught:
        NewTask(backoff=Linear(-1))
    assert [fault.field for fault in caught.value.faults] == ["backoff.step"]


def test_the_instants_of_a_new_task_are_utc_in_whole_milliseconds() -> None:
    there = datetime(2031, 1, 1, 1, 0, 0, 999, tzinfo=timezone(timedelta(hours=1)))
    task = NewTask(run_at=there, expires_at=there)
    assert (task.run_at, task.expires_at) == (LATER, LATER)


def test_what_a_task_was_given_of_a_policy_is_carried_also_where_it_is_none() -> None:
    task = NewTask(max_retries=None, deadline=None, lease=60, backoff=5)
    assert task.carried == {
        "max_retries": None,
        "deadline": None,
        "lease": timedelta(minutes=1),
        "backoff": Linear(5),
    }
    assert NewTask().carried == {}


def test_the_faults_of_many_tasks_name_their_places() -> None:
    items: list[Any] = [{"a": 1}, {"b": 1j}, NewTask(), {"$": 1}, "tags"]
    with pytest.raises(InvalidTask) as caught:
        next(each(items, {}))
    assert [fault.field for fault in caught.value.faults] == ["tasks[1].tags.b", "tasks[3].tags name", "tasks[4].tags"]


def test_not_every_fault_of_a_thousand_tasks_is_told() -> None:
    with pytest.raises(InvalidTask) as caught:
        next(each([{"a": 1j}] * 1000, {}))
    assert len(caught.value.faults) == MOST_FAULTS


def test_what_is_streamed_is_checked_as_it_comes() -> None:
    items: list[dict[str, Any]] = [{"a": 1}, {"a": 1j, "b": 1j}, {"a": 1j}]
    streamed = each(iter(items), {})
    assert next(streamed)[1] == {"a": 1}
    with pytest.raises(InvalidTask) as caught:
        next(streamed)
    assert [fault.field for fault in caught.value.faults] == ["tasks[1].tags.a", "tasks[1].tags.b"]


def test_what_is_common_to_many_tasks_leaves_ready_made_ones_alone() -> None:
    first, second = each([{"a": 1}, NewTask({"b": 2}, priority=9)], {"priority": 5})
    assert (first[1], first[0].priority) == ({"a": 1}, 5)
    assert (second[1], second[0].priority) == ({"b": 2}, 9)


def test_what_is_wrong_with_the_common_options_is_told_once() -> None:
    with pytest.raises(InvalidTask) as caught:
        next(each([{"a": 1}] * 3, {"priority": 1.5}))
    assert [fault.field for fault in caught.value.faults] == ["priority"]


def test_a_task_of_more_than_the_limit_is_refused_before_anything_is_sent(context: Context) -> None:
    op = enqueue.new(context, NewTask(payload=b"x" * 2**20))
    with pytest.raises(InvalidTask, match=r"task: 1,048,\d+ bytes is not at most 1,048,576 bytes once encoded"):
        next(op)


def test_one_task_too_large_keeps_its_chunk_from_being_sent(context: Context) -> None:
    tasks = [NewTask(), NewTask(payload="x" * 2**20)]
    with pytest.raises(InvalidTask, match=r"tasks\[1\].task: 1,048,\d+ bytes is not at most"):
        next(drafting.chunks(context, each(tasks, {})))


def test_what_only_bson_refuses_is_an_invalid_task_too(context: Context) -> None:
    foreign = type("Foreign", (), {"__module__": "bson_like"})()
    with pytest.raises(InvalidTask, match="a value that BSON can carry"):
        next(enqueue.new(context, NewTask(payload=foreign)))
    with pytest.raises(InvalidTask, match="result"):
        encoding.checked_result({"a": 1j}, 2**20)
    with pytest.raises(InvalidTask, match=r"result: .* at most 1,024 bytes"):
        encoding.checked_result(b"x" * 1024, 1024)


def test_a_task_expires_by_its_own_word_or_by_the_queue_s_max_age(make_context: Callable[..., Context]) -> None:
    context = make_context(max_age=60)
    now = context.clock.now()
    inherited = sent(context, NewTask())
    assert inherited[fields.EXPIRES_AT] == now + timedelta(seconds=60)
    own = sent(context, NewTask(expires_at=LATER))
    assert own[fields.EXPIRES_AT] == LATER


def test_a_task_s_own_policy_goes_over_the_queue_s(make_context: Callable[..., Context]) -> None:
    context = make_context(max_retries=3, lease=60)
    carried = sent(context, NewTask(max_retries=None))[fields.POLICY]
    assert decoding.policy_from(carried) == {
        "max_retries": None,
        "lease": timedelta(seconds=60),
    }


def test_a_call_with_tags_alone_makes_the_task_that_its_options_make() -> None:
    tags = {"n": [1, {"m": 2}]}
    task = whole(tags, priority=0, queue="default", key=None)
    tags["n"].append(3)
    assert task == NewTask(tags={"n": [1, {"m": 2}]})
    assert whole(None) == NewTask()
    with pytest.raises(InvalidTask, match=r"tags\.n"):
        whole({"n": object()})
    with pytest.raises(InvalidTask, match="priority"):
        whole({}, priority=False)  # which equals the default
    with pytest.raises(InvalidTask, match="a NewTask beside other options"):
        whole(NewTask(), priority=1)


@pytest.mark.parametrize("name", ["u", "ü\x7f", "日本", "a\x05b", "x" * 300])
def test_a_uuid_of_a_wrong_length_is_found_under_any_name_and_between_any_bytes(context: Context, name: str) -> None:
    around = {"before": b"\x05" * 20_000, name: {name: bson.Binary(b"x" * 16, 4)}, "after": bytes(range(256)) * 40}
    drafting.draft(context, NewTask(payload=around))
    with pytest.raises(InvalidTask, match="a value that BSON can carry"):
        drafting.draft(context, NewTask(payload={**around, name: {name: bson.Binary(b"x", 4)}}))

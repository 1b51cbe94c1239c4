from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson.datetime_ms import DatetimeMS

from mongoq.core.clock import FrozenClock
from mongoq.core.errors import InvalidTask
from mongoq.core.judging.backoff import Constant, Exponential, Ladder, Linear
from mongoq.core.lifecycle import TaskState
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Task, TaskError
from mongoq.storage.documents import decoding, encoding, fields
from mongoq.storage.documents.codec import CODEC

NOW = FrozenClock().now()


def stored(document: dict[str, Any]) -> dict[str, Any]:
    """The document as it comes back from the server."""
    return bson.decode(bson.encode(document, codec_options=CODEC), CODEC)


def made(new: NewTask, **carried: Any) -> dict[str, Any]:
    model = encoding.model_document(new, NOW, carried, new.expires_at)
    return encoding.new_document(model, "k1", new.tags)


@pytest.mark.parametrize("tags", [{}, {"a": "ünï", "b": [1, {"c": None}]}], ids=str)
def test_what_is_sent_is_the_document_that_it_was_made_from(tags: dict[str, Any]) -> None:
    new = NewTask(tags=tags, queue="mail", payload=b"\0\1", unique="u", delay=5)
    model = encoding.model_document(new, NOW, {"max_retries": 2}, None)
    common = encoding.encoded_model(model, 2**20)
    document = encoding.new_document(model, "k1", tags)
    sent = encoding.encoded_after(common, "k1", tags, 2**20).raw
    assert sent == encoding.encoded(document, 2**20).raw == bson.encode(document, codec_options=CODEC)
    assert encoding.encoded_after(common, "k1", tags, len(sent)).raw == sent
    with pytest.raises(InvalidTask, match=f"task: {len(sent)} bytes is not at most {len(sent) - 1} bytes"):
        encoding.encoded_after(common, "k1", tags, len(sent) - 1)


def test_a_new_task_comes_back_as_it_was_made() -> None:
    tags = {"user": 42, "name": "ünï", "list": [1, {"a": None}], "at": NOW}
    new = NewTask(tags=tags, queue="mail", priority=-3, payload=b"\x00", unique="u", expires_at=NOW + timedelta(days=1))
    document = made(new, max_retries=2)
    task = decoding.task_from(stored(document), "ns", NOW)
    assert task == decoding.task_from(document, "ns", NOW)
    assert (task.key, task.queue, task.priority, task.tags, task.payload) == ("k1", "mail", -3, tags, b"\x00")
    assert (task.unique, task.expires_at, task.policy) == ("u", NOW + timedelta(days=1), {"max_retries": 2})
    assert (task.state, task.run_at, task.created_at, task.modified_at) == (TaskState.READY, NOW, NOW, NOW)
    assert (task.version, task.attempts, task.namespace, task.age) == (1, 0, "ns", timedelta(0))


@pytest.mark.parametrize(
    "options, state, run_at",
    [
        ({}, TaskState.READY, NOW),
        ({"delay": 0}, TaskState.READY, NOW),
        ({"delay": 1}, TaskState.SCHEDULED, NOW + timedelta(seconds=1)),
        ({"delay": timedelta(hours=1)}, TaskState.SCHEDULED, NOW + timedelta(hours=1)),
        ({"run_at": NOW}, TaskState.READY, NOW),
        ({"run_at": NOW + timedelta(milliseconds=1)}, TaskState.SCHEDULED, NOW + timedelta(milliseconds=1)),
        ({"run_at": NOW - timedelta(days=1)}, TaskState.READY, NOW - timedelta(days=1)),
    ],
    ids=str,
)
def test_a_new_task_is_ready_or_scheduled(options: dict[str, Any], state: TaskState, run_at: datetime) -> None:
    task = decoding.task_from(made(NewTask(**options)), "ns", NOW)
    assert (task.state, task.run_at) == (state, run_at)


def test_a_delay_is_kept_in_whole_milliseconds_like_every_instant() -> None:
    document = made(NewTask(delay=0.0015))
    assert document[fields.RUN_AT] == stored(document)[fields.RUN_AT]


def test_a_document_says_nothing_where_there_is_nothing_to_say() -> None:
    always = {"_id", "queue", "state", "priority", "run_at", "tags", "created_at", "modified_at", "version"}
    assert set(made(NewTask())) == always


def test_a_foreign_document_may_lack_all_but_what_the_claim_needs() -> None:
    document = {"_id": "k", "queue": "q", "state": "ready", "priority": 0, "run_at": NOW, "version": 0}
    task = decoding.task_from(document, "ns", NOW)
    assert (task.tags, task.payload, task.attempts, task.errors, task.policy) == ({}, None, 0, (), {})
    assert task.created_at == decoding.LONG_AGO


@pytest.mark.parametrize(
    "foreign",
    [
        {"tags": None}, {"errors": None}, {"errors": []}, {"errors": ["text", None, 7]}, {"last_error": "text"},
        {"last_error": {}}, {"policy": None}, {"policy": "x"}, {"policy": []}, {"extra": {"a": 1}}, {"lost_leases": 0},
        {"priority": 5.0}, {"priority": bson.Int64(7)},
    ],
    ids=str,
)  # fmt: skip
def test_a_strange_document_is_read_all_the_same(
    make_document: Callable[..., dict[str, Any]], foreign: dict[str, Any]
) -> None:
    task = decoding.task_from(stored(make_document(**foreign)), "ns", NOW)
    assert task.tags == {}
    assert task.errors == ()
    assert task.policy == {}


def test_a_text_that_is_no_utf8_and_a_date_beyond_python_s_do_not_stop_a_queue(
    make_document: Callable[..., dict[str, Any]],
) -> None:
    document = make_document(tags={"bad": "XXXX", "far": DatetimeMS(10**15)})
    data = bson.encode(document, codec_options=CODEC).replace(b"XXXX", b"\xff\xfe\xfa\xfb")
    task = decoding.task_from(bson.decode(data, CODEC), "ns", NOW)
    assert task.tags["bad"] == "\N{REPLACEMENT CHARACTER}" * 4
    assert task.tags["far"].year == 9999


@pytest.mark.parametrize(
    "carried",
    [
        {},
        {"max_retries": None},
        {"max_retries": 0, "deadline": timedelta(seconds=1.5), "lease": timedelta(days=1)},
        {"deadline": None, "keep_completed": timedelta(0), "keep_failed": timedelta(days=365)},
        {"backoff": Linear(1.5)},
        {"backoff": Exponential(1, factor=1.5, jitter=False)},
        {"backoff": Constant(0)},
        {"backoff": Ladder([1, timedelta(minutes=1)])},
    ],
    ids=str,
)
def test_a_policy_comes_back_as_it_was_carried(carried: dict[str, Any]) -> None:
    document = stored(made(NewTask(), **carried))
    assert decoding.policy_from(document.get(fields.POLICY, {})) == carried


@pytest.mark.parametrize(
    "foreign",
    [
        {"lease": "long"}, {"lease": float("nan")}, {"lease": float("inf")}, {"lease": [1]}, {"max_retries": "x"},
        {"backoff": 5}, {"backoff": {"kind": "cubic"}}, {"backoff": {"kind": "linear", "step": -1}},
        {"backoff": {"kind": "ladder", "steps": []}}, {"backoff": {"kind": ["linear"]}}, {"unknown": 1}, {"keep": 60},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_read_of_a_policy_is_left_to_the_worker(foreign: dict[str, Any]) -> None:
    assert decoding.policy_from({**foreign, "deadline": 60}) == {"deadline": timedelta(minutes=1)}


@pytest.mark.parametrize(
    "foreign", [{"lease": 1e12}, {"keep_failed": 1e12}, {"lease": -1}, {"max_retries": -1}], ids=str
)
def test_a_policy_out_of_bounds_is_left_to_the_worker_too(foreign: dict[str, Any]) -> None:
    assert decoding.policy_from(foreign) == {}


def test_an_error_comes_back_as_it_was_told() -> None:
    error = TaskError("ValueError", "no", "Traceback ...", NOW, 3, "host:1:a")
    assert decoding.error_from(stored(encoding.error_document(error))) == error


def test_a_task_reads_each_field_into_its_own_place(make_document: Callable[..., dict[str, Any]]) -> None:
    instants = [NOW + timedelta(seconds=n) for n in range(9)]
    names = ["run_at", "created_at", "started_at", "modified_at", "finished_at", "expires_at", "lease_until"]
    fields: dict[str, Any] = dict(zip(names, instants, strict=False))
    fields |= {"attempts": 1, "uncharged": 2, "retries": 3, "lost_leases": 4, "version": 5, "priority": 6}
    fields |= {name: name for name in ("queue", "payload", "result", "note", "moved_from", "unique", "worker", "token")}
    read = NOW + timedelta(days=1)
    task: Task = decoding.task_from(make_document(**fields, cancel_requested=True), "ns", read)
    assert {name: getattr(task, name) for name in fields} == fields
    assert (task.cancel_requested, task.read_at, task.namespace) == (True, read, "ns")


def test_an_instant_is_read_back_in_utc() -> None:
    task = decoding.task_from(stored(made(NewTask(run_at=NOW))), "ns", NOW)
    assert task.run_at.tzinfo is not None
    assert task.run_at.utcoffset() == UTC.utcoffset(None)


def test_a_document_whose_state_is_code_is_none_of_ours(make_document: Any) -> None:
    assert decoding.task_shown(make_document(state=bson.Code("ready")), "ns", NOW) is None


def test_a_claim_counts_as_a_change_of_its_task(make_document: Callable[..., dict[str, Any]]) -> None:
    later = NOW + timedelta(seconds=9)
    task = decoding.task_from(make_document(started_at=later, modified_at=NOW), "ns", later)
    assert task.modified_at == later


def test_no_task_has_finished_before_it_started(make_document: Callable[..., dict[str, Any]]) -> None:
    started = NOW + timedelta(milliseconds=7)
    found = make_document(state="completed", started_at=started, finished_at=NOW, modified_at=NOW + timedelta(hours=1))
    task = decoding.task_from(found, "ns", NOW)
    assert (task.started_at, task.finished_at) == (started, started)


def test_a_claimed_task_reads_the_rest_of_its_fields_when_one_is_asked_for(make_claimed: Callable[..., Any]) -> None:
    fields: dict[str, Any] = {"tags": {"n": 1}, "priority": 6, "created_at": NOW, "policy": {"max_retries": 3}}
    at_once, when_asked = make_claimed(**fields).read(), make_claimed(**fields).read()
    object.__setattr__(when_asked, "attempt", "its live side")
    assert (when_asked.key, when_asked.tags, when_asked.token) == ("k1", {"n": 1}, "t1")
    assert (when_asked.priority, when_asked.created_at, when_asked.policy) == (6, NOW, {"max_retries": 3})
    assert when_asked.attempt == "its live side", "reading the rest leaves it"
    by_pipe = pickle.loads(pickle.dumps(make_claimed(**fields).read()))  # noqa: S301 -- our own
    assert at_once == when_asked == by_pipe
    with pytest.raises(AttributeError, match="no attribute 'proirity'"):
        at_once.proirity  # noqa: B018 -- the read is what raises

"""A task as JSON and back, and a new task made from an old one."""

from __future__ import annotations

import copy
import json
import math
import pickle
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson.regex import Regex

from mongoq import Exponential, InvalidTask, NewTask, Task, TaskError
from mongoq.core.judging.follow_up import FollowUp
from mongoq.core.judging.policy import POLICY_NAMES
from mongoq.core.tasks.new_task import warn_of_option
from mongoq.core.validation import UNSET
from mongoq.testing import make_task

NOW = datetime(2030, 1, 1, 12, 0, 0, 123_000, tzinfo=UTC)
VALUES: dict[str, Any] = {
    "text": "é", "number": 2**60, "float": 0.5, "none": None, "yes": True, "list": [1, [2]], "when": NOW,
    "bytes": b"\0\xff", "uuid": uuid.UUID(int=7), "oid": bson.ObjectId("5f" * 12), "decimal": bson.Decimal128("1.10"),
    "inner": {"when": NOW}, "binary": bson.Binary(b"x", 5), "infinite": -math.inf,
}  # fmt: skip


def test_a_task_is_json_and_the_same_task_again() -> None:
    error = TaskError("ValueError", "no", "Traceback ...", NOW, 1, "host:1:a")
    policy = {
        "max_retries": 3,
        "deadline": timedelta(seconds=1.5),
        "backoff": Exponential(2, factor=3),
        "lease": timedelta(9),
    }
    task = make_task(
        VALUES, payload=VALUES, result=NOW, errors=(error,), policy=policy, priority=-3, expires_at=NOW, unique="u",
    )  # fmt: skip
    text = json.dumps(task.to_dict(token=True), allow_nan=False)
    assert Task.from_dict(json.loads(text)) == task


def test_what_looks_like_extended_json_comes_back_as_it_was() -> None:
    payload = [{"$date": "soon"}, {"$literal": {"$oid": 1}}, {"$other": 1}, {"$date": 1, "more": 2}]
    task = make_task(payload=payload)
    assert Task.from_dict(json.loads(json.dumps(task.to_dict()))).payload == payload


def test_a_dict_of_a_task_has_no_token_unless_it_is_asked_for() -> None:
    task = make_task({"user": 1})
    assert task.token is not None
    assert "token" not in task.to_dict()
    assert task.token not in json.dumps(task.to_dict())
    assert Task.from_dict(task.to_dict()).token is None
    assert Task.from_dict(task.to_dict(token=True)).token == task.token


def test_a_value_without_a_form_in_json_is_named_with_its_path() -> None:
    with pytest.raises(InvalidTask, match=r"payload\.a\[1\]: Regex"):
        make_task(payload={"a": [1, Regex("x")]}).to_dict()


@pytest.mark.parametrize(
    "field, value, allowed",
    [
        ("state", "resting", "one of parked, scheduled, ready"),
        ("run_at", "2030-01-01T00:00:00", "time zone"),
        ("run_at", None, "time zone"),
        ("priority", "high", "an integer"),
        ("key", 7, "a string"),
        ("tags", [1], "a mapping"),
        ("errors", [{"type": "E"}], "a list of errors"),
        ("policy", {"lease": -1}, "a mapping of options"),
        ("keys", "k", "did you mean 'key'"),
        ("attempt", {}, "a field of a task"),
    ],
)
def test_a_dict_that_is_no_task_is_refused_by_the_name_of_its_field(field: str, value: Any, allowed: str) -> None:
    with pytest.raises(InvalidTask, match=f"^{field}: .*{allowed}"):
        Task.from_dict({**make_task().to_dict(), field: value})


def test_no_mapping_is_no_task() -> None:
    with pytest.raises(InvalidTask, match="task: 'text' is not a mapping"):
        Task.from_dict("text")  # type: ignore[arg-type]


def test_a_task_of_another_version_of_mongoq_lacks_only_what_says_nothing() -> None:
    whole = make_task({"user": 1}, priority=3).to_dict()
    task = Task.from_dict({name: value for name, value in whole.items() if value not in (None, 0, False, [], {})})
    assert (dict(task.tags), task.priority, task.errors, task.result) == ({"user": 1}, 3, (), None)


def test_again_makes_a_task_like_the_old_one_due_now() -> None:
    policy = {"max_retries": 2, "backoff": Exponential(1)}
    old = make_task({"user": 1}, queue="mail", priority=4, payload=b"p", unique="u", policy=policy, expires_at=NOW)
    new = old.again()
    assert new == NewTask(
        {"user": 1}, queue="mail", priority=4, payload=b"p", unique="u", max_retries=2, backoff=Exponential(1)
    )
    assert (new.key, new.run_at, new.delay, new.expires_at) == (None, None, None, None)


def test_again_takes_changes() -> None:
    old = make_task({"user": 1}, queue="mail", policy={"max_retries": 2}, unique="u")
    new = old.again(tags={**old.tags, "more": True}, key="k", delay=60, unique=None, max_retries=UNSET)
    assert new == NewTask({"user": 1, "more": True}, queue="mail", key="k", delay=60)
    with pytest.raises(InvalidTask, match="priority"):
        old.again(priority="high")
    with pytest.raises(TypeError, match="did you mean 'priority'"):
        old.again(priorty=1)


def test_again_keeps_every_option_of_a_policy() -> None:
    values: dict[str, Any] = dict.fromkeys(POLICY_NAMES, timedelta(seconds=9)) | {
        "max_retries": 1,
        "backoff": Exponential(1),
        "retry_on": ("builtins.OSError",),
        "no_retry_on": ("shop.Refused",),
        "failure_message": "not sent",
        "on_complete": FollowUp("reports", "report", 3, {"for": "ada"}),
    }
    new = make_task(policy=values).again()
    assert {name: getattr(new, name) for name in POLICY_NAMES} == values


CHANGES: list[Any] = [
    lambda tags: tags.update(a=1),
    lambda tags: tags.__setitem__("a", 1),
    lambda tags: tags.__delitem__("user"),
    lambda tags: tags.__ior__({"a": 1}),
    lambda tags: tags.pop("user"),
    lambda tags: tags.popitem(),
    lambda tags: tags.setdefault("a", 1),
    lambda tags: tags.clear(),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_mutated_tag_says_that_tags_are_read_only_and_what_to_do(change: Any) -> None:
    task = make_task({"user": 1})
    with pytest.raises(TypeError, match=r"a task never changes: .*queue\.update\(task\.key, tags="):
        change(task.tags)
    assert task.tags == {"user": 1}


def test_read_only_tags_are_a_dict_everywhere_else() -> None:
    tags = make_task({"user": 1, "list": [1]}).tags
    assert isinstance(tags, dict)
    assert json.loads(json.dumps(tags)) == bson.decode(bson.encode(tags)) == copy.deepcopy(tags) == tags
    assert pickle.loads(pickle.dumps(tags)) == tags  # noqa: S301 -- our own
    own = {**tags} | {"more": 1}
    own["user"] = 2
    (tags | {})["free"] = 1
    assert tags == {"user": 1, "list": [1]}


def test_a_tag_named_like_an_option_draws_one_warning_at_the_line_of_the_caller() -> None:
    warn_of_option.cache_clear()
    with pytest.warns(UserWarning, match=r"'priority' is an option .*new\(tags, priority=") as drawn:
        [NewTask({"priority": 9}) for _ in range(2)]
    [warning] = drawn
    assert warning.filename == __file__

"""Values that would be accepted and mean something else than they say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mongoq import ConfigurationError, Exponential, InvalidTask, Linear, NewTask
from mongoq.core.tasks.new_tasks import each
from mongoq.storage.context import Context
from mongoq.storage.documents import drafting, filters


@pytest.mark.parametrize("make", [lambda: Exponential(1, max=0), lambda: Linear(10, max=timedelta(0))])
def test_a_backoff_whose_maximum_is_zero_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError, match=r"backoff\.max"):
        make()


@pytest.mark.parametrize("backoff", [Linear(0), Exponential(5, max=0.5), Linear(10)])
def test_one_with_any_other_maximum_is_accepted(backoff: Any) -> None:
    assert backoff.delay(3) <= timedelta(seconds=30)


def test_a_prefix_adds_to_exact_names() -> None:
    both = filters.named(["a"], "b")
    assert both == {"$or": [filters.named(["a"]), filters.named(prefix="b")]}


@pytest.mark.parametrize("options", [{"delay": 3600}, {"delay": 2}, {"run_at": datetime(2100, 1, 1, tzinfo=UTC)}])
def test_a_task_that_expires_before_it_may_run_is_refused(
    make_context: Callable[..., Context], options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidTask, match="expires_at"):
        drafting.draft(make_context(max_age=2), NewTask(**options))
    with pytest.raises(InvalidTask, match=r"tasks\[1\]\.expires_at"):
        list(drafting.chunks(make_context(max_age=2), each([NewTask(), NewTask(**options)], {})))


def test_one_that_may_run_first_is_accepted(make_context: Callable[..., Context]) -> None:
    assert drafting.draft(make_context(max_age=2), NewTask(delay=1.9)).model["expires_at"]


def test_one_dict_again_and_again_is_several_tasks(context: Context) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        row: dict[str, Any] = {"n": 0, "inner": {"n": [0]}}
        for number in range(5):
            row["n"] = row["inner"]["n"][0] = number
            yield row

    [drafts] = drafting.chunks(context, each(rows(), {}))
    made = drafting.all_made(context, drafts, {})
    assert [(task.tags["n"], task.tags["inner"]["n"]) for task in made] == [(n, [n]) for n in range(5)]


def test_a_new_task_keeps_no_container_of_the_caller_s(context: Context) -> None:
    tags, payload = {"a": {"b": 1}}, {"list": [1]}
    new = NewTask(tags, payload=payload)
    tags["$x.y"] = tags["a"]["$b"] = 1  # type: ignore[assignment]
    payload["list"].append(2)
    assert (new.tags, new.payload) == ({"a": {"b": 1}}, {"list": [1]})


@pytest.mark.parametrize("change", [lambda new: new.tags.update({"$x.y": 1}), lambda new: new.payload.append(object())])
def test_what_is_changed_in_a_new_task_is_checked_again(context: Context, change: Callable[[NewTask], object]) -> None:
    new = NewTask({}, payload=[])
    change(new)
    with pytest.raises(InvalidTask, match=r"tasks\[0\]"):
        list(drafting.chunks(context, each([new], {})))
    with pytest.raises(InvalidTask):
        drafting.document_of(context, new, context.clock.now())

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq.core.errors import ConfigurationError
from mongoq.core.judging.backoff import Constant, Linear
from mongoq.core.judging.policy import DEFAULTS, POLICY_NAMES, Policy
from mongoq.core.options import Options, checked_options, checked_queues
from mongoq.core.tasks.task import Task
from mongoq.core.validation import UNSET, Checker
from mongoq.queue import Queue


def options(**given: Any) -> Options:
    plain = {"namespace": "default", "max_age": None, "workers": None, "grace": 25, "max_task_bytes": 2**20}
    policy = {name: given.pop(name) for name in POLICY_NAMES if name in given}
    return checked_options(**(plain | given), policy=policy)


def faults(**given: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        options(**given)
    return [fault.field for fault in caught.value.faults]


def test_the_defaults_are_those_that_the_queue_documents() -> None:
    assert Policy() == Policy(
        max_retries=None,
        backoff=Linear(timedelta(seconds=10)),
        deadline=None,
        lease=timedelta(seconds=30),
        keep_completed=timedelta(hours=1),
        keep_failed=timedelta(days=30),
    )
    text = re.sub(r"\s+", " ", inspect.getdoc(Queue) or "")
    for words in (
        "max_retries: retries after the first attempt. Default: without a maximum",
        "workers: handlers that run at once in a worker process. Default: the number of CPU cores",
        "deadline: the longest one attempt may run. Default: none",
        "backoff: the wait before each retry. Default: `Linear(10 s)`",
        "at least 1 s. Default: 30 s",
        "with their results. Default: 1 hour",
        "cancelled tasks are kept. Default: 30 days",
        "running handlers. Default: 25 s",
        "the largest task, encoded. Default: 1 MiB",
        "max_age: a task that has not completed this long after its creation expires. Default: never",
    ):
        assert words in text, words


def test_the_queue_s_signature_leaves_the_defaults_to_the_policy() -> None:
    given = {name: parameter.default for name, parameter in inspect.signature(Queue).parameters.items()}
    assert given["workers"] is given["max_age"] is given["max_retries"] is given["deadline"] is None
    assert {given[name] for name in ("backoff", "lease", "keep_completed", "keep_failed")} == {UNSET}
    assert (given["namespace"], given["grace"], given["max_task_bytes"]) == (None, 25, 2**20)
    assert set(POLICY_NAMES) - given.keys() == {"on_complete"}, "of a task alone"
    assert options(**{name: given[name] for name in POLICY_NAMES if name in given}).policy == DEFAULTS


def test_workers_are_left_to_the_executor_unless_told() -> None:
    assert options().workers is None
    assert options(workers=3).workers == 3


def test_a_queue_without_options_puts_nothing_into_its_tasks() -> None:
    assert options().carried == {}
    assert options(max_retries=None, deadline=None, lease=30, keep_completed=3600, backoff=UNSET).carried == {}
    assert options(backoff=10).carried == options(backoff=Linear(10)).carried == {}


def test_only_what_differs_from_the_library_s_defaults_is_carried() -> None:
    made = options(max_retries=0, lease=timedelta(seconds=30), keep_failed=60, backoff=Constant(1))
    assert made.carried == {"max_retries": 0, "keep_failed": timedelta(minutes=1), "backoff": Constant(1)}


def test_a_callable_backoff_serves_here_and_is_not_carried() -> None:
    def backoff(attempt: int) -> float:
        return attempt / 2

    made = options(backoff=backoff)
    assert made.policy.backoff is backoff
    assert made.carried == {}


def test_a_duration_as_backoff_is_the_step_of_a_linear() -> None:
    assert options(backoff=2).policy.backoff == Linear(2)


def test_a_task_s_policy_goes_over_the_worker_s() -> None:
    mine = Policy(max_retries=1, lease=timedelta(seconds=5))
    assert mine.over({"max_retries": None}) == Policy(max_retries=None, lease=timedelta(seconds=5))
    assert mine.over({}) is mine


@pytest.mark.parametrize(
    "given",
    [
        {"namespace": ""}, {"namespace": "system.users"}, {"namespace": "a$b"}, {"namespace": "1a"}, {"namespace": 5},
        {"namespace": "n" * 65}, {"max_age": 0}, {"max_age": -1}, {"max_age": "1h"}, {"workers": 0}, {"workers": 1.5},
        {"workers": True}, {"workers": 10_001}, {"grace": -1}, {"grace": None}, {"max_task_bytes": 2**23 + 1},
        {"max_task_bytes": 0}, {"max_retries": -1}, {"backoff": "x"}, {"backoff": -1}, {"deadline": 0}, {"lease": 0.99},
        {"lease": 0}, {"keep_completed": None}, {"keep_failed": -1},
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_option_is_refused_by_its_name(given: dict[str, Any]) -> None:
    assert set(faults(**given)) == set(given)


def test_all_that_is_wrong_with_a_queue_is_told_at_once() -> None:
    assert faults(namespace="$", workers=0, grace=-1, lease=0.1) == ["namespace", "workers", "grace", "lease"]


def test_the_queues_to_work_on_are_a_name_or_a_list_of_names_each_once() -> None:
    checker = Checker()
    assert checked_queues(checker, "mail") == ("mail",)
    assert checked_queues(checker, ["b", "a", "b"]) == ("b", "a")
    assert checker.faults == []


@pytest.mark.parametrize("queues", ["", [], None, 5, ["ok", ""], [["a"]], [None], ["q"] * 101, "a,b"], ids=str)
def test_queues_that_cannot_be_are_faults_and_not_accidents(queues: Any) -> None:
    checker = Checker()
    checked_queues(checker, queues)
    assert {fault.field for fault in checker.faults} == {"queues"}


@pytest.mark.parametrize("name", [name for name, _ in inspect.getmembers(Queue, inspect.isfunction) if name[0] != "_"])
def test_every_method_with_options_corrects_a_misspelt_one(name: str) -> None:
    with Queue(MongoClient[Any](connect=False)) as queue:
        method = getattr(queue, name)
        parameters = inspect.signature(method).parameters.values()
        option = next((one.name for one in parameters if one.kind is one.KEYWORD_ONLY), None)
        if option is not None:
            with pytest.raises(TypeError, match=rf"Queue.{name}\(\) has no option .*; did you mean '{option}'"):
                method(**{f"{option}x": 1})


def test_a_change_corrects_a_misspelt_option(make_task: Callable[..., Task]) -> None:
    with pytest.raises(TypeError, match="did you mean 'priority'"):
        make_task().as_change(priorty=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("database", [False, True])
def test_a_client_that_does_not_retry_writes_is_refused(database: bool) -> None:
    client = MongoClient[Any](connect=False, retryWrites=False)
    with client, pytest.raises(ConfigurationError, match="retryWrites=True"):
        Queue(client["shop"] if database else client)

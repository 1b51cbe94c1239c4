"""Task functions on a queue without a server: calls, checks, results, registries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import pytest

from mongoq import Attempt, ConfigurationError, InvalidTask, NewTask, Queue, Task, TaskFailed, Tasks
from mongoq.testing import memory_queue, run_due


@dataclass
class Receipt:
    total: Decimal
    day: date


@pytest.fixture
def queue() -> Iterator[Queue]:
    with memory_queue(max_retries=0) as opened:
        yield opened


def test_a_call_is_enqueued_with_its_arguments_as_tags(queue: Queue) -> None:
    @queue.task
    def welcome(user: int, queue: str = "plain") -> None: ...

    handle = welcome.new(42, queue="gold")

    assert dict(handle.task.tags) == {"user": 42, "queue": "gold"}
    assert handle.task.name == queue.get(handle.key).name == "welcome"


def test_a_worker_calls_the_function_and_the_handle_brings_its_result(queue: Queue) -> None:
    @queue.task
    def pay(amount: Decimal, day: date) -> Receipt:
        return Receipt(amount * 2, day)

    handle = pay.new(Decimal("1.10"), date(2026, 8, 1))
    run_due(queue)

    assert handle.result(timeout=0) == Receipt(Decimal("2.20"), date(2026, 8, 1))


def test_everything_that_is_wrong_with_a_call_is_told_in_the_caller(queue: Queue) -> None:
    @queue.task
    def welcome(user: int, template: str = "plain") -> None: ...

    with pytest.raises(InvalidTask) as told:
        welcome.new(usr=42, template=3)  # type: ignore[call-arg, arg-type]

    assert str(told.value) == (
        "welcome(usr): 42 is not an argument of welcome(user, template); did you mean 'user'?; "
        "welcome(template): 3 is not a str; welcome(user): nothing is not an int; the argument has no default"
    )
    assert queue.empty()


def test_a_plain_call_runs_the_function_here(queue: Queue) -> None:
    @queue.task
    def double(attempt: Attempt, number: int) -> int:
        assert attempt.time_left() is None
        assert attempt.parents == {}
        with pytest.raises(LookupError, match="a plain call of a function has no task"):
            _ = attempt.task
        return number * 2

    assert double(21) == 42
    assert queue.empty()


def test_the_attempt_and_the_task_are_passed_by_the_worker(queue: Queue) -> None:
    seen = []

    @queue.task(deadline=60)
    def live(attempt: Attempt, number: int) -> None:
        seen.append((attempt.time_left() or 0) > 1 and attempt.task.tags == {"number": number})

    @queue.task
    def whole(task: Task, number: int) -> None:
        seen.append(task.tags["number"] == number)

    live.new(1)
    whole.new(2)
    run_due(queue)

    assert seen == [True, True]
    with pytest.raises(InvalidTask, match=r"live\(attempt\): None is not given by the caller"):
        live.new(1, attempt=None)  # type: ignore[call-arg]


def test_options_are_those_of_the_function_and_of_one_call(queue: Queue) -> None:
    @queue.task(queue="mail", priority=3, max_retries=5)
    def welcome(user: int) -> None: ...

    task = welcome.options(priority=9, unique="welcome-42").new(42).task

    assert (task.queue, task.priority, task.unique, task.policy["max_retries"]) == ("mail", 9, "welcome-42", 5)
    assert welcome.new(43).task.priority == 3
    with pytest.raises(TypeError, match="no option 'priorty'; did you mean 'priority'"):
        welcome.options(priorty=9)  # type: ignore[call-arg]


def test_a_call_is_a_new_task(queue: Queue) -> None:
    @queue.task
    def welcome(user: int) -> None: ...

    call = welcome.call(42)

    assert isinstance(call, NewTask)
    assert [task.tags["user"] for task in queue.new_many(welcome.call(n) for n in range(3))] == [0, 1, 2]


def test_tasks_are_bound_to_the_queue_that_includes_them(queue: Queue) -> None:
    tasks = Tasks()

    @tasks.task
    def welcome(user: int) -> int:
        return user

    with pytest.raises(ConfigurationError, match="a function of Tasks that no queue includes"):
        welcome.new(42)
    queue.include(tasks)
    handle = welcome.new(42)
    run_due(queue)
    assert handle.result(timeout=0) == 42


def test_a_handle_tells_how_a_call_failed(queue: Queue) -> None:
    @queue.task
    def broken() -> None:
        raise ValueError("no such user")

    handle = broken.new()
    run_due(queue)

    with pytest.raises(TaskFailed, match="ValueError: no such user") as told:
        handle.result(timeout=0)
    assert told.value.task.key == handle.key
    assert handle.wait(timeout=0)


def test_two_functions_of_one_name_are_refused(queue: Queue) -> None:
    @queue.task
    def welcome(user: int) -> None: ...

    with pytest.raises(ConfigurationError, match="Give one of them another, by name="):
        queue.task(name="welcome")(lambda user: None)


def test_a_queue_without_functions_asks_for_a_handler(queue: Queue) -> None:
    with pytest.raises(ConfigurationError, match="this queue has no task functions"):
        queue.run(burst=True)


@dataclass
class Parcel:
    sent: date
    weights: set[int]


def test_plain_tags_payloads_and_results_are_converted_by_their_types(queue: Queue) -> None:
    given = {"price": Decimal("1.10"), "day": date(2026, 8, 1), "inner": [Parcel(date(2026, 8, 2), {2, 1})]}
    stored = {"price": Decimal("1.10"), "day": "2026-08-01", "inner": [{"sent": "2026-08-02", "weights": [1, 2]}]}

    made = queue.new(given, payload=Decimal(3))
    (many,) = queue.new_many([given])
    assert dict(made.tags) == dict(queue.get(made.key).tags) == dict(queue.get(many.key).tags) == stored
    assert queue.get(made.key).payload == Decimal(3)
    assert [task.key for task in queue.tasks(where={"price": Decimal("1.10"), "day": date(2026, 8, 1)})] == [
        made.key, many.key,
    ]  # fmt: skip
    assert queue.update(made.key, tags={"day": date(2026, 8, 3)}).tags["day"] == "2026-08-03"

    run_due(queue, lambda task: Parcel(date(2026, 8, 4), {3}))
    assert queue.get(made.key).result == {"sent": "2026-08-04", "weights": [3]}


def test_a_stored_result_of_another_kind_is_told_by_the_handle(queue: Queue) -> None:
    @queue.task
    def pay() -> Receipt:
        return "paid"  # type: ignore[return-value]

    handle = pay.new()
    run_due(queue)

    assert queue.get(handle.key).result == "paid"
    with pytest.raises(InvalidTask, match="the stored result of pay: 'paid' is not a Receipt"):
        handle.result(timeout=0)

"""Groups in groups, `map`, `starmap`, `chunks` and rate limits of `mongoq.contrib.celery`, beside Celery itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq import ConfigurationError, Queue
from mongoq.contrib import celery
from mongoq.contrib.celery import chain, chord, group, shared_task
from mongoq.contrib.celery.rates import limit_of_rate
from mongoq.contrib.celery.registered import functions
from mongoq.contrib.celery.results import GroupResult
from mongoq.testing import memory_queue, run_due

# Celery takes over the shared tasks of other modules, and prefers a setting of the application to this option of them.
pytestmark = pytest.mark.filterwarnings(r"ignore:\s*The 'queue' task attribute")


def plain_add(x: int, y: int = 0) -> int:
    return x + y


add = shared_task(name="tests.canvas.add", queue="sums")(plain_add)


@shared_task(name="tests.canvas.same")
def same(value: Any) -> Any:
    return value


@shared_task(name="tests.canvas.asks", bind=True)
def asks(self: Any, value: int) -> list[Any]:
    return [value, self.request.called_directly, self.request.args]


@shared_task(name="tests.canvas.gives_up", bind=True)
def gives_up(self: Any, value: int) -> None:
    raise self.retry(exc=KeyError(value))


@shared_task(name="tests.canvas.slow", rate_limit="30/m", limits="bank")
def slow() -> None: ...


@pytest.fixture
def queue() -> Iterator[Queue]:
    with memory_queue() as queue:
        queue.include(celery.tasks)
        yield queue


@pytest.fixture(scope="module")
def real() -> Iterator[Any]:
    """Give Celery, whose tasks run where they are called."""
    module = pytest.importorskip("celery")
    app = module.Celery("canvas", broker="memory://", backend="cache+memory://", set_as_current=True)
    app.conf.update(task_always_eager=True, task_store_eager_result=True)
    app.task(name="add")(plain_add)
    app.finalize()
    module.add = app.tasks["add"]
    yield module
    del module.add
    app.close()


def results(queue: Queue, *calls: Any) -> list[Any]:
    run_due(queue, queues=["default", "sums"])
    return [call.get(timeout=0) for call in calls]


def test_tasks_of_a_group_in_a_group_are_members_as_its_own(queue: Queue, real: Any) -> None:
    def nested(module: Any, one: Any) -> Any:
        return module.group(one.s(1), module.group(one.s(2), module.group(one.s(3))), one.s(4))

    ours = nested(celery, add).delay()
    assert len(ours) == len(nested(real, real.add).freeze().results) == 4
    both = chord(nested(celery, add), same.s())()
    before = chain(add.s(1), group(group(add.s(1), add.s(2)), add.s(3)), same.s()).delay()
    assert results(queue, ours, both, before) == [[1, 2, 3, 4], [1, 2, 3, 4], [2, 3, 4]]


def test_a_chord_in_a_group_or_a_chord_is_one_member(queue: Queue) -> None:
    inner = chord([add.s(1), add.s(2)], same.s())
    side_by_side = group(inner, add.s(3)).delay()
    around = chord([inner, add.s(3)], same.s())()
    assert results(queue, side_by_side, around) == [[[1, 2], 3], [[1, 2], 3]]


def test_a_chain_that_ends_in_a_group_has_a_result_of_its_own_in_a_group(queue: Queue) -> None:
    made = group(chain(add.s(1), group(add.s(1), add.s(2))), add.s(3)).delay()
    assert isinstance(made[0], GroupResult)
    assert results(queue, made) == [[[2, 3], 3]]


def test_options_of_a_group_are_those_of_each_of_its_tasks(queue: Queue) -> None:
    group(add.s(1), group(add.s(2))).apply_async(queue="mail", priority=4)
    assert [(task.queue, task.priority) for task in queue.tasks()] == [("mail", 4)] * 2


def test_map_runs_a_task_with_each_value_by_one_call(queue: Queue, real: Any) -> None:
    mapped, starred, told = add.map([1, 2]).delay(), add.starmap([(1, 2), (3, 4)]).apply_async(), asks.map([7]).delay()
    assert [(task.name, task.queue) for task in queue.tasks(queue="sums")] == [
        ("celery.map", "sums"),
        ("celery.starmap", "sums"),
    ]
    assert results(queue, mapped, starred, told) == [[1, 2], [3, 7], [[7, True, [7]]]]
    theirs = [real.add.map([1, 2]).apply().get(), real.add.starmap([(1, 2), (3, 4)]).apply().get()]
    assert theirs == [[1, 2], [3, 7]]


def test_an_error_in_one_run_of_a_map_is_that_of_the_call(queue: Queue) -> None:
    made = gives_up.map([1]).delay()
    run_due(queue)
    assert (made.state, made.traceback.strip().splitlines()[-1]) == ("FAILURE", "KeyError: 1")
    assert queue.get(made.id).attempts == 1


def test_chunks_are_a_group_of_starmaps(queue: Queue, real: Any) -> None:
    def calls(task: Any) -> Any:
        return task.chunks(zip(range(5), range(5), strict=True), 2)

    theirs = [one.kwargs["it"] for one in calls(real.add).group().tasks]
    assert [[tuple(values) for values in one.kwargs["it"]] for one in calls(add).group().tasks] == [
        [tuple(values) for values in it] for it in theirs
    ]
    whole, summed = calls(add)(), chord(calls(add), same.s())()
    assert results(queue, whole, summed) == [[[0, 2], [4, 6], [8]]] * 2
    with pytest.raises(ConfigurationError, match="chunks n: 0 is not a number from 1"):
        add.chunks([], 0)


@pytest.mark.parametrize("method", ["map", "starmap", "chunks", "s", "si"])
def test_methods_take_what_those_of_celery_take(real: Any, method: str) -> None:
    ours, theirs = (inspect.signature(getattr(one, method)) for one in (add, real.add))
    assert list(ours.parameters) == list(theirs.parameters)


@pytest.mark.parametrize("rate", ["10/m", "100/h", "0.5/s", "3", 7, 0.25, None, 0, "0/s"])
def test_a_rate_limit_is_what_celery_makes_of_it(rate: Any) -> None:
    time = pytest.importorskip("celery.utils.time")
    limit = limit_of_rate("shop.tasks.charge", rate)
    starts = 0 if limit is None or limit.rate is None else limit.rate / limit.per.total_seconds()
    assert starts == pytest.approx(time.rate(rate))
    assert limit is None or (limit.name, limit.burst) == ("celery-shop-tasks-charge", 1)


def test_a_rate_limit_that_cannot_be_read_is_named() -> None:
    for rate in ("10/d", "-1/s", True, "fast"):
        with pytest.raises(ConfigurationError, match=f"rate_limit: '?{rate}'? is not a number of starts"):
            limit_of_rate("charge", rate)


def test_names_of_tasks_that_look_alike_have_limits_of_their_own() -> None:
    names = [limit.name for task in ("a.b", "a-b", "a b", "x" * 80) if (limit := limit_of_rate(task, 1))]
    assert len(set(names)) == 4
    assert max(map(len, names)) <= 64


def test_the_first_call_makes_the_limit_and_leaves_one_that_is_there(queue: Queue) -> None:
    queue.limit("bank", concurrency=2)
    own = "celery-tests-canvas-slow"
    assert queue.get(slow.delay().id).limits == {own: 1, "bank": 1}
    assert queue.get(slow.apply_async(limits={"bank": 2}).id).limits == {own: 1, "bank": 2}
    (made,) = [limit for limit in queue.limits() if limit.name == own]
    assert (made.rate, made.per.total_seconds(), made.burst) == (30, 60, 1)
    queue.limit(own, rate=5)
    slow.delay()
    assert {limit.name: limit.rate for limit in queue.limits()}[own] == 5


def test_a_limit_is_made_outside_of_the_transaction_of_a_call(database_uri: str) -> None:
    with MongoClient[Any](database_uri) as client, Queue(client) as queue, client.start_session() as session:
        queue.include(celery.tasks)
        queue.limit("bank", concurrency=1)
        if not hasattr(session, "bind"):
            pytest.skip("this PyMongo cannot bind a session")
        with session.bind(end_session=False):
            session.start_transaction()
            made = slow.delay()
            session.abort_transaction()
        assert [limit.name for limit in queue.limits()] == ["bank", "celery-tests-canvas-slow"]
        assert made.task is None
        assert slow.delay().task is not None


def test_a_worker_makes_the_limits_of_its_code_with_their_numbers(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = limit_of_rate("tests.of_worker", "20/m")
    assert limit is not None
    monkeypatch.setattr(functions, "_limits", {limit.name: limit})
    queue.limit(limit.name, rate=1)
    run_due(queue)
    assert queue.limits() == [limit]

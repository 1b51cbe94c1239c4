"""`mongoq.contrib.celery`, by the tasks of `examples/celery_tasks.py`, which Celery runs as well."""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest

from mongoq import ConfigurationError, InvalidTask, Queue, TaskCancelled, TaskFailed, TaskNotFound
from mongoq.contrib import celery
from mongoq.contrib.celery import AsyncResult, chain, chord, group, shared_task, signature
from mongoq.testing import memory_queue, run_due
from mongoq.worker.handlers.signature import importable

EXAMPLES = Path(__file__).parents[2] / "examples"
QUEUES = ["default", "mail"]


@pytest.fixture(scope="module")
def shop() -> Iterator[Any]:
    sys.path.insert(0, str(EXAMPLES))
    yield importlib.import_module("celery_tasks")
    sys.path.remove(str(EXAMPLES))


@pytest.fixture
def queue(shop: Any) -> Iterator[Queue]:
    with memory_queue() as queue:
        queue.include(celery.tasks)
        shop.SENT.clear()
        yield queue


def ran(queue: Queue, *, advance: bool = False) -> list[str]:
    """The names of the tasks that ran."""
    return [str(one.task.name).rpartition(".")[2] for one in run_due(queue, queues=QUEUES, advance=advance)]


def test_a_call_is_enqueued_and_its_result_is_seen(shop: Any, queue: Queue) -> None:
    result = shop.add.delay(2, y=3)
    assert (result.state, result.ready(), result.result) == ("PENDING", False, None)
    assert queue.get(result.id).tags == {"args": [2], "kwargs": {"y": 3}}

    assert ran(queue) == ["add"]

    assert (result.state, result.get(timeout=0), result.info) == ("SUCCESS", 5, 5)
    assert result.successful()
    assert AsyncResult(result.id) == result == shop.add.AsyncResult(result.id)
    assert shop.add(2, 3) == shop.add.s(2)(3) == 5
    result.forget()
    assert result.state == "PENDING"
    with pytest.raises(TaskNotFound):
        result.get(timeout=0)


def test_a_call_that_does_not_fit_the_function_is_refused_where_it_is_made(shop: Any, queue: Queue) -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'y'"):
        shop.add.delay(1)
    with pytest.raises(InvalidTask, match="args"):
        shop.add.delay(1, object())
    assert queue.count() == 0


def test_the_options_of_a_call_are_those_of_its_task(shop: Any, queue: Queue) -> None:
    naive = datetime(2040, 1, 1, 12)  # noqa: DTZ001 -- Celery takes it for UTC
    result = shop.add.apply_async(
        (1, 2), eta=naive, expires=naive + timedelta(hours=1), queue="mail", priority=7, task_id="sum-1", time_limit=9
    )
    task = queue.get("sum-1")
    assert (result.id, task.queue, task.priority) == ("sum-1", "mail", 7)
    assert (task.run_at, task.expires_at) == (naive.replace(tzinfo=UTC), naive.replace(hour=13, tzinfo=UTC))
    assert task.policy["deadline"] == timedelta(seconds=9)
    assert shop.add.apply_async((1, 2), countdown=60, retry=True, serializer="json").state == "PENDING"
    result.revoke()
    assert result.state == "REVOKED"
    with pytest.raises(TaskCancelled):
        result.get(timeout=0)


@pytest.mark.parametrize(
    "options, named",
    [
        ({"routing_key": "mail"}, "routing_key: 'mail' is not possible here: name a queue"),
        ({"countdwn": 3}, "did you mean 'countdown'"),
        ({"serializer": "pickle"}, "values are stored as BSON"),
        ({"link": 7}, "link: 7 is not signatures"),
    ],
)
def test_an_option_that_cannot_be_is_named_and_nothing_is_written(
    shop: Any, queue: Queue, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        shop.add.apply_async((1, 2), **options)
    assert named in str(raised.value)
    assert queue.count() == 0


@pytest.mark.parametrize(
    "options", [{"base": object}, {"rate_limit": "10/d"}, {"acks_late": False}, {"pydantic": True}]
)
def test_an_option_of_a_task_that_cannot_be_is_named(options: dict[str, Any]) -> None:
    def task() -> None: ...

    with pytest.raises(ConfigurationError, match=f"@shared_task of .*task: {next(iter(options))}"):
        shared_task(**options)(task)


def test_what_a_task_of_celery_has_and_this_one_has_not_is_named(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mongoq.contrib.django", raising=False)  # in a project of Django's it has a queue
    with pytest.raises(AttributeError, match=r"no Task\.update_state: use `self\.request\.attempt\.progress"):
        shop.add.update_state(state="PROGRESS")

    async def task() -> None: ...

    with pytest.raises(ConfigurationError, match="a plain function, as Celery runs"):
        shared_task(task)
    with pytest.raises(ConfigurationError, match="no queue includes"):
        shop.add.delay(1, 2)


def test_errors_named_by_autoretry_for_are_retried_with_a_doubled_wait(shop: Any, queue: Queue) -> None:
    result = shop.fetch.delay("https://example.org/busy")

    waits = [one.run_at - one.task.read_at for one in run_due(queue, queues=QUEUES) if one.run_at is not None]

    assert [round(wait.total_seconds()) for wait in waits] == [1, 2]
    assert result.get(timeout=0) == "page of https://example.org/busy"


def test_retry_waits_as_told_and_raises_the_error_in_the_end(shop: Any, queue: Queue) -> None:
    once, never = shop.charge.delay(13, "9.90"), shop.charge.delay(-1, "9.90")
    run_due(queue, queues=QUEUES, advance=False)
    assert once.state == never.state == "RETRY"
    waiting = queue.get(once.id)
    assert (waiting.run_at - waiting.modified_at, waiting.note) == (
        timedelta(minutes=1),
        "TimeoutError: the bank is closed",
    )

    run_due(queue, queues=QUEUES)

    assert once.get(timeout=0) == "13: 9.90"
    assert (never.state, queue.get(never.id).attempts) == ("FAILURE", 4)
    assert "TimeoutError: the bank is closed" in never.traceback
    with pytest.raises(TaskFailed, match="TimeoutError: the bank is closed"):
        never.get(timeout=0)
    assert isinstance(never.get(timeout=0, propagate=False), TaskFailed)


def test_an_error_that_is_not_to_be_retried_is_final(shop: Any, queue: Queue) -> None:
    result = shop.total.delay([1, "a"])
    assert ran(queue, advance=True) == ["total"]
    assert result.failed()


def test_retry_outside_of_a_task_raises_the_error(shop: Any) -> None:
    with pytest.raises(TimeoutError, match="the bank is closed"):
        shop.charge(13, "9.90")
    with pytest.raises(ConfigurationError, match=r"charge\.retry args"):
        shop.charge.retry(args=(1,))


def test_a_chain_passes_results_on_and_its_links_run(shop: Any, queue: Queue) -> None:
    result = chain(shop.add.s(1, 2), shop.add.s(3), shop.add.si(10, 10), shop.add.s(1)).apply_async(
        link=shop.mail.s("bob")
    )
    assert ran(queue) == ["add"] * 4 + ["mail"]
    assert result.get(timeout=0) == 21
    assert shop.SENT == ["bob: 21"]
    assert queue.count(queue="mail") == 0, "a result that is ignored is not kept"


def test_what_follows_a_failed_task_is_cancelled_and_its_errback_runs_once(shop: Any, queue: Queue) -> None:
    bad, good = shop.place_order(-1, "9.90"), shop.place_order(2, "5.00")
    assert ran(queue, advance=True).count("alarm") == 2
    assert bad.state == "REVOKED"
    alarm, mailed = sorted(shop.SENT)
    assert alarm.startswith("-1 went wrong: ")
    assert mailed == "bob: 2: 5.00"
    with pytest.raises(TaskNotFound):
        good.get(timeout=0)


def test_a_group_has_its_results_in_order_and_a_chord_gets_them(shop: Any, queue: Queue) -> None:
    side_by_side = group(shop.add.s(n, n) for n in range(4)).delay()
    assert not side_by_side.ready()
    called = chord(shop.add.s(n, 0) for n in range(3))(shop.total.s())
    empty = chord([], shop.total.s())()
    both = (shop.add.s(1, 1) | group(shop.add.s(1), shop.add.s(2)) | shop.total.s()).delay()
    ran(queue)
    assert side_by_side.get(timeout=0) == [0, 2, 4, 6]
    assert side_by_side.completed_count() == len(side_by_side) == 4
    assert (called.get(timeout=0), empty.get(timeout=0), both.get(timeout=0)) == (3, 0, 7)


def test_what_a_canvas_cannot_be_is_named(shop: Any, queue: Queue) -> None:
    add = shop.add
    for wrong, named in [
        (chord([add.s(1, 1) | group([add.s(1)])], shop.total.s()).delay, "one here ends in a group"),
        (lambda: group(add.s(1, 1)).link(add.s(1)), "group.link"),
        (lambda: chain(add.s(1, 1), add.s(1)).apply_async(queue="mail"), "chain.apply_async queue"),
        (lambda: chain(add.s(1, 1), "add"), "chain: 'add' is not"),
        (lambda: add.s(1, 1).link_error(add.s(1) | add.s(2)).delay(), "the signature of one task"),
    ]:
        with pytest.raises(ConfigurationError, match=named):
            cast("Callable[[], object]", wrong)()
    assert queue.count() == 0


def test_a_task_of_another_process_is_called_by_its_name(queue: Queue) -> None:
    result = signature("elsewhere.tasks.render", args=(7,), queue="mail").delay()
    (task,) = queue.tasks(queue="mail")
    assert (task.key, task.name, task.tags["args"]) == (result.id, "elsewhere.tasks.render", [7])


def test_the_request_tells_the_call_and_its_attempt_can_say_how_far_it_is(queue: Queue) -> None:
    result = told.apply_async((1,), {"y": 2}, priority=3)
    ran(queue)
    assert result.get(timeout=0) == [result.id, told.name, [1], {"y": 2}, 0, "default", 3, False]
    progress = queue.get(result.id).progress
    assert progress
    assert progress.value == 0.5


def test_limits_take_the_place_of_a_rate_limit(queue: Queue) -> None:
    queue.limit("stripe", concurrency=1)
    queue.limit("bank", concurrency=1)
    assert queue.get(limited.delay().id).limits == {"stripe": 1}
    assert queue.get(limited.apply_async(limits=["bank"]).id).limits == {"bank": 1}


@shared_task(name="tests.limited", limits=["stripe"])
def limited() -> None: ...


@shared_task(bind=True, name="tests.told")
def told(self: Any, *args: int, **kwargs: int) -> list[Any]:
    request = self.request
    request.attempt.progress(0.5)
    info = request.delivery_info
    return [
        request.id, request.task, [*args], kwargs, request.retries, info["routing_key"], info["priority"],
        request.called_directly,
    ]  # fmt: skip


@pytest.mark.filterwarnings(r"ignore:\s*The 'queue' task attribute")  # it prefers a setting of the application
def test_celery_itself_runs_the_same_file_to_the_same_results(
    shop: Any, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pytest.importorskip("celery")
    app = real.Celery("same", broker="memory://", backend="cache+memory://", set_as_current=True)
    app.conf.update(task_always_eager=True, task_store_eager_result=True)
    source = (EXAMPLES / "celery_tasks.py").read_text().replace("mongoq.contrib.celery", "celery")
    theirs: Any = ModuleType("celery_tasks_of_celery")
    monkeypatch.setitem(sys.modules, theirs.__name__, theirs)
    exec(compile(source, "celery_tasks.py", "exec"), theirs.__dict__)  # noqa: S102 -- the example itself

    def results(module: Any, chained: Any) -> list[Any]:
        sums = chained(module.add.s(1, 2), module.add.s(3)).apply_async()
        page = module.fetch.delay("https://example.org/busy")
        made = [module.sum_of_squares(5), page, module.charge.delay(13, "1.00"), sums]
        if module is shop:
            run_due(queue, queues=QUEUES)
        return [one.get(timeout=60) for one in made]

    ours = results(shop, chain)
    assert ours == results(theirs, real.chain) == [31, "page of https://example.org/busy", "13: 1.00", 6]


def test_a_child_of_the_process_executor_finds_the_tasks_by_their_names(shop: Any) -> None:
    found = pickle.loads(pickle.dumps([shop.add, shop.add.inner]))  # noqa: S301 -- our own
    assert found == [shop.add, shop.add.inner]
    assert importable(shop.add.inner)

"""`mongoq.contrib.django`, by the shop of `examples/django_shop`: what Django says of a backend, and its worker."""

from __future__ import annotations

import io
import logging
import pickle
import re
import secrets
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq import ConfigurationError
from mongoq.embedded.server import EmbeddedServer

django = pytest.importorskip("django")
pytest.importorskip("django_mongodb_backend")
if django.VERSION < (6,):
    pytest.importorskip("django_tasks")

EXAMPLE = Path(__file__).parents[2] / "examples" / "django_shop"


@pytest.fixture(scope="module")
def shop(server: EmbeddedServer) -> Iterator[Any]:
    """Give the tasks of the example; Django is set up once in a process."""
    name = f"django_{secrets.token_hex(4)}"
    uri = re.sub(r"/[^/?]*\?", f"/{name}?", server.uri)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MONGOQ_URI", uri)
        patched.setenv("DJANGO_SETTINGS_MODULE", "storefront.settings")
        patched.syspath_prepend(EXAMPLE)
        from django_mongodb_backend.features import DatabaseFeatures

        patched.setattr(DatabaseFeatures, "minimum_database_version", None)  # 6.0 and later want a MongoDB 7
        django.setup()
        from storefront import tasks

        yield tasks
        from django.db import connections

        from mongoq.contrib.django import get_queue

        get_queue().close()
        connections["default"].close_pool()
    with MongoClient[dict[str, Any]](uri) as client:
        client.drop_database(name)


@pytest.fixture
def clean(shop: Any) -> Any:
    from storefront.models import Order

    for name in ("default", "mail"):
        queue().delete_all(queue=name)
    Order.objects.all().delete()
    return shop


def queue() -> Any:
    from mongoq.contrib.django import get_queue

    return get_queue()


def work(**options: Any) -> str:
    """Run the worker's command until no task is ready."""
    from django.core.management import call_command

    said = io.StringIO()
    call_command("mongoq_worker", burst=True, workers=1, stdout=said, **options)
    return said.getvalue()


def compat() -> Any:
    from mongoq.contrib.django import compat

    return compat


# What Django says of a backend


def test_a_call_is_ready_then_successful_with_what_the_task_returned(clean: Any) -> None:
    before = datetime.now(UTC) - timedelta(minutes=1)
    result = clean.weigh.enqueue("pen")
    status = compat().base.TaskResultStatus
    assert (result.status, result.is_finished, result.attempts) == (status.READY, False, 0)
    assert (result.args, result.kwargs, result.backend, result.task) == (["pen"], {}, "default", clean.weigh)
    assert result.enqueued_at > before
    assert [result.started_at, result.finished_at, result.last_attempted_at] == 3 * [None]
    with pytest.raises(ValueError, match="not finished"):
        _ = result.return_value

    work()

    assert result.status == status.READY, "it is as it was read, until it is refreshed"
    result.refresh()
    assert (result.status, result.is_finished, result.return_value) == (status.SUCCESSFUL, True, 3)
    slack = timedelta(seconds=5)  # each instant is an estimate of the server's time
    assert result.enqueued_at <= result.started_at + slack <= result.finished_at + 2 * slack
    assert len(result.worker_ids) == result.attempts == 1
    assert clean.weigh.get_result(result.id) == result


def test_an_error_fails_the_call_and_is_told_with_its_class(clean: Any) -> None:
    result = clean.fail.enqueue("no such order")
    work()
    result.refresh()
    assert result.status == "FAILED"
    (error,) = result.errors
    assert error.exception_class is LookupError
    assert "no such order" in error.traceback
    with pytest.raises(ValueError, match="failed"):
        _ = result.return_value


def test_a_result_that_json_cannot_say_fails_the_call(clean: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    result = clean.weigh.enqueue(article={"a": 1})
    assert result.kwargs == {"article": {"a": 1}}
    monkeypatch.setattr(clean, "len", lambda _: object(), raising=False)
    work()
    result.refresh()
    assert (result.status, result.errors[0].exception_class) == ("FAILED", TypeError)


@pytest.mark.parametrize("value", [object(), {1, 2}, datetime(2026, 1, 1, tzinfo=UTC), 2**70])
def test_arguments_that_cannot_be_stored_are_refused_and_nothing_is_written(clean: Any, value: Any) -> None:
    errors = (TypeError, compat().exceptions.TaskException)
    with pytest.raises(errors):
        clean.weigh.enqueue(value)
    assert queue().count() == 0


def test_priority_queue_and_time_are_those_of_the_call(clean: Any) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    result = clean.weigh.using(priority=7, queue_name="mail", run_after=later).enqueue("pen")
    task = queue().get(result.id)
    assert (task.priority, task.queue, task.name) == (7, "mail", "storefront.tasks.weigh")
    assert abs(task.run_at - later) < timedelta(milliseconds=1)
    work()
    result.refresh()
    assert result.status == "READY"


@pytest.mark.parametrize(
    "options",
    [
        {"queue_name": "unknown"},
        {"priority": 101},
        {"priority": -101},
        {"priority": 1.5},
        {"run_after": datetime(2026, 1, 1)},  # noqa: DTZ001 -- what is to be refused
        {"queue_name": "not/ valid"},
    ],
)
def test_a_task_that_the_backend_cannot_run_is_refused(shop: Any, options: dict[str, Any]) -> None:
    with pytest.raises(compat().exceptions.TaskException):
        shop.weigh.using(**options)


def test_a_task_is_a_function_of_a_module_and_takes_a_context_first(shop: Any) -> None:
    from mongoq.contrib.django import options

    def local() -> None: ...

    task = compat().base.task
    with pytest.raises(compat().exceptions.TaskException, match="module level"):
        task(local)
    with pytest.raises(compat().exceptions.TaskException, match="context"):
        task(takes_context=True)(shop.weigh.func)
    with pytest.raises(compat().exceptions.TaskException, match="max_retries"):
        options(max_retries=-1)(shop.weigh)
    with pytest.raises(TypeError, match="did you mean 'deadline'"):
        options(deadlin=30)(shop.weigh)  # type: ignore[call-arg]


def test_a_result_of_another_task_or_of_none_is_told_apart(clean: Any) -> None:
    result = clean.weigh.enqueue("pen")
    with pytest.raises(compat().exceptions.TaskResultMismatch):
        clean.fail.get_result(result.id)
    other = queue().new({"a": 1})
    for key in ("nobody", other.key):
        with pytest.raises(compat().exceptions.TaskResultDoesNotExist):
            clean.weigh.get_result(key)


def test_coroutines_enqueue_and_look_as_well(clean: Any) -> None:
    from asgiref.sync import async_to_sync

    async def enqueued() -> Any:
        result = await clean.weigh.aenqueue("pencil")
        await result.arefresh()
        return await clean.weigh.aget_result(result.id)

    result = async_to_sync(enqueued)()
    work()
    result.refresh()
    assert result.return_value == 6


def test_signals_tell_of_the_call_its_beginning_and_its_end(
    clean: Any, until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[tuple[str, str, str]] = []

    def note(name: str) -> Any:
        return lambda sender, task_result, **_: told.append((name, sender.__name__, str(task_result.status)))

    receivers = {name: note(name) for name in ("task_enqueued", "task_started", "task_finished")}
    for name, receiver in receivers.items():
        compat().signal(name).connect(receiver)
    try:
        clean.fail.enqueue("gone")
        with caplog.at_level(logging.INFO):
            work()
        until(lambda: len(told) == 3, why="the end is told")
    finally:
        for name, receiver in receivers.items():
            compat().signal(name).disconnect(receiver)
    assert told == [
        ("task_enqueued", "MongoqBackend", "READY"),
        ("task_started", "MongoqBackend", "RUNNING"),
        ("task_finished", "MongoqBackend", "FAILED"),
    ]


def test_options_of_mongoq_retry_a_call_and_keep_it_unique(clean: Any) -> None:
    from mongoq.contrib.django import options

    once = options(unique="scales", on_conflict="skip")(clean.weigh)
    assert once.enqueue("pen").id == once.enqueue("pencil").id
    result = options(max_retries=1, backoff=0)(clean.fail).enqueue("gone")
    work()
    work()
    result.refresh()
    assert (result.status, result.attempts, len(result.errors)) == ("FAILED", 2, 2)
    assert options(max_retries=1)("the task of another backend") == "the task of another backend"


# With a database


def test_an_order_and_its_task_commit_together_and_the_worker_runs_them(clean: Any) -> None:
    from django.test import Client
    from storefront.models import Order

    placed = Client().get("/orders/7/pen")
    assert placed.status_code == 202
    said = work()
    assert re.search("4 tasks.*, queues default, mail", said)
    assert Order.objects.get(number=7).parcel == "parcel 7"
    shown = Client().get(f"/tasks/{placed.json()['task']}").json()
    assert shown == {"status": "SUCCESSFUL", "progress": None}
    (mailed,) = queue().tasks(queue="mail")
    assert (mailed.result, mailed.priority) == ("ada: pen is on its way (1)", 10)


def test_a_block_that_raises_leaves_neither_order_nor_task(clean: Any) -> None:
    from django.test import Client
    from storefront.models import Order

    with pytest.raises(ValueError, match="neither"):
        Client().get("/orders/8/sold out")
    assert (Order.objects.count(), queue().count()) == (0, 0)


def test_calls_of_mongoq_s_own_join_the_block_by_its_session(clean: Any) -> None:
    from django_mongodb_backend import transaction

    from mongoq.contrib.django import get_session

    assert get_session() is None

    def order() -> None:
        with transaction.atomic():
            queue().new({"n": 1}, session=get_session())
            raise KeyError

    with pytest.raises(KeyError):
        order()
    assert queue().count() == 0


def test_connections_that_are_unusable_are_closed_around_each_task(clean: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mongoq.contrib.django import running

    closed: list[str] = []
    monkeypatch.setattr(running, "close_old_connections", lambda: closed.append("closed"))
    clean.weigh.enqueue("pen")
    work()
    assert len(closed) >= 4


# Settings and the worker


def test_the_check_of_the_settings_names_what_is_wrong(shop: Any) -> None:
    from django.test import override_settings

    from mongoq.contrib.django import MongoqBackend, get_queue

    backend = "mongoq.contrib.django.MongoqBackend"
    for options, named in [
        ({"databse": "default"}, "no option 'databse'"),
        ({"uri": "mongodb://localhost", "database": "default"}, "a URI beside a database"),
        ({"database": "default", "workers": 0}, "workers"),
    ]:
        with override_settings(TASKS={"wrong": {"BACKEND": backend, "OPTIONS": options}}):
            (message,) = MongoqBackend("wrong", {"OPTIONS": options}).check()
            assert named in str(message)
    assert MongoqBackend("default", {}).check() == []
    with override_settings(TASKS={"none": {"BACKEND": f"{compat().PACKAGE}.backends.dummy.DummyBackend"}}):  # noqa: SIM117
        with pytest.raises(ConfigurationError, match=r"mongoq\.contrib\.django\.MongoqBackend"):
            get_queue("none")


def test_shared_tasks_of_celery_go_to_the_queue_of_the_default_backend_and_its_worker_runs_them(
    clean: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mongoq.contrib import celery
    from mongoq.contrib.celery.registered import functions

    @celery.shared_task(bind=True, name="legacy.mail", queue="mail")
    def mail(self: Any, order: int) -> str:
        return f"order {order}, {self.request.retries} retries"

    @celery.shared_task(name="legacy.sweep")
    def sweep() -> str:
        return "swept"

    monkeypatch.setattr(functions, "_schedules", {})
    celery.schedule_beat({"legacy sweep": {"task": "legacy.sweep", "schedule": 3600}})
    called = mail.delay(7)
    once = queue().new(sweep.s().new_task())
    assert "shared tasks" in work()
    assert called.get(timeout=30) == "order 7, 0 retries"
    assert queue().get(once.key).result == "swept"
    assert "legacy-sweep" in {schedule.name for schedule in queue().schedules()}


def test_a_child_of_the_process_executor_finds_the_tasks_by_their_paths(shop: Any) -> None:
    from mongoq.contrib.django.running import include_tasks

    paths = include_tasks("default", queue())
    assert paths == [f"storefront.tasks.{name}" for name in ("fail", "fulfil", "mail", "weigh")]
    functions = queue()._base.functions.by_name()
    found = pickle.loads(pickle.dumps([functions[path] for path in paths]))  # noqa: S301 -- our own
    assert [one.name for one in found] == paths


def test_a_worker_of_an_unknown_backend_says_so(shop: Any) -> None:
    from django.core.management import CommandError, call_command

    with pytest.raises((CommandError, compat().InvalidTaskBackend), match="nobody"):
        call_command("mongoq_worker", backend="nobody")
    assert "storefront" in sys.modules

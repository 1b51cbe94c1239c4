"""The lifespan of a worker and the middleware of its attempts, in every executor and both tempos."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from mongoq import ConfigurationError, Queue, Task, TaskState

MakeQueue = Callable[..., Queue]


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in which a lifespan notes its end."""
    file = tmp_path / "closed"
    monkeypatch.setenv("LIFESPAN", str(file))
    return file


@pytest.mark.parametrize("executor", ["threads", "asyncio", "asyncio on its loop", "processes"])
def test_handlers_share_what_the_lifespan_opened_once_in_each_process(
    make_queue: MakeQueue, importable: ModuleType, closed: Path, executor: str
) -> None:
    importable.OPENED.clear()
    queue = make_queue(workers=1, grace=10)
    queue.lifespan(importable.opens_on_a_loop if executor == "asyncio on its loop" else importable.opens)
    queue.middleware(importable.traced)
    queue.new_many([{}, {}])
    first, second = (task.key for task in queue.tasks())
    handler = importable.tells_state if executor in ("threads", "processes") else importable.tells_state_on_a_loop
    queue.run(handler, executor=executor.partition(" ")[0], burst=True)
    pid, *shared = queue.get(second).result
    assert shared == ["open", f"before {first}", f"after {first}", f"before {second}"]
    assert closed.read_text() == f"closed {pid}\n", "once, when the worker had ended its tasks"


def test_a_lifespan_that_fails_ends_run_with_its_error_and_claims_nothing(queue: Queue, importable: ModuleType) -> None:
    queue.new(key="a")
    queue.lifespan(importable.does_not_open)
    with pytest.raises(OSError, match="no database"):
        queue.run(lambda task: None, burst=True)
    assert (queue.get("a").state, queue.get("a").attempts) == (TaskState.READY, 0)
    handle = queue.start(lambda task: None)
    assert handle.wait(60)
    assert isinstance(handle.error, OSError)


def test_tasks_wait_for_a_slow_lifespan_and_a_stop_does_not(make_queue: MakeQueue, until: Callable[..., None]) -> None:
    queue = make_queue(grace=0)
    go_on, entered, left = threading.Event(), threading.Event(), threading.Event()

    @queue.lifespan
    def slow() -> Iterator[None]:
        entered.set()
        go_on.wait(60)
        yield
        left.set()

    queue.new(key="a")
    handle = queue.start(lambda task: None)
    assert entered.wait(60)
    handle.stop()
    assert handle.stopped
    assert queue.get("a").attempts == 0
    go_on.set()
    assert left.wait(60), "it is closed as soon as it is open"


def test_a_burst_waits_for_its_lifespan_and_ends(queue: Queue) -> None:
    opened: list[int] = []

    @queue.lifespan
    def slow() -> Iterator[None]:
        threading.Event().wait(0.2)
        opened.append(1)
        yield

    queue.run(lambda task: None, burst=True)
    queue.new(key="a")
    assert not queue.run_once(lambda task: len(opened))
    assert queue.get("a").result == 2, "once for each run"


def test_what_a_lifespan_raises_at_its_end_is_logged(queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    @queue.lifespan
    def broken() -> Iterator[None]:
        yield
        raise OSError("does not close")

    queue.new(key="a")
    queue.run(lambda task: 7, burst=True)
    assert queue.get("a").result == 7
    assert "does not close" in caplog.text


def test_an_error_of_a_middleware_is_one_of_the_attempt(make_queue: MakeQueue) -> None:
    queue = make_queue(max_retries=0)

    @queue.middleware
    def guarded(task: Task) -> Iterator[None]:
        if task.get("tenant") != "acme":
            raise PermissionError("not for us")
        yield

    queue.new({"tenant": "acme"}, key="a")
    queue.new({"tenant": "other"}, key="b")
    queue.run(lambda task: 7, burst=True)
    assert queue.get("a").result == 7
    error = queue.get("b").last_error
    assert error is not None
    assert (error.type, error.message) == ("PermissionError", "not for us")


@pytest.mark.parametrize("hook", ["middleware", "lifespan"])
def test_what_is_no_generator_function_is_refused(queue: Queue, hook: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{hook}: .* is not a generator function"):
        getattr(queue, hook)(lambda task: None)


TENANT: contextvars.ContextVar[str] = contextvars.ContextVar("TENANT", default="nobody")


def test_what_tasks_carry_is_told_where_submit_a_buffer_and_a_function_are_called(queue: Queue) -> None:
    queue.context(lambda: {"tenant": TENANT.get()})

    @queue.task
    def welcome() -> None: ...

    def enqueue() -> list[str]:
        TENANT.set("acme")
        with queue.buffer() as buffer:
            return [buffer.new().key, queue.submit().result(60).key, welcome.new().key]

    for key in contextvars.copy_context().run(enqueue):
        assert dict(queue.get(key).context) == {"tenant": "acme"}
    assert dict(queue.new().context) == {"tenant": "nobody"}


def test_a_queue_has_one_lifespan(queue: Queue, importable: ModuleType) -> None:
    queue.lifespan(importable.opens)
    with pytest.raises(ConfigurationError, match="this queue has <function opens"):
        queue.lifespan(importable.opens_on_a_loop)


def test_an_async_lifespan_needs_coroutine_handlers(queue: Queue) -> None:
    @queue.lifespan
    async def opened() -> AsyncIterator[None]:
        yield

    with pytest.raises(ConfigurationError, match="needs the event loop of 'asyncio'"):
        queue.run(lambda task: None, burst=True)

"""How a worker is begun, whoever waits for it: its arguments are checked, and its threads started."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mongoq.api.base import Base
from mongoq.core.errors import ConfigurationError, Fault, StorageUnavailable
from mongoq.core.host.waiter import Waiter
from mongoq.core.judging.policy import checked_policy
from mongoq.core.options import checked_workers
from mongoq.core.requests import MOST_SERVED, checked_claim
from mongoq.core.serial.sealing import check_filter
from mongoq.core.validation import Checker
from mongoq.storage.commands import Op
from mongoq.storage.control import Call, Loop, Wait
from mongoq.storage.operations import queries, schema
from mongoq.storage.operations.limits import keeping
from mongoq.storage.operations.namespace import orders
from mongoq.storage.operations.schedules import keep

if TYPE_CHECKING:
    from mongoq.worker.config import WorkerConfig
    from mongoq.worker.handle import WorkerHandle
    from mongoq.worker.handlers.signature import Function

T = TypeVar("T")

ASYNCIO: Final = "asyncio"
TRIES: Final = 3
"""So often a worker asks for what it has to know before it claims; the driver repeats each read once by itself."""


def configured(
    base: Base,
    handler: Function | None,
    *,
    queues: str | Sequence[str] | None,
    where: Mapping[str, Any] | None,
    workers: int | None,
    executor: str | None,
    prefetch: int | None,
    on_dependency_error: str,
    policy: Mapping[str, Any],
    wear: tuple[Any, Any] = (None, None),
    batch: tuple[Any, Any] = (None, None),
    burst: bool = False,
    limit: int | None = None,
) -> WorkerConfig:
    """What a worker is to do; ConfigurationError lists all that is wrong with it."""
    from mongoq.worker.config import ON_DEPENDENCY_ERROR  # noqa: PLC0415 -- a producer is spared the worker
    from mongoq.worker.executors.children.wear import checked_wear  # noqa: PLC0415 -- as below
    from mongoq.worker.starting import checked_config  # noqa: PLC0415 -- as above

    call_back(base, handler)
    check_filter(where or (), base.functions.secret_tags())
    handler, queues = chosen(base.functions, handler, queues, executor)
    wanted = checked_claim(queues, None, base.claimant, where, task_names=names_of(handler), most=MOST_SERVED)
    checker = Checker()
    count = checked_workers(checker, workers)
    if limit is not None:
        checker.integer("limit", limit, 1, 10**9)
    if prefetch is not None:
        checker.integer("prefetch", prefetch, 0, 10_000)
    checker.one_of("on_dependency_error", on_dependency_error, ON_DEPENDENCY_ERROR)
    overriding = checked_policy(checker, policy)
    worn = checked_wear(checker, *wear)
    checker.finish()
    return checked_config(
        handler,
        executor,
        wanted,
        count or base.context.options.workers,
        burst=burst,
        limit=limit,
        prefetch=prefetch,
        on_dependency_error=on_dependency_error,
        policy=base.context.options.policy.over(overriding),
        middleware=base.hooks.middleware,
        begin=base.hooks.begin,
        lifespan=base.hooks.lifespan,
        wear=worn,
        batch=batch,
    )


def call_back(base: Base, handler: Any) -> None:
    """Have the ends of tasks told to the functions that their task functions name."""
    functions = [handler] if hasattr(handler, "definition") else base.functions if handler is None else ()
    definitions = [one.definition for one in functions]
    base.hooks.call_back({name: one.on_complete for one in definitions if one.on_complete for name in one.names})


def chosen(
    functions: Iterable[Any], handler: Any, queues: str | Sequence[str] | None, executor: str | None = None
) -> tuple[Any, str | Sequence[str]]:
    """The handler of a worker and its queues: by default the task functions, and the queues of their tasks.

    ConfigurationError where there is no handler and no function.
    """
    from mongoq.worker.handlers.router import AsyncRouter, Router  # noqa: PLC0415 -- a producer is spared the worker

    if hasattr(handler, "definition"):
        functions, handler = [handler], None
    if handler is not None:
        return handler, "default" if queues is None else queues
    run = list(functions)
    if not run:
        allowed = "given: this queue has no task functions; decorate some by @queue.task, or include their Tasks"
        raise ConfigurationError([Fault("handler", "nothing", allowed)])
    awaited = executor == ASYNCIO or any(one.definition.awaited for one in run)
    named = sorted({one.definition.queue for one in run})
    return (AsyncRouter if awaited else Router)(run), named if queues is None else queues


def names_of(handler: Any) -> tuple[str, ...]:
    """The names of the tasks that a handler runs; none for a plain one, which runs all."""
    names: tuple[str, ...] = getattr(handler, "names", ())
    return names


def _tried(make: Callable[[], Op[T]]) -> Op[T]:
    """Run what a worker has to know before it claims, again where an outage begins just then."""
    for _ in range(TRIES - 1):
        with suppress(StorageUnavailable):
            return (yield from make())
    return (yield from make())


def started(base: Base, config: WorkerConfig, done: Callable[[], None], *, drains: bool = False) -> Op[WorkerHandle]:
    """Start a worker in threads of its own, once the server has answered; it calls `done` when it has ended.

    Raises what would keep it from claiming: no server, a right or an index that is missing. When the caller is
    interrupted meanwhile, the worker stops at once; with `drains` it drains first, and a second interruption ends that.
    """
    from mongoq.worker.starting import start as start_worker  # noqa: PLC0415 -- a producer is spared the worker

    if config.names:
        base.use_names()
    yield from base.write(schema.hello())
    yield from _tried(lambda: base.read(orders.read(base.context)))
    with suppress(StorageUnavailable):  # an outage that begins now is one like any other
        # It lacks neither a right nor the index.
        yield from base.write(queries.ready(base.context, config.queues, None, config.names))
    yield from _tried(
        lambda: base.write(keeping.declare(base.context, base.functions.limits().values(), base.claimant))
    )
    yield from _tried(lambda: base.write(keep.declare(base.context, base.functions.schedules().values())))
    loop = yield Loop()

    handles: list[WorkerHandle] = []
    begun = Waiter()
    left = False

    def note(handle: WorkerHandle) -> None:
        handles.append(handle)
        base.note(handle)

    def begin() -> WorkerHandle:
        try:
            handle = start_worker(
                base.context, base.engine().run, base.run, config, telemetry=base.telemetry, done=done, made=note,
                client=base.engine().connection.database.client, loop=loop,
            )  # fmt: skip
        finally:
            begun.notify()
        if left:
            handle.stop_soon(0)
        return handle

    try:
        handle: WorkerHandle = yield Call(begin)
    except BaseException as error:  # the caller is interrupted, by a signal's handler maybe: it may begin yet
        if not drains or isinstance(error, (GeneratorExit, Exception)):
            left = True
            for handle in handles:
                handle.stop_soon(0)
            raise
        again = yield from _awaited(begun, lambda: None)
        for handle in handles:
            again = (yield from drained(handle, at_once=again is not None)) or again
        raise again or error from None
    return handle


def drained(handle: WorkerHandle, *, at_once: bool = False) -> Op[BaseException | None]:
    """Stop a worker with its grace; what interrupts that ends the grace, as a second signal does, and is returned."""
    stopped = Waiter()
    handle.stop_soon(0 if at_once else None, then=stopped.notify)
    return (yield from _awaited(stopped, lambda: handle.stop_soon(0)))


def _awaited(waiter: Waiter, interrupted: Callable[[], object]) -> Op[BaseException | None]:
    """Wait for a notification, whatever interrupts: `interrupted` is called, and the last interruption returned."""
    last: BaseException | None = None
    while not waiter.notified:
        try:
            yield Wait(waiter)
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 -- the caller raises it afterwards
            last = error
            interrupted()
    return last

"""A worker without a server and without a second: services are driven by `step(now)`, replies are scripted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from mongoq.core.clock import elapsed
from mongoq.core.events import Telemetry
from mongoq.core.judging.verdict import Outcome, Raised, Returned, Verdict
from mongoq.core.requests import ClaimRequest
from mongoq.core.tasks.task import Task
from mongoq.storage.context import Context
from mongoq.storage.documents.unread import Unread
from mongoq.storage.operations.claiming.claim import Claim
from mongoq.storage.operations.decide import Ended
from mongoq.storage.operations.finish import Finished
from mongoq.storage.operations.fleet.heartbeat import Look
from mongoq.storage.operations.leases import Held, Renewed
from mongoq.storage.operations.sweep import Swept
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.config import WorkerConfig
from mongoq.worker.dispatcher import Dispatcher
from mongoq.worker.executors.base import Reports, execute
from mongoq.worker.fleet.view import FleetView
from mongoq.worker.fleet.watcher import FleetWatcher, Streams
from mongoq.worker.handlers.signature import Handler
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.fetcher import Fetcher
from mongoq.worker.services.finisher import Finisher
from mongoq.worker.services.loop import Health
from mongoq.worker.services.watchdog import Watchdog
from mongoq.worker.stages import Wake

MakeAttempt = Callable[..., LiveAttempt]


class Clock:
    """The worker's elapsed time: it moves only when told."""

    def __init__(self) -> None:
        self.now = elapsed()

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> float:
        """Move on; the new time."""
        self.now += seconds
        return self.now


class Script:
    """Answers operations by their name, as a server would: with what is set here, or as if all went well."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._replies: dict[str, list[Any]] = {}
        self._always: dict[str, Any] = {
            "finish": Finished([], []),
            "finish_and_modify": True,
            "claim_many": Claim([], more=False, lost=0),
            "claim_first": Claim([], more=False, lost=0),
            "recover": [],
            "renew": Renewed(),
            "look": lambda arguments: {claim: Held(cancel=False, until=None) for claim in arguments["claims"]},
            "beat": None,
            "leave": None,
            "read_others": Look([], alone=True, time=None),
            "ready_count": 0,
            "send": None,
            "sweep": (0, False),
            "ready": False,
            "promote": Swept(0, None),
            "rescue": Swept(0, None),
            "expire": Swept(0, None),
            "ensure_indexes": None,
            "add": None,
            "sum_up": False,
        }

    def __call__(self, operation: Any) -> Any:
        name = operation.__name__
        arguments = dict(operation.gi_frame.f_locals)
        operation.close()
        self.calls.append((name, arguments))
        replies = self._replies.get(name)
        reply = replies.pop(0) if replies else self._always[name]
        if isinstance(reply, BaseException):
            raise reply
        return reply(arguments) if callable(reply) else reply

    def reply(self, name: str, *replies: Any) -> None:
        """Answer the next operations of this name so; an exception is raised, a function called."""
        self._replies.setdefault(name, []).extend(replies)

    def always(self, name: str, reply: Any) -> None:
        """Answer every operation of this name so, where nothing else is set."""
        self._always[name] = reply

    def of(self, name: str) -> list[dict[str, Any]]:
        """The arguments of each operation of this name."""
        return [arguments for called, arguments in self.calls if called == name]

    @property
    def names(self) -> list[str]:
        """The operations in order."""
        return [name for name, _ in self.calls]

    @property
    def written(self) -> list[tuple[Task, Verdict]]:
        """Every ending that was to be written."""
        endings: list[Ended] = []
        for name, arguments in self.calls:
            endings += arguments["endings"] if name == "finish" else []
            endings += [arguments["ending"]] if name == "finish_and_modify" else []
        return [(ending.task, ending.verdict) for ending in endings]

    @property
    def verdict(self) -> Verdict:
        """The verdict of the one ending that was to be written last."""
        return self.written[-1][1]


class Inline:
    """An executor that runs a handler when the test says so, in the test's own thread."""

    def __init__(self, config: WorkerConfig, reports: Reports) -> None:
        self._handler = config.handler
        self._reports = reports
        self.ready = config.workers
        self.closed = False

    def start(self) -> None:
        """Begin."""

    def submit(self, attempts: list[LiveAttempt]) -> None:
        self._reports.waiting.put(attempts)

    def drain(self) -> list[LiveAttempt]:
        return self._reports.waiting.drain()

    def where(self, attempt: LiveAttempt) -> str:
        """Say so."""
        return f"the test of {attempt.key}"

    def step(self, now: float) -> float:  # noqa: ARG002 -- as every executor
        return 60.0

    def close(self) -> None:
        self.closed = True

    def begin(self) -> LiveAttempt | None:
        """Start the handler of the first that waits, which goes on until `end`."""
        attempt = self._reports.waiting.next()
        return attempt if attempt is not None and self._reports.started(attempt) else None

    def end(self, attempt: LiveAttempt, outcome: Outcome | None = None, seconds: float = 0.001) -> None:
        """End a handler that has begun."""
        self._reports.ended(attempt, outcome or Returned(), seconds)

    def run(self, most: int = 1_000_000) -> int:
        """Run the handlers of so many that wait; how many there were."""
        ran = 0
        while ran < most and (attempt := self._reports.waiting.next()) is not None:
            execute(attempt, self._perform, self._reports)
            ran += 1
        return ran

    def _perform(self, attempt: LiveAttempt) -> Outcome:
        try:
            return Returned(self._handler(attempt.task))
        except BaseException as error:  # noqa: BLE001 -- whatever a handler raises is its outcome
            return Raised(error)


class NoStream:
    """A change stream, or the signals, that nothing comes from."""

    def __init__(self) -> None:
        self.open = False

    def begin(self) -> None:
        self.open = True

    def watch(self, queues: Sequence[str], *, for_all: bool) -> None:  # noqa: ARG002 -- as every stream
        self.open = True

    def wait(self) -> None:
        return None

    next = wait

    def end(self) -> None:
        self.open = False


class Worker:
    """The services of one worker, without their loops."""

    def __init__(self, context: Context, handler: Callable[[Task], Any], **config: Any) -> None:
        self.script, self.clock = Script(), Clock()
        self.wakes: list[Wake] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.stopped_for: list[BaseException] = []
        self.over: list[bool] = []
        telemetry = Telemetry()
        telemetry.subscribe(lambda name, fields: self.events.append((name, dict(fields))))
        self.runtime = Runtime(context, self.script, "w", telemetry, self.wakes.append, self.clock)
        self.ledger = self.runtime.ledger
        self.config = WorkerConfig(Handler(handler, False), "threads", ("default",), **{"workers": 1, **config})
        self.dispatcher = Dispatcher(self.runtime, self.config, stop=self.stopped_for.append, make_executor=Inline)
        self.executor: Any = self.dispatcher.executor
        self.stream = NoStream()
        streams = Streams(self.stream, lambda _: NoStream())
        self.view = FleetView("w", self.config.queues, self.config.workers)
        self.watcher = FleetWatcher(
            self.runtime, self.view, streams, Health(telemetry), lambda: None, facts=dict, called=lambda _: None
        )
        self.fetcher = Fetcher(
            self.runtime,
            self.config,
            self.dispatcher.room,
            self.watcher,
            receive=self.dispatcher.receive,
            done=lambda: self.over.append(True),
        )
        self.finisher = Finisher(self.runtime, self.dispatcher.prefetch, self.dispatcher.instead)
        self.watchdog = Watchdog(self.ledger, self.dispatcher)

    def fetch(self) -> float | None:
        return self.fetcher.step(self.clock.now)

    def finish(self) -> float | None:
        return self.finisher.step(self.clock.now)


@pytest.fixture
def timer(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the elapsed time of attempts and services."""
    timer = Clock()
    for module in ("attempt", "ledger", "task_transaction"):
        monkeypatch.setattr(f"mongoq.worker.{module}.elapsed", timer)
    return timer


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def runtime(script: Script, timer: Clock, make_context: Callable[..., Context]) -> Runtime:
    """Give a runtime whose operations the script answers."""
    return Runtime(make_context(), script, "w", Telemetry(), elapsed=timer)


@pytest.fixture
def backlog(make_claimed: Callable[..., Unread]) -> Callable[..., Callable[[dict[str, Any]], Claim]]:
    """Give `backlog(count, **fields)`: replies to claims that bring so many tasks in all."""

    def make(count: int, **fields: Any) -> Callable[[dict[str, Any]], Claim]:
        left = [make_claimed(_id=f"k{number:04}", token=f"t{number}", **fields) for number in range(count)]

        def reply(arguments: dict[str, Any]) -> Claim:
            wanted: ClaimRequest = arguments["wanted"]
            taken = [left.pop(0) for _ in range(min(wanted.limit, len(left)))]
            return Claim(taken, more=len(taken) == wanted.limit, lost=0, found=len(taken))

        return reply

    return make


@pytest.fixture
def make_worker(
    make_context: Callable[..., Context], backlog: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Worker]:
    """Give `make_worker(handler, tasks=..., options={...}, **config)`: a worker whose claims bring so many tasks."""

    def make(
        handler: Callable[[Task], Any] = lambda _: None,
        *,
        tasks: int = 1,
        options: dict[str, Any] | None = None,
        fields: dict[str, Any] | None = None,
        **config: Any,
    ) -> Worker:
        worker = Worker(make_context(**(options or {})), handler, **config)
        for module in ("attempt", "ledger", "task_transaction"):
            monkeypatch.setattr(f"mongoq.worker.{module}.elapsed", worker.clock)
        worker.script.always("claim_many", backlog(tasks, **(fields or {})))
        return worker

    return make

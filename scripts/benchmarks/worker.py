"""A worker process of a benchmark: `python -m benchmarks.worker SPEC`, the server in MONGOQ_URI.

It says on stdout that it is connected, waits for a byte, works, and answers questions on stdin meanwhile. It ends
with the burst it was asked for, or when stdin does, however the parent went. It imports nothing heavy: its memory
is measured.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient, monitoring

from benchmarks import handlers
from mongoq import Queue, Signpost, Task
from mongoq.core.clock import elapsed
from mongoq.worker.services import claimer

GO, FACTS = b"g", b"f"
MOST_TIMED = 5_000


@dataclass(frozen=True, slots=True)
class Spec:
    """What a worker process is to do."""

    namespace: str = ""
    burst: bool = False
    stamp: bool = False
    """Say when each handler starts, on the clock that all processes of a host share."""
    workers: int | None = None
    """Handlers at once."""
    most: int | None = None
    """Claim at most so many at a time."""
    watch: bool = False
    """Count the commands sent. The driver's own monitoring is not among them."""
    queues: Sequence[str] = ("default",)
    """What it works on."""
    time_claims: bool = False
    """Tell how long claims took since it was last asked."""
    bare: bool = False
    """No worker of mongoq's: a change stream, and a `find_one_and_update` for each task that it tells of."""
    raw: str = ""
    """No worker of mongoq's: the bare driver's pipelined loop, which ends tasks by `delete` or `keep`."""
    keep: float = 0
    """Seconds for which completed tasks are kept."""
    steps: int = 0
    """No worker at all: compute so many steps `times` times."""
    times: int = 0


class Sent(monitoring.CommandListener):
    """Counts commands."""

    def __init__(self) -> None:
        self.count = itertools.count()

    def started(self, event: monitoring.CommandStartedEvent) -> None:  # noqa: ARG002 -- only that it happened
        """Count one."""
        next(self.count)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Not of interest."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Not of interest."""


class Timed:
    """How long claims take, from before they are sent."""

    def __init__(self) -> None:
        self._took: deque[float] = deque(maxlen=MOST_TIMED)

    def __call__(self, name: str, fields: Mapping[str, Any]) -> None:
        """Note a claim."""
        if name == Signpost.CLAIMED:
            self._took.append(round(elapsed() - fields["sent"], 5))

    def taken(self) -> list[float]:
        """Give the seconds that each took since this was last asked."""
        return [self._took.popleft() for _ in range(len(self._took))]


def say(**what: Any) -> None:
    """Tell the benchmark, in one write: the pipe is shared."""
    os.write(1, json.dumps(what).encode() + b"\n")


def seen(counter: itertools.count[int]) -> int:
    """How far a counter has come, without moving it: `count(7)`."""
    return int(repr(counter)[6:-1])


def resident() -> float:
    """The resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def answer(facts: Callable[[], dict[str, Any]]) -> None:
    """Answer until stdin ends; then stop this process as an operator would."""
    while os.read(0, 1) == FACTS:  # not sys.stdin: a thread blocked in it aborts the interpreter's end
        say(**facts())
    logging.getLogger("mongoq").setLevel(logging.ERROR)  # that it was asked to stop is no news
    os.kill(os.getpid(), signal.SIGTERM)


def limit_claims(most: int, count: itertools.count[int]) -> None:
    """Patch this process: there is no option for it, and nobody should want one. `count` counts the claims."""
    claim_many = vars(claimer)["claim_many"]

    def limited(context: Any, wanted: Any, **options: Any) -> Any:
        next(count)
        return claim_many(context, dataclasses.replace(wanted, limit=min(wanted.limit, most)), **options)

    vars(claimer)["claim_many"] = limited


def work(spec: Spec) -> None:
    """Run a worker as `spec` says."""
    sent, done, claims = Sent(), itertools.count(), itertools.count()
    timed = Timed()
    if spec.watch:
        monitoring.register(sent)
    if spec.most is not None:
        limit_claims(spec.most, claims)

    def no_op(_task: Task) -> None:
        next(done)

    def stamp(task: Task) -> None:
        say(at=time.monotonic(), number=task.tags["user"], process=os.getpid())
        time.sleep(task.tags.get("nap", 0))

    def facts() -> dict[str, Any]:
        figures: dict[str, Any] = {
            "done": seen(done),
            "commands": seen(sent.count),
            "claims": seen(claims),
            "rss": resident(),
        }
        figures |= {"process": os.getpid(), "threads": threading.active_count(), "claims_took": timed.taken()}
        return {"now": time.monotonic(), "cpu": time.process_time(), **figures}

    with Queue(os.environ["MONGOQ_URI"], namespace=spec.namespace, keep_completed=spec.keep) as queue:
        say(at=queue.time().timestamp())
        if os.read(0, 1) != GO:
            return
        threading.Thread(target=answer, args=(facts,), daemon=True).start()
        if spec.time_claims:
            queue.telemetry.subscribe(timed)
        began, cpu = time.monotonic(), time.process_time()
        queue.run(stamp if spec.stamp else no_op, queues=spec.queues, burst=spec.burst, workers=spec.workers)
        if spec.burst:
            say(began=began, ended=time.monotonic(), done=seen(done), cpu=time.process_time() - cpu)


def watch(spec: Spec) -> None:
    """Claim what comes by the bare driver, and say when each claim was answered."""
    from benchmarks import raw  # noqa: PLC0415 -- the memory of a worker is measured

    with MongoClient[Any](os.environ["MONGOQ_URI"], tz_aware=True) as client:
        tasks = raw.collection(client.get_default_database("mongoq"), f"{spec.namespace}.tasks")
        with tasks.watch([{"$match": {"operationType": "insert"}}], max_await_time_ms=1_000) as stream:
            stream.try_next()  # it stands
            say(at=time.monotonic())
            if os.read(0, 1) != GO:
                return
            threading.Thread(target=answer, args=(dict,), daemon=True).start()
            for number, _ in enumerate(stream):
                if raw.take(tasks) is None:
                    raise LookupError("another has it")
                say(at=time.monotonic(), number=number)


def pipe(spec: Spec) -> None:
    """Drain the queue by the bare driver."""
    from benchmarks import raw  # noqa: PLC0415 -- the memory of a worker is measured

    with MongoClient[Any](os.environ["MONGOQ_URI"], tz_aware=True) as client:
        tasks = raw.collection(client.get_default_database("mongoq"), f"{spec.namespace}.tasks")
        tasks.find_one()
        say(at=time.monotonic())
        if os.read(0, 1) == GO:
            began, cpu = time.monotonic(), time.process_time()
            done = raw.ended(tasks, {"delete": raw.delete, "keep": raw.keep}[spec.raw])
            say(began=began, ended=time.monotonic(), done=done, cpu=time.process_time() - cpu)


def labour(spec: Spec) -> None:
    """Compute, as a process that knows nothing of queues."""
    say(at=time.monotonic())
    if os.read(0, 1) == GO:
        began = time.monotonic()
        for _ in range(spec.times):
            handlers.compute(spec.steps)
        say(began=began, ended=time.monotonic(), done=spec.times)


if __name__ == "__main__":
    asked = Spec(**json.loads(sys.argv[1]))
    run = labour if asked.times else pipe if asked.raw else watch if asked.bare else work
    run(asked)

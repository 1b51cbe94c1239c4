"""`peers`: mongoq beside other queues, on this machine in the same rounds; each row's limit is the other's figure.

graphile-worker on PostgreSQL, BullMQ on Redis and Celery on the same MongoDB, with no-op tasks, as they are installed
and with the best settings found. PostgreSQL commits synchronously, MongoDB writes at majority, journaled, and Redis
syncs its file once a second. What is not on this machine is left out with a note: `./scripts/setup peers` fetches the
packages, `apt-get install postgresql redis-server` the stores.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

from benchmarks import contention, depth, drain, enqueue, installed, latency
from benchmarks.peers.peer import SAMPLES, Peer, installed_packages
from benchmarks.peers.stores import Missing, postgres, redis
from benchmarks.report import Row, rounds
from benchmarks.setting import Place, Setting

TASKS: Final = 50_000
BEHIND: Final = 100_000
PRIORITIES: Final = 10
ONE_BY_ONE: Final = 0.02
"""Of the tasks of a round, how many are enqueued one by one."""
SLOW: Final = 0.1
"""Of the tasks of a round, how many are given to what runs below 5,000/s."""
Measure = Callable[[], float]


def peers(setting: Setting) -> list[Row]:
    """Measure each figure of all queues by turns."""
    sized = replace(setting, tasks=setting.count(TASKS))
    rows = []
    with ExitStack() as stack:
        others = [other for enter in (_graphile, _bullmq, _celery) if (other := _entered(sized, stack, enter))]
        for name, ours, theirs in _figures(sized):
            asked = [other for other in others if name not in other.lacks]
            own, *figures = rounds(setting.rounds(3), ours, *(partial(theirs, other) for other in asked))
            told = zip(asked, figures, strict=True)
            rows += [Row(f"peers.{name}.{other.name}", "tasks/s", own, figure) for other, figure in told]
        return rows + _latency(sized, others)


def _figures(setting: Setting) -> Iterator[tuple[str, Measure, Callable[[Peer], float]]]:
    """Each figure: its name, how it is measured here, and how of another queue."""
    count = setting.count(TASKS)
    few = max(1, int(count * ONE_BY_ONE))
    behind = BEHIND * count // TASKS

    def best(other: Peer, workers: int) -> float:
        return other.drained("best", max(1, int(count * other.share)), workers)

    def enqueued(run: Callable[[Place, int], float], tasks: int) -> float:
        with setting.place() as place:
            return run(place, tasks)

    yield "one", partial(drain.filled, setting, drain.ours), partial(best, workers=1)
    yield "two", partial(contention.together, setting, 2), partial(best, workers=2)
    installed_ = lambda other: other.drained("installed", max(1, int(count * SLOW)))  # noqa: E731
    yield "installed", partial(installed.drained, setting), installed_
    yield "behind", partial(_behind, setting, behind), lambda other: other.drained("best", count, behind=behind)
    yield "new", partial(enqueued, enqueue.one_by_one, few), lambda other: other.enqueued("one", few)
    yield "bulk", partial(enqueued, enqueue.in_bulk, count), lambda other: other.enqueued("bulk", count)


def _behind(setting: Setting, behind: int) -> float:
    """Tasks/s while so many tasks of ten priorities stay."""
    count = setting.count(TASKS)
    with setting.place() as place:
        for priority in range(PRIORITIES):
            place.fill((behind + count) // PRIORITIES, priority=priority)
        return depth.pace(place, behind, count)


def _latency(setting: Setting, others: Sequence[Peer]) -> list[Row]:
    """From the call that enqueues to the start of the handler, all by turns."""
    samples = [
        [latency.of_workers(setting, 1, SAMPLES), *(other.started() for other in others)]
        for _ in range(setting.rounds(3))
    ]
    rows = []
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        own, *figures = zip(*([latency.percentile(one, share) for one in each] for each in samples), strict=True)
        told = zip(others, figures, strict=True)
        rows += [Row(f"peers.{name}.{other.name}", "ms", own, figure) for other, figure in told]
    return rows


def _entered(
    setting: Setting, stack: ExitStack, enter: Callable[[Setting], AbstractContextManager[Peer]]
) -> Peer | None:
    try:
        return stack.enter_context(enter(setting))
    except Missing as missing:
        setting.note(f"a peer is left out, for there is no {missing}")
        return None


@contextmanager
def _graphile(_: Setting) -> Iterator[Peer]:
    installed_packages(["graphile-worker"])
    with postgres() as fresh:
        yield Peer("graphile-worker", "graphile.mjs", fresh)


@contextmanager
def _bullmq(_: Setting) -> Iterator[Peer]:
    installed_packages(["bullmq", "ioredis"])
    with redis() as fresh:
        yield Peer("bullmq", "bullmq.mjs", fresh)


@contextmanager
def _celery(setting: Setting) -> Iterator[Peer]:
    made: list[str] = []

    def fresh() -> str:
        made.append(f"bench-celery-{secrets.token_hex(4)}")
        server, _, options = setting.uri.partition("?")
        return f"{server.rstrip('/')}/{made[-1]}?{options}"

    try:
        yield Peer("celery", "celery_app.py", fresh, SLOW, frozenset({"behind", "bulk"}))
    finally:
        for name in made:
            setting.client.drop_database(name)

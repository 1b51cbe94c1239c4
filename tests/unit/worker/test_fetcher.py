"""What a worker claims, and when: room, prefetch, lost replies, the end of a burst."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mongoq.core.errors import StorageUnavailable
from mongoq.core.judging.verdict import MOST_POISON_WEIGHT
from mongoq.core.lifecycle import Event
from mongoq.storage.operations.claiming.claim import Claim
from mongoq.worker.fleet.watcher import FIRST_POLL_WATCHED
from mongoq.worker.ledger import GATHERED
from mongoq.worker.services.claimer import RECOVER_EVERY
from mongoq.worker.services.fetcher import AHEAD, OTHER_WORKERS_FOR
from mongoq.worker.services.prefetch import BATCH, MOST_AHEAD
from mongoq.worker.services.watchdog import LONGEST_WAIT
from mongoq.worker.services.watcher import FIRST_POLL, LONGEST_POLL, LONGEST_POLL_WATCHED

MakeWorker = Callable[..., Any]


def wanted(worker: Any) -> list[int]:
    """How many tasks each claim asked for."""
    return [arguments["wanted"].limit for arguments in worker.script.of("claim_many")]


@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_is_claimed_than_there_is_room_for(make_worker: MakeWorker, workers: int, prefetch: int) -> None:
    worker = make_worker(tasks=150, workers=workers, prefetch=prefetch)
    held: list[int] = []
    for _ in range(400):
        worker.fetch()
        held.append(worker.ledger.active)
        worker.executor.run(1)
        worker.finish()
    assert len(worker.script.written) == 150
    assert max(held) == workers + prefetch


def test_nothing_is_held_ahead_before_anything_was_measured(make_worker: MakeWorker) -> None:
    worker = make_worker(tasks=100, workers=3)
    worker.fetch()
    assert wanted(worker) == [3]
    assert worker.fetch() == LONGEST_POLL, "there is no room: it is woken when there is"
    assert wanted(worker) == [3]


def test_fast_handlers_have_a_tenth_of_a_second_of_work_ahead(make_worker: MakeWorker) -> None:
    worker = make_worker(tasks=10_000, workers=2)
    worker.dispatcher.prefetch.ended(0.001)
    worker.fetch()
    assert wanted(worker) == [202]


def test_the_fastest_handlers_do_not_make_a_worker_hoard(make_worker: MakeWorker) -> None:
    worker = make_worker(tasks=10_000, workers=2)
    worker.dispatcher.prefetch.ended(1e-7)
    for _ in range(20):
        worker.fetch()
    assert set(wanted(worker)[:4]) == {BATCH}
    assert MOST_AHEAD <= worker.ledger.active <= 2 + MOST_AHEAD


def test_unwritten_endings_take_up_room_but_for_the_first_ones(make_worker: MakeWorker) -> None:
    worker = make_worker(tasks=500, workers=2, prefetch=100)
    worker.dispatcher.prefetch.ended(1e-7)
    worker.fetch()
    worker.executor.run(GATHERED)
    assert worker.dispatcher.room()[0] == GATHERED
    worker.executor.run(30)
    assert worker.dispatcher.room()[0] == GATHERED, "what ends now makes no room until it is written"
    worker.finish()
    assert worker.dispatcher.room()[0] == GATHERED + 30


def test_without_prefetch_nothing_is_claimed_for_a_child_that_does_not_run_yet(make_worker: MakeWorker) -> None:
    worker = make_worker(tasks=9, workers=2, prefetch=0)
    worker.executor.ready = 0
    worker.fetch()
    assert wanted(worker) == []
    worker.executor.ready = 1
    worker.fetch()
    assert wanted(worker) == [1]


# Where nothing is found


def test_an_idle_worker_polls_ever_more_rarely(make_worker: MakeWorker) -> None:
    worker = make_worker(tasks=0)
    pauses = [worker.fetch() for _ in range(12)]
    assert pauses[0] <= 3 * FIRST_POLL
    assert 0.9 * LONGEST_POLL <= pauses[-1] <= 1.1 * LONGEST_POLL
    worker.stream.open = True
    assert [worker.fetch() for _ in range(9)][-1] >= 0.9 * LONGEST_POLL_WATCHED, "news comes by itself"
    worker.script.always("claim_many", Claim([], more=True, lost=0))
    assert worker.fetch() == 0
    worker.script.always("claim_many", Claim([], more=False, lost=0))
    assert worker.fetch() == pytest.approx(FIRST_POLL_WATCHED, rel=0.1)
    worker.stream.open = False
    assert worker.fetch() <= LONGEST_POLL * 1.1


def test_a_task_that_has_just_come_to_an_idle_process_is_claimed_in_one_step(make_worker: MakeWorker) -> None:
    worker = make_worker(tasks=3, workers=2)
    worker.fetcher.hurry = True
    worker.fetch()
    worker.fetch()
    assert worker.script.names == ["claim_first", "claim_many"]
    worker.fetcher.hurry = True
    worker.executor.run(1)
    worker.finish()
    worker.fetch()
    assert worker.script.names[-1] == "claim_many", "it holds another one"


def test_after_a_loss_to_another_worker_the_next_claim_comes_at_a_random_moment(make_worker: MakeWorker) -> None:
    worker = make_worker(workers=2)
    worker.script.always("claim_many", Claim([], more=True, lost=2))
    assert len({worker.fetch() for _ in range(9)}) > 1


# The look-ahead claimer


def deep(make_worker: MakeWorker) -> Any:
    """Make a worker with fast handlers and a deep backlog, that has claimed once."""
    worker = make_worker(tasks=9_000, workers=2)
    worker.dispatcher.prefetch.ended(1e-7)
    worker.fetch()
    assert worker.fetcher.deep
    return worker


def test_a_deep_backlog_is_claimed_ahead_without_the_head_and_without_suspects(make_worker: MakeWorker) -> None:
    worker = deep(make_worker)
    assert worker.fetcher.look_ahead(worker.clock.now) == 0
    ahead, head = worker.script.of("claim_many")[::-1]
    assert (ahead["at_head"], ahead["skip"], ahead["poison_budget"]) == (False, BATCH, 0)
    assert (head["at_head"], head["skip"], head["poison_budget"]) == (True, 0, MOST_POISON_WEIGHT)
    assert worker.ledger.asking[AHEAD] == 0


def test_what_is_asked_for_takes_up_room(make_worker: MakeWorker) -> None:
    worker = deep(make_worker)
    room = worker.dispatcher.room()[0]
    worker.ledger.asking[AHEAD] = BATCH
    assert worker.dispatcher.room()[0] == room - BATCH


def test_among_other_workers_nothing_is_claimed_ahead(make_worker: MakeWorker) -> None:
    worker = deep(make_worker)
    worker.script.reply("claim_many", Claim([], more=True, lost=1, found=BATCH))
    worker.fetch()
    assert (worker.fetcher.deep, worker.fetcher.look_ahead(worker.clock.now)) == (False, None)
    worker.clock.advance(OTHER_WORKERS_FOR + 1)
    while (attempt := worker.executor.begin()) is not None:
        worker.executor.end(attempt, seconds=1e-7)  # as measured, it would be as fast as this machine is idle
    worker.finish()
    worker.finish()
    worker.fetch()
    assert worker.fetcher.deep


# Claims whose replies were lost


def lost_claim(make_worker: MakeWorker, make_claimed: Callable[..., Any], **config: Any) -> Any:
    """Make a worker whose first claim got a task without its hearing of it."""
    worker = make_worker(tasks=0, **config)
    worker.script.reply("claim_many", StorageUnavailable("the reply was lost", ambiguous=True))
    with pytest.raises(StorageUnavailable):
        worker.fetch()
    token = worker.script.of("claim_many")[0]["token"]
    worker.script.always("recover", [make_claimed(_id="lost", token=token)])
    return worker


def test_what_a_claim_got_whose_reply_was_lost_is_found_and_counted_from_when_it_was_sent(
    make_worker: MakeWorker, make_claimed: Callable[..., Any]
) -> None:
    worker = lost_claim(make_worker, make_claimed)
    sent = worker.clock.now
    worker.clock.advance(5)
    worker.fetch()
    (attempt,) = worker.ledger.all()
    assert (attempt.key, attempt.claimed_at) == ("lost", sent)
    worker.fetch()
    assert len(worker.script.of("recover")) == 1, "once a second"
    worker.clock.advance(RECOVER_EVERY)
    worker.fetch()
    assert (len(worker.script.of("recover")), len(worker.ledger)) == (2, 1), "what is held is not taken again"
    worker.clock.advance(60)
    worker.fetch()
    worker.clock.advance(RECOVER_EVERY)
    worker.fetch()
    assert len(worker.script.of("recover")) == 3, "its leases have run out"


def test_what_a_lost_claim_took_does_not_wait_behind_a_busy_handler_where_order_is_strict(
    make_worker: MakeWorker, make_claimed: Callable[..., Any]
) -> None:
    worker = lost_claim(make_worker, make_claimed, workers=1, prefetch=0)
    worker.script.reply("claim_many", Claim([make_claimed(_id="busy", token="b")], more=False, lost=0))
    found, worker.script._always["recover"] = worker.script._always["recover"], []
    worker.fetch()
    worker.executor.begin()
    worker.script.always("recover", found)
    worker.clock.advance(RECOVER_EVERY)
    worker.fetch()
    worker.finish()
    assert [(task.key, verdict.event) for task, verdict in worker.script.written] == [("lost", Event.RELEASE)]


# The end of a burst


def test_a_burst_ends_when_nothing_is_left(make_worker: MakeWorker) -> None:
    worker = make_worker(tasks=2, burst=True, workers=4)
    worker.fetch()
    worker.fetch()
    assert worker.over == [], "two still run"
    worker.executor.run()
    worker.finish()
    assert worker.fetch() is None
    assert worker.over == [True]


@pytest.mark.parametrize("operation, reply", [("sweep", (1, False)), ("ready", True)])
def test_a_burst_goes_on_with_what_has_just_become_due(make_worker: MakeWorker, operation: str, reply: Any) -> None:
    worker = make_worker(tasks=0, burst=True)
    worker.script.reply(operation, reply)
    assert worker.fetch() == FIRST_POLL
    assert worker.over == []
    worker.fetch()
    assert worker.over == [True]


def test_a_burst_does_not_end_while_tasks_are_asked_for(make_worker: MakeWorker) -> None:
    worker = make_worker(tasks=0, burst=True)
    worker.ledger.asking[AHEAD] = BATCH
    worker.fetch()
    assert worker.over == []


def test_a_limit_ends_a_burst_without_a_look_at_what_is_left(make_worker: MakeWorker) -> None:
    worker = make_worker(tasks=9, burst=True, limit=3, workers=2)
    for _ in range(5):
        worker.fetch()
        worker.executor.run()
        worker.finish()
    assert (len(worker.script.written), sum(wanted(worker)), worker.over[:1]) == (3, 3, [True])
    assert worker.script.of("sweep") == []


# What waits behind long handlers


def test_what_waits_behind_a_long_handler_is_given_back(make_worker: MakeWorker) -> None:
    worker = make_worker(tasks=50, workers=1, prefetch=10)
    worker.dispatcher.prefetch.ended(1e-6)
    worker.fetch()
    worker.executor.begin()
    worker.watchdog.step(worker.clock.advance(LONGEST_WAIT))
    assert worker.ledger.active == 11
    worker.watchdog.step(worker.clock.advance(0.01))
    worker.finish()
    assert {(verdict.event, verdict.charged) for _, verdict in worker.script.written} == {(Event.RELEASE, False)}
    assert (len(worker.script.written), worker.ledger.active) == (10, 1)
    assert worker.dispatcher.prefetch.wanted(1) == 0, "what was measured holds no more"


def test_nothing_is_given_back_as_long_as_handlers_start(make_worker: MakeWorker) -> None:
    worker = make_worker(tasks=50, workers=1, prefetch=10)
    worker.dispatcher.prefetch.ended(1e-6)
    worker.fetch()
    for _ in range(5):
        worker.executor.run(1)
        worker.watchdog.step(worker.clock.advance(0.9 * LONGEST_WAIT))
    assert worker.ledger.active == 6


def test_a_waiting_task_for_each_free_handler_may_wait(make_worker: MakeWorker) -> None:
    worker = make_worker(tasks=2, workers=2)
    worker.fetch()
    for _ in range(3):
        worker.watchdog.step(worker.clock.advance(10))
    assert worker.ledger.active == 2, "an executor that still starts its children has a slot for each"

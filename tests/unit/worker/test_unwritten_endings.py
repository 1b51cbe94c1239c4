"""Changes that are refused with an ending, and endings that cannot be written yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mongoq.core.errors import StorageRefused, StorageUnavailable
from mongoq.core.lifecycle import Event
from mongoq.core.tasks.conflicts import DependencyError
from mongoq.core.tasks.modification import Modification
from mongoq.core.tasks.new_task import NewTask
from mongoq.storage.operations.finish import Finished
from mongoq.storage.operations.recovery.malformed import UNFIT

MakeWorker = Callable[..., Any]
REFUSED = DependencyError([])


def refusing(make_worker: MakeWorker, choice: str) -> Any:
    worker = make_worker(lambda _: Modification(insert=[NewTask(key="b")]), on_dependency_error=choice)
    worker.script.reply("finish_and_modify", REFUSED)
    worker.fetch()
    worker.executor.run()
    worker.finish()
    assert [name for name, _ in worker.events if name == "task.refused"] == ["task.refused"]
    return worker


def test_a_refused_change_is_a_failed_attempt(make_worker: MakeWorker) -> None:
    worker = refusing(make_worker, "retry")
    assert (worker.script.verdict.event, worker.script.verdict.error.type) == (Event.RETRY, "DependencyError")
    assert worker.stopped_for == []


def test_a_refused_change_may_be_ignored(make_worker: MakeWorker) -> None:
    worker = refusing(make_worker, "ignore")
    verdict = worker.script.verdict
    assert (verdict.event, verdict.modification) == (Event.COMPLETE, None)


def test_a_refused_change_may_end_the_worker(make_worker: MakeWorker) -> None:
    worker = refusing(make_worker, "stop")
    assert worker.stopped_for == [REFUSED]
    assert worker.script.verdict.event is Event.RETRY, "its attempt has failed, as by default"


@pytest.mark.parametrize("handler", [lambda _: None, lambda task: task.key], ids=["none", "result"])
@pytest.mark.parametrize("keep", [0, 3600], ids=["deleted", "kept"])
def test_endings_are_written_while_a_transaction_holds_the_task_of_another(
    make_worker: MakeWorker, keep: int, handler: Any
) -> None:
    worker = make_worker(handler, tasks=6, workers=6, options={"keep_completed": keep})
    worker.script.reply("finish", lambda arguments: Finished([], list(arguments["endings"][:1])))
    worker.fetch()
    worker.executor.run()
    wait = worker.finish()
    assert (len(worker.ledger), worker.ledger.unwritten) == (1, 1)
    assert 0 < wait <= 0.1
    worker.clock.advance(wait)
    worker.finish()
    assert worker.script.of("finish")[-1]["again"], "one short try"
    assert [task.key for task, _ in worker.script.written[-1:]] == ["k0000"]
    assert len(worker.ledger) == 0


def test_an_ending_that_is_refused_is_written_when_the_server_takes_it(make_worker: MakeWorker) -> None:
    worker = make_worker(tasks=3, workers=3)
    refusal = StorageRefused("document failed validation", code=121)
    worker.script.reply("finish", refusal, Finished([], []), refusal, Finished([], []))
    worker.fetch()
    worker.executor.run()
    worker.finish()
    assert worker.ledger.unwritten == 1, "alone, the others are written"
    worker.clock.advance(0.2)
    assert worker.finish() is None
    assert [task.key for task, _ in worker.script.written][-1:] == ["k0001"]


@pytest.mark.parametrize("code", [None, *sorted(UNFIT)])
def test_a_result_that_no_time_makes_fit_is_kept_as_text(make_worker: MakeWorker, code: int | None) -> None:
    worker = make_worker(lambda _: ["large"], options={"max_retries": 3})
    refusal = StorageRefused("too large", code=code)
    worker.script.reply("finish", refusal, refusal)
    worker.fetch()
    worker.executor.run()
    worker.finish()
    verdict = worker.script.verdict
    assert (verdict.event, verdict.result, len(worker.ledger)) == (Event.COMPLETE, "['large']", 0)
    assert "cannot be stored" in (verdict.note or "")


def test_an_ending_without_a_result_that_no_time_makes_fit_ends_as_a_failure(make_worker: MakeWorker) -> None:
    worker = make_worker(options={"max_retries": 3})
    refusal = StorageRefused("too large", code=None)
    worker.script.reply("finish", refusal, refusal)
    worker.fetch()
    worker.executor.run()
    worker.finish()
    verdict = worker.script.verdict
    assert (verdict.event, len(worker.ledger)) == (Event.FAIL, 0)
    assert "cannot be stored" in verdict.error.message


def test_an_ending_reached_without_the_server_is_written_when_it_is_back(make_worker: MakeWorker) -> None:
    worker = make_worker()
    worker.script.reply("finish", StorageUnavailable("gone", ambiguous=True))
    worker.fetch()
    worker.executor.run()
    with pytest.raises(StorageUnavailable):
        worker.finish()
    assert worker.ledger.unwritten == 1
    worker.finish()
    assert [task.key for task, _ in worker.script.written] == ["k0000"] * 2
    assert len(worker.ledger) == 0

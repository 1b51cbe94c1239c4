"""The making of tasks, by the replies they are given."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import pytest

from mongoq.api.streaming import stream
from mongoq.core.clock import FrozenClock
from mongoq.core.errors import DuplicateTask, InvalidTask, StorageRefused, StorageUnavailable
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.new_tasks import each
from mongoq.storage.commands import Op
from mongoq.storage.context import Context
from mongoq.storage.control import Pause
from mongoq.storage.documents import drafting
from mongoq.storage.documents.drafting import Draft
from mongoq.storage.drivers.blocking import BlockingDriver
from mongoq.storage.drivers.connection import Connection
from mongoq.storage.drivers.steps import Stepper
from mongoq.storage.operations import enqueue
from mongoq.storage.operations.on_conflict import instead
from mongoq.storage.refusals import KeyTaken, PartlyWritten

Drive = Callable[..., tuple[list[Any], Any]]
Make = Callable[..., dict[str, Any]]


def drafted(context: Context, *tasks: NewTask) -> list[Draft]:
    return [drafting.draft(context, task) for task in tasks]


def test_a_taken_key_is_named_or_skipped(drive: Drive, context: Context, make_document: Make) -> None:
    task = NewTask(key="k1")
    with pytest.raises(DuplicateTask, match="'k1'") as caught:
        drive(enqueue.new(context, task), KeyTaken("_id"))
    assert (caught.value.key, caught.value.unique) == ("k1", None)
    skipping = NewTask(key="k1", on_conflict="skip")
    commands, existing = drive(enqueue.new(context, skipping), KeyTaken("_id"), [make_document(priority=9)])
    assert commands[1].where == {"_id": "k1"}
    assert existing.priority == 9


def test_a_taken_unique_value_leads_to_its_unfinished_task(drive: Drive, context: Context, make_document: Make) -> None:
    task = NewTask(unique="u1")
    with pytest.raises(DuplicateTask, match="'u1'") as caught:
        drive(enqueue.new(context, task), KeyTaken("unique"))
    assert (caught.value.key, caught.value.unique) == (None, "u1")
    skipping = NewTask(unique="u1", on_conflict="skip")
    commands, existing = drive(enqueue.new(context, skipping), KeyTaken("unique"), [make_document(unique="u1")])
    assert commands[1].where["unique"]["$eq"] == "u1"
    assert existing.key == "k1"


@pytest.mark.parametrize("options", [{"unique": "u1"}, {"key": "k1"}])
def test_skip_goes_on_until_either_task_is_there(
    drive: Drive, context: Context, make_document: Make, options: dict[str, Any]
) -> None:
    taken = KeyTaken("unique" if "unique" in options else "_id")
    rounds: list[Any] = [taken, [], taken, [], None, taken, [], None, taken, [make_document(unique="u1")]]
    commands, existing = drive(enqueue.new(context, NewTask(**options, on_conflict="skip")), *rounds)
    assert existing.key == "k1"
    assert [type(command) for command in commands].count(Pause) == 2


def test_one_that_is_never_found_is_told_as_such(
    drive: Drive, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instead, "SKIPPED_FOR", -1.0)
    with pytest.raises(StorageUnavailable, match="call again"):
        drive(enqueue.new(context, NewTask(unique="u1", on_conflict="skip")), KeyTaken("unique"), [])


def test_a_unique_value_set_free_meanwhile_is_taken(drive: Drive, context: Context) -> None:
    new = enqueue.new(context, NewTask(unique="u1", on_conflict="skip"))
    _, task = drive(new, KeyTaken("unique"), [], None)
    assert task.unique == "u1"


def test_many_tasks_go_in_chunks_and_keep_their_order(clock: FrozenClock, context: Context) -> None:
    def tasks() -> Iterator[dict[str, int]]:
        for number in range(drafting.CHUNK + 1):
            clock.advance(-0.001)  # a clock that is set back meanwhile
            yield {"n": number}

    first, second = drafting.chunks(context, each(tasks(), {}))
    assert [len(first), len(second)] == [drafting.CHUNK, 1]
    made = [*drafting.all_made(context, first, {}), *drafting.all_made(context, second, {})]
    assert [task.tags["n"] for task in made] == list(range(drafting.CHUNK + 1))
    assert made == [drafting.made(context, one, None) for one in (*first, *second)]
    assert made == sorted(made, key=lambda task: (task.run_at, task.key))


def test_large_tasks_go_in_chunks_by_their_size(context: Context) -> None:
    tasks = [NewTask(payload=b"x" * 1_000_000)] * 20
    assert [len(chunk) for chunk in drafting.chunks(context, each(tasks, {}))] == [16, 4]


def test_no_more_is_drawn_than_a_chunk_holds(context: Context) -> None:
    drawn = iter([{"n": number} for number in range(5 * drafting.CHUNK)])
    next(drafting.chunks(context, each(drawn, {})))
    assert next(drawn)["n"] == drafting.CHUNK + 1


def test_tasks_that_skip_conflicts_go_in_chunks_of_their_own(context: Context) -> None:
    tasks = [NewTask(key=key, on_conflict="skip" if key in "bc" else "error") for key in "abcd"]
    drafts = list(drafting.chunks(context, each(tasks, {})))
    assert [[one.key for one in chunk] for chunk in drafts] == [["a"], ["b", "c"], ["d"]]


def test_the_refused_one_of_many_is_named_and_ends_it(drive: Drive, context: Context) -> None:
    chunk = drafted(context, *(NewTask(key=key) for key in "abc"))
    commands, others = drive(enqueue.chunk(context, chunk), PartlyWritten({1: KeyTaken("_id")}))
    assert commands[0].ordered
    assert list(others) == [1]
    with pytest.raises(DuplicateTask, match="a task has 'b' already"):
        drafting.all_made(context, chunk, others)


def test_conflicts_of_a_chunk_are_looked_up_in_one_trip_for_keys_and_one_for_unique_values(
    drive: Drive, context: Context, make_document: Make
) -> None:
    tasks = [NewTask(key="k"), NewTask(unique="u"), NewTask(key="l"), NewTask(), NewTask(unique="v")]
    chunk = drafted(context, *(NewTask(key=task.key, unique=task.unique, on_conflict="skip") for task in tasks))
    taken = {0: KeyTaken("_id"), 1: KeyTaken("unique"), 2: KeyTaken("_id"), 4: KeyTaken("unique")}
    keys = [make_document(_id="k"), make_document(_id="l")]
    uniques = [make_document(_id="x", unique="v"), make_document(_id="y", unique="u")]
    commands, others = drive(enqueue.chunk(context, chunk), PartlyWritten(taken), keys, uniques)
    assert not commands[0].ordered
    assert sorted(commands[1].where["_id"]["$in"]) == ["k", "l"]
    assert sorted(commands[2].where["unique"]["$in"]) == ["u", "v"]
    made = [task.key for task in drafting.all_made(context, chunk, others)]
    assert made == ["k", "y", "l", chunk[3].key, "x"]


def test_those_whose_holder_is_gone_are_tried_once_more_together(drive: Drive, context: Context) -> None:
    chunk = drafted(context, *(NewTask(unique=value, on_conflict="skip") for value in "abc"))
    taken = PartlyWritten({0: KeyTaken("unique"), 2: KeyTaken("unique")})
    again = PartlyWritten({1: KeyTaken("unique")})
    commands, others = drive(enqueue.together(context, chunk), taken, [], again, [{"_id": "there", "unique": "c"}])
    assert [len(command.bodies) for command in (commands[0], commands[2])] == [3, 2]
    assert others == {2: {"_id": "there", "unique": "c"}}


def test_another_refusal_among_taken_keys_is_not_taken_for_one(drive: Drive, context: Context) -> None:
    chunk = drafted(context, NewTask(key="a"), NewTask(key="b", on_conflict="skip"), NewTask(key="c"))
    refused = PartlyWritten({0: KeyTaken("_id"), 1: StorageRefused("no", code=121), 2: StorageRefused("no", code=121)})
    _, others = drive(enqueue.together(context, chunk), refused)
    assert [type(others[place]) for place in range(3)] == [DuplicateTask, StorageRefused, StorageRefused]


def chunks_of(context: Context, count: int, *, then: BaseException | None = None) -> Iterator[list[Draft]]:
    """Full chunks, and the end or an error."""
    yield from drafting.chunks(context, each([{}] * count * drafting.CHUNK, {}))
    if then:
        raise then


class Sending:
    """A server for a stream: what it was sent, and by which thread."""

    def __init__(self, answer: Callable[[int], drafting.Others]) -> None:
        self._answer = answer
        self._driver = BlockingDriver(Connection(SimpleNamespace()), Stepper(FrozenClock()))
        self.chunks: list[list[Draft]] = []
        self.senders: list[tuple[int, int]] = []
        """The value of `LIMIT` and the thread, for each chunk."""
        self.back: list[tuple[list[Draft], drafting.Others]] = []

    def send(self, chunk: list[Draft]) -> Op[drafting.Others]:
        yield from ()
        self.chunks.append(chunk)
        self.senders.append((LIMIT.get(), threading.get_ident()))
        return self._answer(len(self.chunks))

    def stream(self, chunks: Iterator[list[Draft]]) -> None:
        self._driver.run(stream(self.send, chunks, lambda chunk, others: self.back.append((chunk, others))))


LIMIT: ContextVar[int] = ContextVar("limit", default=0)


def test_a_stream_gives_every_chunk_back_in_order(context: Context) -> None:
    sending = Sending(lambda number: {number: {}})
    sending.stream(chunks_of(context, 3))
    assert [chunk for chunk, _ in sending.back] == sending.chunks
    assert [others for _, others in sending.back] == [{1: {}}, {2: {}}, {3: {}}]


def test_a_stream_is_drawn_on_in_the_caller_s_thread_and_sent_in_the_caller_s_context(context: Context) -> None:
    LIMIT.set(7)
    drawers = set()

    def tasks() -> Iterator[dict[str, int]]:
        for _ in range(3 * drafting.CHUNK):
            drawers.add(threading.get_ident())
            yield {}

    sending = Sending(lambda _: {})
    sending.stream(drafting.chunks(context, each(tasks(), {})))
    assert drawers == {threading.get_ident()}
    assert [limit for limit, _ in sending.senders] == [7] * 3
    assert not drawers & {thread for _, thread in sending.senders}, "full chunks go by a helper"


@pytest.mark.parametrize(
    "fault", [InvalidTask("no"), ZeroDivisionError(), KeyboardInterrupt(), SystemExit(1)], ids=repr
)
def test_what_was_sent_before_a_fault_counts(context: Context, fault: BaseException) -> None:
    with pytest.raises(type(fault)) as caught:
        Sending(lambda _: {}).stream(chunks_of(context, 3, then=fault))
    assert caught.value.__notes__ == ["tasks enqueued before it: 3,000"]
    assert vars(caught.value)["enqueued"] == 3_000


def test_one_who_is_interrupted_while_it_waits_for_a_chunk_is_told_what_may_be_there(context: Context) -> None:
    def answer(number: int) -> drafting.Others:
        if number == 2:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt) as caught:
        Sending(answer).stream(chunks_of(context, 3))
    assert caught.value.__notes__ == ["tasks enqueued before it: 1,000, and perhaps some of the 1,000 after them"]


def test_an_error_of_the_server_comes_before_a_later_fault(context: Context) -> None:
    def answer(number: int) -> drafting.Others:
        if number == 2:
            raise StorageUnavailable("gone", ambiguous=True)
        return {}

    with pytest.raises(StorageUnavailable) as caught:
        Sending(answer).stream(chunks_of(context, 2, then=InvalidTask("no")))
    assert caught.value.enqueued == drafting.CHUNK
    assert caught.value.__notes__ == ["tasks enqueued before it: 1,000, and perhaps some of the 1,000 after them"]


def test_a_refused_one_counts_those_before_it_in_its_chunk(context: Context) -> None:
    sending = Sending(lambda number: {7: DuplicateTask("taken")} if number == 2 else {})
    with pytest.raises(DuplicateTask) as caught:
        sending.stream(chunks_of(context, 4))
    assert caught.value.enqueued == drafting.CHUNK + 7
    assert len(sending.chunks) == 2, "nothing is sent after it"

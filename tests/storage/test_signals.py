"""Signals: whoever reads misses none, whatever happens to the collection. On a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mongoq.core.fleet import Signal, SignalKind
from mongoq.storage.control import Next
from mongoq.storage.drivers.streaming.signal_tail import SignalTail
from mongoq.storage.operations.fleet import signals

MINE, OTHER = Signal(SignalKind.WORK, 40, 60, ("a",), 2), Signal(SignalKind.WORK, 51, 60, ("a",), 2)


class Tails:
    """Readers at place 50, which wait for a second."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.made: list[SignalTail] = []

    def new(self) -> SignalTail:
        self.made.append(SignalTail(self._store.run, self._store.context, 50))
        return self.made[-1]

    def send(self, *sent: Signal) -> None:
        for signal in sent:
            self._store.run(signals.send(self._store.context, signal))


@pytest.fixture
def tails(store: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tails]:
    monkeypatch.setattr(signals, "AWAIT", 1.0)
    tails = Tails(store)
    yield tails
    for tail in tails.made:
        tail.end()


def test_a_reader_gets_what_is_written_for_its_place_and_waits_where_there_is_nothing(tails: Tails) -> None:
    tail = tails.new()
    tail.begin()
    tails.send(OTHER, MINE)
    assert (tail.next(), tail.next(), tail.open) == (MINE, None, True)


def test_what_is_written_while_a_cursor_is_opened_is_not_missed(tails: Tails, store: Any) -> None:
    tails.new().begin()  # it makes the collection
    cursor = store.run(signals.open_tail(store.context, 50))
    tails.send(MINE)
    assert store.run(signals.next_signal(cursor)) == MINE, "between the clock's time and the server's look"
    store.run(signals.close_tail(cursor))
    tail = tails.new()
    tail.begin()
    tails.send(MINE)
    assert [tail.next(), tail.next()] == [MINE, MINE], "what came shortly before, and what came before the first wait"


def test_a_reader_learns_that_the_collection_has_rolled_over_it(tails: Tails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "SIZE", 4096)
    tail = tails.new()
    tail.begin()
    tails.send(*[OTHER] * 200)
    assert (tail.next(), tail.open) == (None, False)
    tail.begin()
    tails.send(MINE)
    assert (tail.next(), tail.open) == (MINE, True)


def test_a_reader_learns_that_the_collection_was_dropped_and_makes_it_again(
    tails: Tails, store: Any, collection: Any
) -> None:
    tail = tails.new()
    tail.begin()
    collection.database.drop_collection(store.context.signals)
    assert (tail.next(), tail.open) == (None, False)
    tail.begin()
    tails.send(MINE)
    assert tail.next() == MINE


def test_an_ordinary_collection_of_that_name_is_made_a_capped_one(tails: Tails, store: Any, collection: Any) -> None:
    tails.send(MINE)  # the server makes the collection, as after a drop
    assert not collection.database[store.context.signals].options().get("capped")
    tail = tails.new()
    tail.begin()
    assert collection.database[store.context.signals].options()["capped"]
    assert tail.next() == MINE


def test_many_readers_may_make_it_at_once(tails: Tails, store: Any) -> None:
    store.run(signals.make(store.context))
    store.run(signals.make(store.context))
    tail = tails.new()
    tail.begin()
    assert tail.open


@pytest.mark.parametrize("wrong", [{}, {"kind": "later"}, {"kind": "work", "low": "x"}])
def test_a_signal_that_this_version_does_not_know_is_left_out(
    tails: Tails, collection: Any, store: Any, wrong: dict[str, Any]
) -> None:
    tail = tails.new()
    tail.begin()
    document = {"at": store.context.clock.now(), "low": 0, "high": 100, "queues": [], "count": 1, **wrong}
    collection.database[store.context.signals].insert_one(document)
    assert (tail.next(), tail.open) == (None, True)


def test_a_dead_cursor_says_so(store: Any) -> None:
    cursor = store.run(signals.open_tail(store.context, 50))
    assert store.run(signals.next_signal(cursor)) == Next.ENDED

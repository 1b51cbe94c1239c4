from __future__ import annotations

import os
import re
import threading
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

from mongoq.core.clock import FrozenClock
from mongoq.core.host.keys import KeyMaker, tick_of
from mongoq.scheduling.due import key_of


def test_keys_made_in_one_millisecond_are_unique_and_in_order(clock: FrozenClock) -> None:
    make = KeyMaker()
    now = clock.now()
    keys = [make(now) for _ in range(100_000)]
    assert all(first < second for first, second in pairwise(keys))


def test_a_key_is_32_hexadecimal_digits_of_which_no_two_makers_make_the_same(clock: FrozenClock) -> None:
    first, second = KeyMaker()(clock.now()), KeyMaker()(clock.now())
    assert first != second
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert first[:18] == second[:18], "what differs is random"


def test_keys_follow_the_clock(clock: FrozenClock) -> None:
    make = KeyMaker()
    keys = []
    for _ in range(100):
        keys.append(make(clock.now()))
        clock.advance(0.001)
    assert keys == sorted(keys)
    clock.advance(1)
    assert KeyMaker()(clock.now()) > keys[-1], "also across makers, once the clock has moved"


def test_keys_stay_in_order_when_the_clock_steps_back(clock: FrozenClock) -> None:
    make = KeyMaker()
    keys = []
    for step in (0, 5, -3600, 0, 3600, 0.001, -0.001):
        clock.advance(step)
        keys += [make(clock.now()), make(clock.now())]
    assert all(first < second for first, second in pairwise(keys))


def test_more_keys_than_a_millisecond_counts_flow_into_the_next(clock: FrozenClock) -> None:
    make = KeyMaker()
    before = make(clock.now())
    make._next |= 2**24 - 1
    last, over = make(clock.now()), make(clock.now())
    assert before < last < over < KeyMaker()(clock.now() + timedelta(milliseconds=2))
    assert len(over) == 32


def test_threads_share_a_maker(clock: FrozenClock) -> None:
    make = KeyMaker()
    now = clock.now()
    made: list[list[str]] = [[] for _ in range(8)]
    threads = [threading.Thread(target=lambda own=own: own.extend(make(now) for _ in range(5_000))) for own in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({key[:18] for own in made for key in own}) == 40_000
    assert all(own == sorted(own) for own in made)


def test_keys_for_many_are_in_order_with_each_other_and_with_single_ones(clock: FrozenClock) -> None:
    make = KeyMaker()
    now = clock.now()
    before = make(now)
    many = list(islice(make.endlessly(now), 200))
    after = make(now)
    assert all(first < second for first, second in pairwise([before, *many, after]))
    assert all(re.fullmatch("[0-9a-f]{32}", key) for key in many)
    assert len({key[18:] for key in many}) == 200, "each has random digits of its own"


def test_a_fork_does_not_make_the_keys_of_its_parent(clock: FrozenClock) -> None:
    make, now = KeyMaker(), clock.now()
    make(now)
    reads, writes = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writes, make(now).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    theirs = os.read(reads, 100).decode()
    for end in (reads, writes):
        os.close(end)
    ours = make(now)
    assert theirs[:18] == ours[:18]
    assert theirs != ours


def test_the_key_of_a_schedules_task_tells_its_tick() -> None:
    whole = datetime(2026, 3, 29, 1, tzinfo=UTC)
    for tick in (whole, whole + timedelta(milliseconds=250)):
        assert tick_of(key_of("a:b", tick)) == tick
    for key in ("order-17", "cron:nightly:20261399T010000Z", "cron:nightly", KeyMaker()(whole)):
        assert tick_of(key) is None

from __future__ import annotations

import pytest

from tests.model.chains import explore

TOO_MANY = "more handlers run at once than the limit says"
FOR_EVER = "a task waits for ever"


@pytest.mark.parametrize(
    "tasks, workers, limit, deaths, stops",
    [
        (3, 2, 1, 1, 1),
        (3, 2, 2, 1, 0),
        pytest.param(4, 2, 2, 1, 1, marks=pytest.mark.long),
        pytest.param(3, 3, 2, 1, 1, marks=pytest.mark.long),
    ],
)
def test_tasks_that_share_slots_keep_the_limit_and_none_is_left_behind(
    tasks: int, workers: int, limit: int, deaths: int, stops: int
) -> None:
    seen, fault = explore(tasks=tasks, workers=workers, limit=limit, deaths=deaths, stops=stops)
    assert fault == ""
    assert seen > 2_000


@pytest.mark.parametrize(
    "rules, deaths, stops, harm",
    [
        (["a slot is unique"], 0, 0, TOO_MANY),
        (["who parks looks again"], 0, 0, FOR_EVER),
        (["who ends lets the next go"], 0, 0, FOR_EVER),
        (["a sweep looks after the dead"], 1, 0, FOR_EVER),
        (["a follower has a lease"], 1, 0, FOR_EVER),
        (["followers without a slot are given back"], 0, 0, TOO_MANY),
        (["a slot stays for a follower that runs"], 0, 1, TOO_MANY),
        (["those with slots run last", "what has ended has no slot"], 0, 0, TOO_MANY),
        (["those with slots run last"], 0, 0, ""),
        (["what has ended has no slot"], 0, 0, ""),
    ],
)
def test_without_its_rules_a_promise_breaks(rules: list[str], deaths: int, stops: int, harm: str) -> None:
    assert explore(*rules, deaths=deaths, stops=stops)[1] == harm, "of the last two each does without the other"

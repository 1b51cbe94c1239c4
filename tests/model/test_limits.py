from __future__ import annotations

import pytest

from tests.model.limits import explore


@pytest.mark.parametrize("tasks, workers, limit, deaths", [(3, 2, 1, 1), (4, 2, 1, 0), (3, 3, 2, 1), (4, 3, 2, 0)])
def test_in_no_state_too_many_run_or_one_waits_for_ever(tasks: int, workers: int, limit: int, deaths: int) -> None:
    # One worker more than may die: somebody is left to do the work.
    seen, fault = explore(tasks=tasks, workers=workers, limit=limit, deaths=deaths)
    assert fault == ""
    assert seen > 100


@pytest.mark.parametrize(
    "rule, deaths, harm",
    [
        ("a slot is unique", 0, "more run at once than the limit says"),
        ("who parks looks again", 0, "a task waits for ever"),
        ("who ends lets the next go", 0, "a task waits for ever"),
        ("a sweep looks after the dead", 1, "a task waits for ever"),
    ],
)
def test_without_any_of_its_rules_a_promise_breaks(rule: str, deaths: int, harm: str) -> None:
    assert explore(rule, deaths=deaths)[1] == harm

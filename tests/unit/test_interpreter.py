"""The switch interval and the garbage collector while workers run in the foreground."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest

from mongoq.worker.services.interpreter import LONGEST, SELDOM, tuned

USUAL = (700, 10, 10)


@pytest.fixture(autouse=True)
def usual() -> Iterator[float]:
    before, threshold = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(0.005)
    gc.set_threshold(*USUAL)
    yield 0.005
    sys.setswitchinterval(before)
    gc.set_threshold(*threshold)


def test_both_are_tuned_until_the_last_worker_has_ended(usual: float) -> None:
    with tuned():
        with tuned():
            assert sys.getswitchinterval() == pytest.approx(LONGEST, abs=2e-6)
            assert gc.get_threshold() == (SELDOM, *USUAL[1:])
        assert sys.getswitchinterval() == pytest.approx(LONGEST, abs=2e-6)
        assert gc.get_threshold() == (SELDOM, *USUAL[1:])
    assert sys.getswitchinterval() == pytest.approx(usual, abs=2e-6)
    assert gc.get_threshold() == USUAL


@pytest.mark.parametrize("own", [0.0001, 0.02])
def test_an_interval_that_the_application_sets_itself_stays(own: float) -> None:
    with tuned():
        sys.setswitchinterval(own)
    assert sys.getswitchinterval() == pytest.approx(own, abs=2e-6)


def test_an_interval_that_is_shorter_already_is_left_alone() -> None:
    sys.setswitchinterval(0.0002)
    with tuned():
        assert sys.getswitchinterval() == pytest.approx(0.0002, abs=2e-6)
    assert sys.getswitchinterval() == pytest.approx(0.0002, abs=2e-6)


def test_a_threshold_that_the_application_sets_itself_stays() -> None:
    with tuned():
        gc.set_threshold(5_000, 20, 20)
    assert gc.get_threshold() == (5_000, 20, 20)


@pytest.mark.parametrize("own", [0, SELDOM + 1])
def test_a_collector_that_is_off_or_looks_more_seldom_already_is_left_alone(own: int) -> None:
    gc.set_threshold(own, 10, 10)
    with tuned():
        assert gc.get_threshold()[0] == own
    assert gc.get_threshold()[0] == own

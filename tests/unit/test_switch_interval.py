"""The interpreter's turns while workers run."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from mongoq.worker.services import switch_interval


@pytest.fixture(autouse=True)
def usual() -> Iterator[float]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    yield 0.005
    sys.setswitchinterval(before)


def test_turns_are_short_until_the_last_worker_has_ended(usual: float) -> None:
    switch_interval.shorten("one")
    switch_interval.shorten("other")
    assert sys.getswitchinterval() == pytest.approx(switch_interval.LONGEST, abs=2e-6)

    switch_interval.restore("one")
    switch_interval.restore("one")
    assert sys.getswitchinterval() == pytest.approx(switch_interval.LONGEST, abs=2e-6)

    switch_interval.restore("other")
    assert sys.getswitchinterval() == pytest.approx(usual, abs=2e-6)


@pytest.mark.parametrize("own", [0.0001, 0.02])
def test_what_the_application_sets_itself_stays(own: float) -> None:
    switch_interval.shorten("one")
    sys.setswitchinterval(own)
    switch_interval.restore("one")

    assert sys.getswitchinterval() == pytest.approx(own, abs=2e-6)


def test_turns_that_are_shorter_already_are_left_alone() -> None:
    sys.setswitchinterval(0.0002)
    switch_interval.shorten("one")
    assert sys.getswitchinterval() == pytest.approx(0.0002, abs=2e-6)
    switch_interval.restore("one")

    assert sys.getswitchinterval() == pytest.approx(0.0002, abs=2e-6)

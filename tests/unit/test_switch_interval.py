"""The switch interval of the interpreter while workers run in the foreground."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from mongoq.worker.services.switch_interval import LONGEST, shortened


@pytest.fixture(autouse=True)
def usual() -> Iterator[float]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    yield 0.005
    sys.setswitchinterval(before)


def test_the_interval_is_short_until_the_last_worker_has_ended(usual: float) -> None:
    with shortened():
        with shortened():
            assert sys.getswitchinterval() == pytest.approx(LONGEST, abs=2e-6)
        assert sys.getswitchinterval() == pytest.approx(LONGEST, abs=2e-6)
    assert sys.getswitchinterval() == pytest.approx(usual, abs=2e-6)


@pytest.mark.parametrize("own", [0.0001, 0.02])
def test_what_the_application_sets_itself_stays(own: float) -> None:
    with shortened():
        sys.setswitchinterval(own)
    assert sys.getswitchinterval() == pytest.approx(own, abs=2e-6)


def test_an_interval_that_is_shorter_already_is_left_alone() -> None:
    sys.setswitchinterval(0.0002)
    with shortened():
        assert sys.getswitchinterval() == pytest.approx(0.0002, abs=2e-6)
    assert sys.getswitchinterval() == pytest.approx(0.0002, abs=2e-6)

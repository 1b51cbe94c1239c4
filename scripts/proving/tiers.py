"""Which cases of a test run before every merge: one of each mechanism; the others wait for `-m long`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

__all__ = ["long_but_for"]


def long_but_for(kept: Iterable[Any], cases: Iterable[Any]) -> list[Any]:
    """The parameters of a test: `cases`, of which all but `kept` are marked as long.

    Raises ValueError where one that is kept is no case, which a renaming would hide.
    """
    kept, cases = list(kept), list(cases)
    if unknown := [case for case in kept if case not in cases]:
        raise ValueError(f"no such cases: {unknown}")
    return [case if case in kept else pytest.param(case, marks=pytest.mark.long) for case in cases]

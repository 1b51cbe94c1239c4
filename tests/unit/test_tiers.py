from __future__ import annotations

import pytest

from proving.tiers import long_but_for


def test_all_cases_but_those_kept_are_long() -> None:
    kept, other = long_but_for(["kept"], {"kept": 1, "other": 2})
    assert kept == "kept"
    assert other.values == ("other",)
    assert [mark.name for mark in other.marks] == ["long"]


def test_to_keep_what_is_no_case_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no such cases: \['gone'\]"):
        long_but_for(["gone"], ["here"])

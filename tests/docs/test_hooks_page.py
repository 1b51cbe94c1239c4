"""The page about hooks names what the code has."""

from __future__ import annotations

import re
from pathlib import Path

from mongoq import events

PAGE = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text()


def test_the_table_of_events_has_all_of_them_and_their_fields() -> None:
    rows = PAGE.partition("| event | when |")[2].partition("\n\n")[0]
    told: dict[str, set[str]] = {}
    for row in rows.splitlines()[2:]:
        names, _, said = row.strip("|").split("|")
        for name in re.findall(r"`(\w+)`", names):
            told[name] = set(re.findall(r"`([a-z_]+)`", said))
    assert told.keys() == set(events.__all__) - {"QueueEvent"}
    for name, fields in told.items():
        declared = set(getattr(events, name).__annotations__)
        assert declared <= fields, name

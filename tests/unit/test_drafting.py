"""Drafts of tasks that come one by one."""

from __future__ import annotations

import bson
import pytest

from mongoq.core.clock import FrozenClock
from mongoq.core.errors import InvalidTask
from mongoq.core.tasks.alike import whole
from mongoq.core.tasks.new_task import NewTask
from mongoq.storage.context import Context
from mongoq.storage.documents import drafting
from mongoq.storage.documents.codec import CODEC


def test_calls_with_tags_alone_are_drafted_as_any_other(clock: FrozenClock, context: Context) -> None:
    draft, drafts = drafting.Drafter(context), []
    for number in range(6):
        clock.advance(0.001 * (number % 2))  # two in each millisecond
        drafts.append(draft(whole({"n": number}) if number != 3 else NewTask(tags={"n": 3}, priority=7)))
    assert drafts[1].model is drafts[2].model is not drafts[0].model
    for one in drafts:
        document = bson.decode(one.body.raw, CODEC)
        assert document == {"_id": one.key, "tags": {"n": drafts.index(one)}, **one.model}
    assert [one.model["priority"] for one in drafts] == [0, 0, 0, 7, 0, 0]
    assert len({one.model["created_at"] for one in drafts}) == 4
    made = drafting.all_made(context, drafts, {})
    assert made == [drafting.made(context, one, None) for one in drafts]
    with pytest.raises(InvalidTask, match="at most"):
        draft(whole({"n": "x" * 2**20}))

"""`crontab` and `beat_schedule` of `mongoq.contrib.celery`, beside Celery's own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mongoq import ConfigurationError, Queue
from mongoq.contrib import celery
from mongoq.contrib.celery import crontab, schedule_beat, shared_task
from mongoq.contrib.celery.registered import functions
from mongoq.contrib.celery.schedules import FIELDS, expression_of
from mongoq.testing import FrozenClock, memory_queue, run_due


@shared_task(name="tests.beat.sweep", queue="chores")
def sweep(*args: Any, **kwargs: Any) -> list[Any]:
    return [[*args], kwargs]


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    monkeypatch.setattr(functions, "_schedules", {})
    with memory_queue(clock=FrozenClock(datetime(2026, 3, 27, 12, tzinfo=UTC))) as queue:
        queue.include(celery.tasks)
        yield queue


@pytest.mark.parametrize(
    "given, expression",
    [
        ({}, "* * * * *"),
        ({"minute": 0, "hour": "*/3"}, "0 */3 * * *"),
        ({"minute": "*/15", "hour": "8-17", "day_of_week": "mon-fri"}, "*/15 8-17 * * 1-5"),
        ({"minute": "0,30", "hour": "0,8-17/2"}, "*/30 0,8,10,12,14,16 * * *"),
        ({"minute": [1, 13], "hour": {4}, "day_of_week": "friday-monday"}, "1,13 4 * * 0,1,5,6"),
        ({"minute": 0, "hour": 0, "day_of_month": "2-30/3", "month_of_year": "jan,*/6"}, None),
        ({"minute": "50-10/5", "hour": 22}, None),
        ({"minute": 0, "hour": 6, "day_of_month": "*/2", "day_of_week": "sun"}, "0 6 */2 * 0"),
    ],
)
def test_a_crontab_reads_its_fields_as_celery_does(given: dict[str, Any], expression: str | None) -> None:
    theirs = pytest.importorskip("celery.schedules").crontab(**given)
    ours = crontab(**given)
    assert {name: getattr(ours, name) for name in FIELDS} == {name: getattr(theirs, name) for name in FIELDS}
    assert ours.expression == expression_of(theirs) == (expression or ours.expression)
    again = crontab.from_string(ours.expression)
    assert {name: getattr(again, name) for name in FIELDS} == {name: getattr(ours, name) for name in FIELDS}


@pytest.mark.parametrize(
    "given, named",
    [
        ({"minute": 60}, "crontab minute: 60 is not numbers from 0 to 59"),
        ({"hour": "8-25"}, "crontab hour: '8-25'"),
        ({"hour": "4/2"}, "crontab hour: '4/2'"),
        ({"day_of_week": "someday"}, "crontab day_of_week: 'someday'"),
        ({"day_of_month": []}, r"crontab day_of_month: \[\]"),
        ({"day_of_month": "1-7", "day_of_week": 1}, "Celery ticks on days that are both"),
    ],
)
def test_a_crontab_that_cannot_be_is_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        crontab(**given)


def test_a_beat_schedule_ticks_as_schedules_of_the_namespace(queue: Queue) -> None:
    theirs = pytest.importorskip("celery.schedules")
    names = schedule_beat(
        {
            "every night": {"task": sweep.name, "schedule": crontab(hour=3, minute=0), "args": (7,)},
            "theirs": {"task": sweep.name, "schedule": theirs.crontab(hour=4, minute=0), "options": {"queue": "mail"}},
            "often": {"task": sweep.name, "schedule": theirs.schedule(timedelta(hours=9)), "kwargs": {"n": 1}},
        },
        tz="Europe/Zurich",
    )
    assert names == ["every-night", "theirs", "often"]
    assert queue.schedules() == [], "a worker writes them"

    ran = run_due(queue, queues=["chores", "mail"], until=timedelta(days=1))

    assert sorted((str(one.task.key).split(":")[1], one.task.queue, one.task.tags["args"]) for one in ran) == [
        ("every-night", "chores", [7]), ("often", "chores", []), ("often", "chores", []), ("theirs", "mail", []),
    ]  # fmt: skip
    known = {one.name: one for one in queue.schedules()}
    assert (known["every-night"].timing.cron, known["every-night"].timing.tz) == ("0 3 * * *", "Europe/Zurich")
    assert (known["often"].timing.every, known["often"].overlap) == (timedelta(hours=9), "queue")


def test_all_that_cannot_be_in_a_beat_schedule_is_named_and_nothing_is_made(queue: Queue) -> None:
    hourly = timedelta(hours=1)
    with pytest.raises(ConfigurationError) as raised:
        schedule_beat(
            {
                "good": {"task": sweep.name, "schedule": 60},
                "typo": {"task": "tests.beat.sweeep", "schedule": hourly},
                "sun": {"task": sweep.name, "schedule": "sunset"},
                "fast": {"task": sweep.name, "schedule": 0.5},
                "late": {"task": sweep.name, "schedule": hourly, "options": {"expires": 30}, "arg": (1,)},
                "later": {"task": sweep.name, "schedule": hourly, "options": {"countdown": 3}},
            }
        )
    told = str(raised.value)
    for named in (
        "beat_schedule 'typo': task: 'tests.beat.sweeep' is not the name of a shared task",
        "did you mean 'tests.beat.sweep'?",
        "beat_schedule 'sun': schedule: 'sunset' is not a number of seconds, a timedelta or a crontab",
        "beat_schedule 'fast': every: 0.5 is not at least 1 second",
        "beat_schedule 'late': options expires: 30 is not possible here",
        "beat_schedule 'late': arg: ",
        "beat_schedule 'later': task.delay",
    ):
        assert named in told
    assert functions.schedules() == {}

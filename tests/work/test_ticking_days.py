"""A day of schedules over each change of the clocks, in three zones, by processes that are killed."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mongoq import NewTask, Queue
from mongoq.core.clock import FrozenClock
from mongoq.embedded.server import EmbeddedServer
from proving.tiers import long_but_for

PROGRAM = Path(__file__).parent / "ticking_process.py"
CHANCE = random.Random(11)  # noqa: S311 -- no secret
STEP = timedelta(minutes=20)
CHANGES = {
    "Zurich spring": ("Europe/Zurich", datetime(2030, 3, 31, 1, tzinfo=UTC)),
    "Zurich autumn": ("Europe/Zurich", datetime(2030, 10, 27, 1, tzinfo=UTC)),
    "New York spring": ("America/New_York", datetime(2030, 3, 10, 7, tzinfo=UTC)),
    "New York autumn": ("America/New_York", datetime(2030, 11, 3, 6, tzinfo=UTC)),
    "Lord Howe spring": ("Australia/Lord_Howe", datetime(2030, 10, 5, 15, 30, tzinfo=UTC)),
    "Lord Howe autumn": ("Australia/Lord_Howe", datetime(2030, 4, 6, 15, tzinfo=UTC)),
}
"""The zone, and the instant at which its clocks change."""
DAILY = {
    # Skipped by the change (a tick in the hour that is left out comes at its end), or met twice (the first one counts).
    "Zurich spring": ("30 2 * * *", ["2030-03-31T01:00"]),
    "Zurich autumn": ("30 2 * * *", ["2030-10-27T00:30"]),
    "New York spring": ("30 2 * * *", ["2030-03-10T07:00"]),
    "New York autumn": ("30 1 * * *", ["2030-11-03T05:30"]),
    "Lord Howe spring": ("10 2 * * *", ["2030-10-05T15:30"]),
    "Lord Howe autumn": ("45 1 * * *", ["2030-04-06T14:45"]),
}
"""What the table of docs/scheduling.md says of a daily tick at the change, in UTC."""


class Crew:
    """Processes that tick by a clock in a file; now and then one is killed, and another comes."""

    def __init__(self, uri: str, namespace: str, clock: Path, count: int) -> None:
        self._command = [sys.executable, str(PROGRAM), uri, namespace, str(clock)]
        self.killed = 0
        self.running = [self._start() for _ in range(count)]

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self._command, stdout=subprocess.DEVNULL, text=True)

    def kill_one(self) -> None:
        place = CHANCE.randrange(len(self.running))
        self.running[place].kill()
        self.running[place].wait()
        self.running[place] = self._start()
        self.killed += 1

    def close(self) -> None:
        for one in self.running:
            one.kill()
            one.wait()


@pytest.fixture
def crew(server: EmbeddedServer) -> Iterator[Callable[[str, Path], Crew]]:
    """Give `crew(namespace, clock)`: three processes that tick, killed afterwards."""
    made: list[Crew] = []

    def start(namespace: str, clock: Path) -> Crew:
        made.append(Crew(server.uri, namespace, clock, 3))
        return made[-1]

    yield start
    for one in made:
        one.close()


def set_clock(file: Path, now: datetime) -> None:
    """Move the clock of all processes, in one step."""
    fresh = file.with_suffix(".new")
    fresh.write_text(now.isoformat())
    fresh.replace(file)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("change", long_but_for([], CHANGES))
def test_every_tick_of_a_day_comes_as_the_table_says_whoever_is_killed(
    make_queue: Callable[..., Queue],
    crew: Callable[[str, Path], Crew],
    until: Callable[..., None],
    tmp_path: Path,
    change: str,
) -> None:
    zone, instant = CHANGES[change]
    daily, at_change = DAILY[change]
    start, end = instant - timedelta(hours=12, seconds=1), instant + timedelta(hours=12)
    clock, file = FrozenClock(start), tmp_path / "clock"
    set_clock(file, start)
    queue = make_queue(clock=clock, keep_completed=86_400)
    crons = {"daily": daily, "hourly": "0 * * * *", "half": "*/30 * * * *", "five": "*/5 * * * *"}
    made = [queue.schedule(name, cron, NewTask(), tz=zone, catch_up="all") for name, cron in crons.items()]
    fleet = crew(queue.namespace, file)
    while clock.now() < end:
        clock.advance(STEP.total_seconds())
        set_clock(file, clock.now())
        if CHANCE.random() < 0.3:
            fleet.kill_one()
        now = clock.now()
        until(lambda: all((one.next_at or now) > now for one in queue.schedules()), timeout=120, why="all went on")  # noqa: B023
    fleet.close()

    found = sorted(task.key for task in queue.tasks(limit=None))
    expected = sorted(
        f"cron:{one.name}:{tick:%Y%m%dT%H%M%S}Z"
        for one in made
        if one.next_at is not None
        for tick in one.timing.within(one.next_at, clock.now())
    )
    assert fleet.killed > 5
    assert found == expected, "each once, and none beside"
    ticks = [datetime.strptime(f"{key[-16:]}+0000", "%Y%m%dT%H%M%SZ%z") for key in found if ":daily:" in key]
    near = [tick for tick in ticks if abs(tick - instant) < timedelta(hours=2)]
    assert near == [datetime.fromisoformat(f"{one}+00:00") for one in at_change]

"""Checks of clocks: of this host, and of those that workers run on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from mongoq.diagnosis.check import Found, check
from mongoq.diagnosis.facts import Fleet, Host
from mongoq.diagnosis.finding import Level
from mongoq.diagnosis.words import span

MOST: Final = timedelta(seconds=1)


@check(
    "host.clock", Level.WARNING, "a clock of this host or of a worker more than 1 s away from the server's",
    effect="Tasks go by the server's clock; your own timestamps, logs and run_at made from datetime.now() do not.",
    advice="Let NTP set the clocks of the host and of the server.",
    command="timedatectl set-ntp true",
)  # fmt: skip
def clock(host: Host) -> Iterator[Found]:
    """This host's clock."""
    if abs(host.ahead) > MOST:
        yield Found("this host", f"The clock of this host is {_away(host.ahead)} the database's")


@check(
    "host.worker-clock", Level.WARNING, "a clock of a worker's host more than 1 s away from the server's",
    effect="Tasks go by the server's clock; timestamps that handlers make and the lines of their logs do not.",
    advice="Let NTP set the clock of that host.",
    command="timedatectl set-ntp true",
)  # fmt: skip
def worker_clock(fleet: Fleet) -> Iterator[Found]:
    """The clocks of the hosts of workers, each host once."""
    hosts = {one.host: one.ahead_of_server for one in fleet.workers if one.ahead_of_server is not None}
    for host, ahead in sorted(hosts.items()):
        if abs(ahead) > MOST:
            yield Found(host, f"The clock of {host} is {_away(ahead)} the database's")


def _away(ahead: timedelta) -> str:
    return f"{span(abs(ahead))} {'ahead of' if ahead > timedelta(0) else 'behind'}"

"""Options that commands share: the place of the queue, durations and KEY=VALUE pairs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, NoReturn

import typer

from mongoq import ConfigurationError, Queue
from mongoq.cli.output import note
from mongoq.core.host.environment import namespace_named, uri_named
from mongoq.embedded.server import holds_server

UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)?")
EMBEDDED: Final = "embedded:"
PASSWORD: Final = re.compile(r"://[^@]*:[^@]*@|password=", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """The place of the queue, from the options of `mongoq` itself."""

    uri: str | None
    """The value of --uri, or None."""
    named: str | None
    """The value of --namespace, or None."""

    @property
    def given(self) -> str | None:
        """The URI: --uri, else MONGOQ_URI, else None."""
        return uri_named(self.uri)

    @property
    def namespace(self) -> str:
        """The namespace: --namespace, else MONGOQ_NAMESPACE, else `default`."""
        return namespace_named(self.named)

    def open(self, *, reading: bool = False, **options: Any) -> Queue:
        """Open the queue; raises ConfigurationError when no MongoDB is named.

        `reading` is for commands that need existing tasks: it does not create a misspelt embedded folder.
        """
        if self.given is None:
            raise ConfigurationError(
                "no MongoDB is named: set MONGOQ_URI, or give --uri; `mongoq dev` starts one on this machine"
            )
        folder = self.given.removeprefix(EMBEDDED)
        if reading and self.given.startswith(EMBEDDED) and folder and not holds_server(folder):
            raise ConfigurationError(f"no embedded server has run in {folder!r}; `mongoq dev --path` makes one")
        return Queue(self.given, namespace=self.namespace, **options)


def place(context: typer.Context) -> Place:
    """The place from the options of `mongoq` itself."""
    found = context.find_object(Place)
    assert found is not None
    return found


def warn_of_password(uri: str | None) -> None:
    """Warn of a password in the arguments, which other users of the machine can see."""
    if uri and PASSWORD.search(uri):
        note("warning: a password in --uri is visible in the list of processes; set MONGOQ_URI instead")


def warn_of_standalone(queue: Queue) -> None:
    """Warn of what a standalone server lacks."""
    if queue.standalone():
        note(
            "warning: this is a standalone server: no transactions, no change streams, and what it acknowledged may be "
            "lost with it; make it a replica set (one node is enough) before you rely on it"
        )


def duration(text: str) -> timedelta:
    """Parse a duration: seconds, or `10s`, `5m`, `2h`, `1d`."""
    match = DURATION.fullmatch(text.strip())
    if match is None:
        refuse(f"{text!r} is not a duration: give seconds, or 10s, 5m, 2h, 1d")
    try:
        return timedelta(seconds=float(match[1]) * UNITS[match[2] or "s"])
    except OverflowError:
        refuse(f"{text!r} is too long a duration")


def moment(text: str) -> datetime | timedelta:
    """Parse an instant: ISO 8601 (in UTC where it names no zone), or how long ago as `duration` reads it."""
    if DURATION.fullmatch(text.strip()):
        return duration(text)
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        refuse(f"{text!r} is no time: give 2026-08-01T12:30, or 15m, 2h, 1d for so long ago")
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def resolved(when: datetime | timedelta | None, now: datetime) -> datetime | None:
    """The instant that was typed, seen from `now`."""
    try:
        return now - when if isinstance(when, timedelta) else when
    except OverflowError:
        refuse("so long ago there was no time")


def parsed(text: str) -> Any:
    """Parse a value as JSON; what is not JSON is the text itself."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, float) and not math.isfinite(value) else value


def tags(given: Sequence[str]) -> dict[str, Any]:
    """Parse KEY=VALUE pairs; raises BadParameter for anything else, and for a key given twice."""
    found: dict[str, Any] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            refuse(f"{pair!r} is not KEY=VALUE")
        if name in found:
            refuse(f"{name!r} is given twice")
        found[name] = parsed(value)
    return found


def names(text: str) -> list[str]:
    """Parse a list of names separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def refuse(reason: str) -> NoReturn:
    """Refuse the arguments, with exit code 2."""
    raise typer.BadParameter(reason)


Keys = Annotated[list[str] | None, typer.Argument(metavar="[KEY...]", show_default=False, help="These tasks.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before many tasks are changed.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def moment_option(text: str, *names: str) -> Any:
    """Declare an option that takes an instant."""
    return typer.Option(*names, parser=moment, metavar="WHEN", help=text)


def span_option(text: str) -> Any:
    """Declare an option that takes a duration."""
    return typer.Option(parser=duration, metavar="DURATION", help=text)

"""Commands about the server: `dev`, `init`, `time`."""

from __future__ import annotations

import os
import shlex
import signal
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from mongoq.cli.options import AsJson, place, warn_of_standalone
from mongoq.cli.output import clean, note, print_json, say, tell
from mongoq.cli.progress import progress_line
from mongoq.embedded.server import EmbeddedServer, open_embedded


def dev(
    path: Annotated[Path, typer.Option(help="The folder of its data.")] = Path(".mongoq"), as_json: AsJson = False
) -> None:
    """Run a private MongoDB on this machine until Ctrl-C or SIGTERM, and print its URI.

    Processes that name the same folder share one server, which stops after the last of them. It is for development:
    it has no password and is reachable from this machine only. --json prints one object when the server runs.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with open_embedded(path) as embedded:
        if as_json:
            print_json({"uri": embedded.uri, "folder": str(embedded.folder), "pid": embedded.pid})
        else:
            say(f"export MONGOQ_URI={shlex.quote(embedded.uri)}")
            say(f"\nMongoDB runs in {clean(embedded.folder)}, for this machine alone. Set the variable in another")
            say("terminal, and try `mongoq demo` there. Ctrl-C stops it.")
        while not stop.wait(0.5):
            if not _runs(embedded):
                note(f"MongoDB has ended by itself; its log is {embedded.folder}/mongod.log")
                raise typer.Exit(1)


def init(
    context: typer.Context,
    validator: Annotated[
        bool | None,
        typer.Option(
            "--validator/--no-validator",
            help="Let the server refuse invalid documents. Default: as it is.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Build the indexes that a namespace lacks, and with --validator install the schema of tasks.

    A new namespace gets its indexes at its first use; this is for one that already holds tasks. It may take minutes
    for millions of tasks; workers keep running meanwhile. A terminal shows its progress. If it is interrupted, the
    builds go on, and another `mongoq init` waits for them.
    """
    with place(context).open() as queue:
        with progress_line(quiet=as_json) as draw:
            made = queue.init(on_progress=draw, validator=validator)
        warn_of_standalone(queue)
    if as_json:
        print_json({"made": made})
    else:
        say("\n".join(f"made {clean(name)}" for name in made) or "all indexes are there")


def server_time(context: typer.Context, as_json: AsJson = False) -> None:
    """Print the server's time, by which tasks are scheduled, and the difference to this host's clock."""
    with place(context).open(reading=True) as queue:
        queue.time()  # connects, so that the next one measures a single round trip
        before = datetime.now(UTC)
        server = queue.time()
        after = datetime.now(UTC)
    trip = (after - before).total_seconds() * 1000
    skew = (before - server).total_seconds() * 1000 + trip / 2
    if as_json:
        print_json({"time": server, "skew_ms": round(skew, 1), "round_trip_ms": round(trip, 1)})
    else:
        side = "ahead of" if skew > 0 else "behind"
        tell(f"{server.isoformat()}  this host is {abs(skew):.0f} ms {side} it (measured within {trip / 2:.1f} ms)")


def _runs(embedded: EmbeddedServer) -> bool:
    try:
        os.kill(embedded.pid, 0)
    except ProcessLookupError:
        return False
    return True

"""The table of commands, and the options of `mongoq` itself."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from mongoq import __version__
from mongoq.cli import demo, doctor, operating, server, stats, tasks, worker
from mongoq.cli.acting import draining, exporting, updating
from mongoq.cli.control import dashboard, pausing, schedules
from mongoq.cli.looking import failing, listing, showing
from mongoq.cli.options import Place, warn_of_password
from mongoq.cli.output import say
from mongoq.cli.watching import top

EVERYWHERE: Final = "--uri and --namespace may follow the command too: see mongoq --help."
HARMFUL: Final = frozenset({"cancel", "delete", "move", "purge", "stop-worker"})
"""Commands that are never proposed for one that was misspelt."""

app = typer.Typer(
    help="A task queue on MongoDB: workers, tasks and statistics.",
    epilog="Exit codes: 0 ok, 1 failed, 2 usage, 3 MongoDB unreachable.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"mongoq {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _mongoq(
    context: typer.Context,
    # Not `envvar`: help would show its value, and the demo could not tell a given option from the variable.
    uri: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            show_default=False,
            help="MongoDB's URI, or embedded:FOLDER. Default: the variable MONGOQ_URI, which other users cannot see.",
        ),
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            help="The prefix of the collections. Default: the variable MONGOQ_NAMESPACE, else `default`.",
        ),
    ] = None,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    context.obj = Place(uri, namespace)
    if context.invoked_subcommand is None:
        say(context.get_help())
        raise typer.Exit(2)
    warn_of_password(uri)


for name, function in (
    ("dev", server.dev),
    ("demo", demo.demo),
    ("stats", stats.stats),
    ("top", top.top),
    ("new", tasks.new),
    ("ls", listing.ls),
    ("show", showing.show),
    ("why", showing.why),
    ("cancel", operating.cancel),
    ("delete", operating.delete),
    ("move", operating.move),
    ("purge", operating.purge),
    ("update", updating.update),
    ("failures", failing.failures),
    ("doctor", doctor.doctor),
    ("queues", stats.queues),
    ("workers", stats.workers),
    ("rerun", operating.rerun),
    ("redrive", operating.redrive),
    ("pause", pausing.pause),
    ("resume", pausing.resume),
    ("drain", draining.drain),
    ("stop-worker", pausing.stop_worker),
    ("schedules", schedules.schedules),
    ("dashboard", dashboard.dashboard),
    ("export", exporting.export),
    ("import", exporting.import_),
    ("worker", worker.worker),
    ("init", server.init),
    ("time", server.server_time),
):
    app.command(name, epilog=EVERYWHERE)(function)
app.command("retry", hidden=True, epilog=EVERYWHERE)(operating.rerun)

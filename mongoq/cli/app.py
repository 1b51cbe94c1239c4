"""The table of commands, and the options of `mongoq` itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import typer

from mongoq import __version__
from mongoq.cli import demo, doctor, operating, server, stats, tasks, worker
from mongoq.cli.acting import draining, exporting, importing, updating
from mongoq.cli.control import dashboard, limits, pausing, schedules
from mongoq.cli.looking import batching, failing, listing, showing
from mongoq.cli.options import Place, warn_of_password
from mongoq.cli.output import say
from mongoq.cli.serving import health
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


COMMANDS: Final[tuple[tuple[str, Callable[..., None], str | None], ...]] = (
    # Run it
    ("worker", worker.worker, "Run the functions of MODULE:QUEUE, or MODULE:FUNCTION."),
    ("worker-health", health.worker_health, "Say by the exit code whether a worker works; for probes."),
    ("dev", server.dev, "Run a private MongoDB on this machine."),
    ("demo", demo.demo, "Show a queue at work."),
    ("dashboard", dashboard.dashboard, "Serve the pages of the namespace in a browser."),
    ("init", server.init, "Build the indexes that a namespace lacks."),
    # Look
    ("doctor", doctor.doctor, "Look for what keeps tasks from running."),
    ("stats", stats.stats, "Count the tasks of each queue by state, and list workers."),
    ("top", top.top, "Watch and steer queues, failures and tasks on one screen."),
    ("failures", failing.failures, "Group failed tasks by name and error."),
    ("ls", listing.ls, "List tasks, the newest first."),
    ("show", showing.show, "Show one task, what matters first."),
    ("why", showing.why, "Say why a task does not run."),
    ("queues", stats.queues, "List the queues that have tasks."),
    ("workers", stats.workers, "List the worker processes."),
    ("schedules", schedules.schedules, "List, pause, resume and delete schedules."),
    ("limits", limits.limits, "List, show, set and delete limits."),
    ("batches", batching.batches, "List the batches that have not called back."),
    ("time", server.server_time, "Print the server's time, and how far this host's is off."),
    # Act
    ("new", tasks.new, "Enqueue a task."),
    ("rerun", operating.rerun, "Run failed tasks again, by key, name, error or time."),
    ("cancel", operating.cancel, "Cancel tasks; running ones are asked to stop."),
    ("delete", operating.delete, "Delete tasks that do not run."),
    ("move", operating.move, "Move waiting tasks to another queue."),
    ("purge", operating.purge, "Delete finished tasks."),
    ("update", updating.update, "Change a waiting task."),
    ("pause", pausing.pause, "Stop claims of a queue, a name or a tag's value."),
    ("resume", pausing.resume, "End a pause."),
    ("drain", draining.drain, "Pause, and wait until nothing runs."),
    ("redrive", operating.redrive, "Send dead letters back to their queues."),
    ("stop-worker", pausing.stop_worker, "Ask a worker process on any host to end."),
    ("export", exporting.export, "Write tasks as lines of JSON."),
    ("import", importing.import_, "Enqueue the tasks of an export."),
)
"""Each with a line for the list of commands; None: the first line of its own help."""

for name, function, line in COMMANDS:
    app.command(name, short_help=line, epilog=EVERYWHERE)(function)
app.command("retry", hidden=True, epilog=EVERYWHERE)(operating.rerun)

"""`mongoq worker-health`: whether a worker works, as an exit code, for probes that run a command."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from typing import Annotated

import typer

from mongoq.cli.options import AsJson, place
from mongoq.cli.output import print_json, say
from mongoq.core.fleet import SILENT

SLOWEST = 5.0


def worker_health(
    context: typer.Context,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Ask a worker's --health-port. Default: look at heartbeats.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(metavar="NAME", help="The host of the worker. Default: this one.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell by the exit code whether a worker of this host works, for probes by command: 0 if one does, else 1.

    With --port it asks the worker itself, whether it is ready. Without, it looks for a heartbeat of this host in
    MongoDB that is younger than 25 s. --json prints {"healthy", "reason"}.
    """
    healthy, reason = _asked(host or "127.0.0.1", port) if port else _by_heartbeat(context, host)
    if as_json:
        print_json({"healthy": healthy, "reason": reason})
    else:
        say(reason)
    if not healthy:
        raise typer.Exit(1)


def _asked(host: str, port: int) -> tuple[bool, str]:
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/ready", timeout=SLOWEST):
            return True, "the worker is ready"
    except urllib.error.HTTPError as refused:
        return False, refused.read(1_000).decode(errors="replace").strip()
    except OSError as error:
        return False, f"no worker answers on {host}:{port}: {getattr(error, 'reason', error)}"


def _by_heartbeat(context: typer.Context, host: str | None) -> tuple[bool, str]:
    host = host or socket.gethostname()
    with place(context).open(reading=True) as queue:
        now = queue.time()
        ages = sorted(worker.silent(now).total_seconds() for worker in queue.workers() if worker.host == host)
    if not ages:
        return False, f"no worker of {host} has a heartbeat"
    if ages[0] > SILENT.total_seconds():
        return False, f"the last heartbeat of {host} is {ages[0]:.0f} s old"
    return True, f"a worker of {host} sent a heartbeat {max(0.0, ages[0]):.0f} s ago"

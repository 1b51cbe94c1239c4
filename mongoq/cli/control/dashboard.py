"""The command `dashboard`: serve the pages of a namespace in a browser."""

from __future__ import annotations

import os
import re
import sys
from typing import Annotated, Any, Final

import typer

from mongoq import ConfigurationError
from mongoq.cli.options import AsJson, duration, place, span_option
from mongoq.cli.output import print_json, say
from mongoq.cli.serving.memory import give_memory_back
from mongoq.core.host.extras import needs

USERS: Final = "MONGOQ_DASHBOARD_USERS"
LOCAL: Final = ("127.0.0.1", "localhost", "::1")


def dashboard(
    context: typer.Context,
    *,
    host: Annotated[
        str, typer.Option(help="The address to listen on; one that other machines can reach needs users.")
    ] = LOCAL[0],
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port; 0 takes a free one.")] = 8765,
    prefix: Annotated[str, typer.Option(help="The path under which a proxy serves it, such as /ops/mongoq.")] = "",
    header: Annotated[
        str | None, typer.Option("--user-header", metavar="NAME", help="The header in which a proxy names the user.")
    ] = None,
    role: Annotated[
        str, typer.Option(help="The role of a user whom the proxy names, or of this machine: viewer, operator, admin.")
    ] = "admin",
    oldest: Annotated[Any, span_option("How long a task may be due before the overview says so.")] = "60s",
    title: Annotated[str | None, typer.Option(help="The title of each page. Default: the namespace.")] = None,
    as_json: AsJson = False,
) -> None:
    """Serve the dashboard of the namespace until Ctrl-C or SIGTERM.

    By default it answers only this machine. With MONGOQ_DASHBOARD_USERS="ann:PASSWORD:admin bob:PASSWORD:viewer" it
    asks for passwords, with --user-header it trusts a proxy. It needs the extra mongoq[dashboard]. --json prints one
    object with its URL when it starts.
    """
    try:
        with needs("mongoq[dashboard]"):
            import uvicorn  # noqa: PLC0415 -- an extra

        from mongoq import dashboard as pages  # noqa: PLC0415 -- as above
    except ModuleNotFoundError as missing:
        raise ConfigurationError(str(missing)) from None
    auth = _auth(pages, os.environ.get(USERS), header, role)
    if host not in LOCAL and not (header or os.environ.get(USERS)):
        raise ConfigurationError(f"--host: {host!r} can be reached from elsewhere: set {USERS}, or give --user-header")
    lag = duration(oldest) if isinstance(oldest, str) else oldest
    give_memory_back()
    with place(context).open(reading=True) as queue:
        queue.time()  # fails here where MongoDB is away, not on the first page
        made = pages.app(queue, auth=auth, oldest=lag, title=title)
        config = uvicorn.Config(
            made, host=host, port=port, root_path=prefix.rstrip("/"), log_level="warning", access_log=False,
            proxy_headers=False, server_header=False, timeout_graceful_shutdown=3,
        )  # fmt: skip
        listening = config.bind_socket()
        listening.listen(128)  # whoever reads the URL may connect at once
        where = f"http://{host}:{listening.getsockname()[1]}{prefix}/"
        print_json({"url": where}) if as_json else say(f"The dashboard of {queue.namespace}: {where}")
        sys.stdout.flush()  # whoever waits for the URL reads a pipe
        uvicorn.Server(config).run([listening])


def _auth(pages: Any, users: str | None, header: str | None, role: str) -> Any:
    """Who may look, by the options; None: this machine, as admin."""
    if role not in pages.ROLES:
        raise ConfigurationError(f"--role: {role!r} is none of {', '.join(pages.ROLES)}")
    if users:
        found = [re.fullmatch(r"([^:\s]+):([^\s]+):([a-z]+)", one) for one in users.split()]
        if not all(found):
            raise ConfigurationError(f"{USERS}: give NAME:PASSWORD:ROLE, separated by spaces")
        return pages.basic({one[1]: (one[2], one[3]) for one in found if one})
    if header:
        return pages.header(header, default=role)
    return None if role == "admin" else pages.local(role)

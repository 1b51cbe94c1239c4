"""Flask: a queue of the application, transactions, and a command that runs its tasks in the application's context.

tasks = Tasks()

def create_app() -> Flask:
app = Flask(__name__)
app.config.from_prefixed_env()      # FLASK_MONGOQ_URI
init_app(app, tasks)
return app

flask --app shop mongoq worker
"""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from mongoq import ConfigurationError, Fault, Queue, Tasks
from mongoq.contrib.joining import make_ready
from mongoq.core.host.extras import needs
from mongoq.storage.drivers.sessions import ClientSession

with needs("flask>=3"):
    import click
    from flask import Flask, current_app
    from flask.cli import AppGroup

__all__ = ["get_queue", "init_app", "transaction"]

NAME: Final = "mongoq"


def init_app(app: Flask, *tasks: Tasks | Queue) -> Queue:
    """Give an application a queue, which runs the functions of these `Tasks`; `get_queue()` finds it.

    MONGOQ_URI of the application's configuration says where (default: that of the environment), MONGOQ_OPTIONS is a
    dict with the options of `Queue`. Tasks run in an application context, and the group of commands `flask mongoq` is
    added. Raises ConfigurationError where the configuration is not acceptable, or the application has a queue.
    """
    if NAME in app.extensions:
        raise ConfigurationError([Fault("app", repr(app), "one without a queue: init_app was called before")])
    queue = Queue(app.config.get("MONGOQ_URI"), **app.config.get("MONGOQ_OPTIONS", {}))

    @queue.middleware
    def in_context(_: Any) -> Iterator[None]:
        with app.app_context():
            yield

    queue.include(*tasks)
    app.extensions[NAME] = queue
    app.cli.add_command(_commands())
    atexit.register(queue.close)
    return queue


def get_queue() -> Queue:
    """The queue of the current application; ConfigurationError where it has none."""
    queue: Queue | None = current_app.extensions.get(NAME)
    if queue is None:
        raise ConfigurationError([Fault("app", repr(current_app), "one that init_app(app, tasks) was called for")])
    return queue


@contextmanager
def transaction() -> Iterator[ClientSession]:
    """A transaction on the queue's client: what is written with `session=session`, tasks as well, is there or is not.

    It commits where the block ends, and aborts where that raises; a write conflict raises, and does not run the block
    again.
    """
    queue = get_queue()
    make_ready(queue)
    client = queue._base.driver.connection.database.client  # noqa: SLF001 -- the session has to be of this client
    with client.start_session() as session, session.start_transaction():
        yield session


def _commands() -> AppGroup:
    group = AppGroup(NAME, help="Run the tasks of the application.")

    @group.command("worker")
    @click.option("--queues", help="Names, with commas. Default: those that the task functions name.")
    @click.option("--workers", type=int, help="Tasks at once. Default: the CPU cores; 100 coroutines.")
    @click.option("--burst", is_flag=True, help="Stop when no task is ready any more.")
    def worker(queues: str | None, workers: int | None, burst: bool) -> None:
        """Run tasks until SIGTERM or Ctrl-C."""
        queue = get_queue()
        try:
            queue.run(queues=queues.split(",") if queues else None, workers=workers, burst=burst)
        except ConfigurationError as error:
            raise click.UsageError(str(error)) from error

    return group

"""`manage.py mongoq_worker`: run the tasks of a backend until SIGTERM or Ctrl-C."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from mongoq import ConfigurationError
from mongoq.contrib.django import compat
from mongoq.contrib.django.queues import get_queue
from mongoq.contrib.django.running import include_shared, include_tasks


class Command(BaseCommand):  # type: ignore[misc] # Django brings no types
    """Run a worker for a backend of TASKS."""

    help = "Run the tasks of a backend of TASKS until SIGTERM or Ctrl-C; running tasks get the queue's grace to end."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--backend", default="default", help="The alias of the backend in TASKS.")
        parser.add_argument("--queues", default=None, help="Names, with commas. Default: the QUEUES of the backend.")
        parser.add_argument("--workers", type=int, default=None, help="Tasks at once. Default: the CPU cores.")
        parser.add_argument("--executor", choices=["threads", "processes"], default=None, help="Default: threads.")
        parser.add_argument("--burst", action="store_true", help="Stop when no task is ready any more.")

    def handle(self, *_: Any, **options: Any) -> None:
        """Run."""
        alias = options["backend"]
        try:
            queue = get_queue(alias)
            paths = include_tasks(alias, queue)
            shared = include_shared(alias, queue)
            if not paths and not shared:
                raise CommandError(f"no task of the backend {alias!r} is defined in a `tasks` module of INSTALLED_APPS")
            named = options["queues"].split(",") if options["queues"] else sorted(compat.task_backends()[alias].queues)
            told = f", {len(shared)} shared tasks" if shared else ""
            where = ", ".join(named) or "of the tasks"
            self.stdout.write(f"mongoq: {len(paths)} tasks{told}, queues {where}, {queue!r}")
            with queue:
                queue.run(
                    queues=named or None, workers=options["workers"], executor=options["executor"],
                    burst=options["burst"],
                )  # fmt: skip
        except ConfigurationError as error:
            raise CommandError(str(error)) from error

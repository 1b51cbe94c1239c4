"""Run a command line and return its exit code: 0 ok, 1 failed, 2 usage, 3 MongoDB unreachable, 130 Ctrl-C."""

from __future__ import annotations

import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import typer

from mongoq import ConfigurationError, InvalidTask, MongoqError, Stop, StorageUnavailable
from mongoq.cli.app import HARMFUL, app
from mongoq.cli.output import note
from mongoq.core.validation import did_you_mean, shortened

FAILED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
INTERRUPTED: Final = 130

ANYWHERE: Final = ("--uri", "--namespace")
"""Options of `mongoq` itself that may also follow the command."""
COMPLETION: Final = "_MONGOQ_COMPLETE"
"""The variable by which a shell asks what may follow."""
JSON: Final = "--json"
"""An option of every command that may also precede the command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. An error is one line on stderr.

    With MONGOQ_DEBUG set, its traceback precedes it.
    """
    _prepare_streams()
    try:
        code = _run(hoisted(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output has closed it. Python would report it again when it flushes stdout at its end.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt as interruption:
        if told := notes_of(interruption):
            note(f"interrupted{told}")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 -- every error becomes an exit code
        if os.environ.get("MONGOQ_DEBUG"):
            traceback.print_exc()
        code, text = explained(error)
        note(text)
    return code


def hoisted(arguments: Sequence[str]) -> list[str]:
    """Move the options of `mongoq` itself before the command, and --json after it."""
    moved: list[str] = []
    others: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            others += [argument, *rest]
        elif argument in ANYWHERE:
            value = next(rest, None)
            if value is None:
                others.append(argument)  # typer reports it
            else:
                moved += [argument, value]
        elif argument.startswith(tuple(f"{name}=" for name in ANYWHERE)):
            moved.append(argument)
        else:
            others.append(argument)
    if JSON in others[:1] and len(others) > 1:
        others = [others[1], JSON, *others[2:]]
    return [*moved, *others]


def command_of(arguments: Sequence[str]) -> str | None:
    """The command among hoisted arguments; None: there is none."""
    rest = iter(arguments)
    for argument in rest:
        if argument in ANYWHERE:
            next(rest, None)
        elif not argument.startswith("-"):
            return argument
    return None


def notes_of(error: BaseException) -> str:
    """What mongoq noted on an error: how far the work had come, or under which key to call again."""
    return "".join(f"; {told}" for told in getattr(error, "__notes__", ()))


def explained(error: Exception) -> tuple[int, str]:
    """The exit code of an error, and the line to print."""
    if isinstance(error, ConfigurationError | InvalidTask):
        return USAGE, str(error)
    if isinstance(error, StorageUnavailable):
        # The other messages, such as for a slow server or an embedded one that does not start, say what to do.
        advice = "; does it run, and does MONGOQ_URI name it?" if str(error).startswith("no MongoDB") else ""
        return UNREACHABLE, f"{error}{advice}{notes_of(error)}"
    if isinstance(error, MongoqError):
        return FAILED, f"{error}{notes_of(error)}"
    if isinstance(error, Stop):
        return FAILED, f"a handler has stopped this worker: {error.reason or 'it raised Stop without a reason'}"
    if hasattr(error, "format_message"):
        # A usage error of typer. Since 0.26 it ships its own click, so the classes share no base to import.
        return _usage(error)
    if isinstance(error, OSError):
        return FAILED, f"{error.strerror or type(error).__name__}: {error.filename or 'no file named'}"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}, line {frame.lineno}"
    return FAILED, f"a fault of mongoq itself: {type(error).__name__} in {where} (MONGOQ_DEBUG=1 shows all of it)"


def _run(arguments: list[str]) -> int:
    if COMPLETION in os.environ:
        app(arguments, prog_name="mongoq")  # it answers the shell and exits
    # Else not app(): it handles a broken pipe and Ctrl-C itself, with other exit codes.
    command = typer.main.get_command(app)
    known: dict[str, Any] = command.commands  # type: ignore[attr-defined]  # of whichever click it is
    wanted = command_of(arguments)
    if wanted is not None and wanted not in known:
        # Not the suggestion of typer: it knows nothing of harm, and answered `pause` with `purge`.
        offered = [name for name in known if name not in HARMFUL and not known[name].hidden]
        note(f"no such command {shortened(wanted)}{did_you_mean(wanted, offered)} (see mongoq --help)")
        return USAGE
    try:
        with command.make_context("mongoq", arguments) as context:
            command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    return 0


def _usage(error: Any) -> tuple[int, str]:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "mongoq"
    return error.exit_code, f"{error.format_message().removeprefix('Invalid value: ').rstrip('.')} (see {path} --help)"


def _prepare_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # The driver warns of unknown options in the URI; Python would print a line of the driver's source with it.
    warnings.showwarning = lambda message, *_, **__: note(str(message))

"""The command line: every command is a few lines over the public API.

`entry.main` is the only place that turns errors into exit codes and one line on stderr. `output` is the only
place that prints what comes from tasks: it makes control characters visible, so that no task can drive the
terminal it is shown on. Nothing here prints a URI, which may hold a password, except the embedded server's own,
which has none.
"""

from mongoq.cli.entry import main

__all__ = ["main"]

"""The command line: each command is a few lines over the public API.

`entry.main` alone turns errors into exit codes and one line on stderr. `output` alone prints text from tasks: it
escapes control characters, so that no task can control the terminal. No command prints a URI, which may hold a
password, except that of an embedded server, which has none.
"""

from mongoq.cli.entry import main

__all__ = ["main"]

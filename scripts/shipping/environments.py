"""Empty environments, and what is run in them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
_NOT_PASSED_ON: Final = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYENV_VERSION")


class Failed(Exception):
    """A command failed."""


class Environment:
    """A virtual environment, made anew."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.python = folder / "bin" / "python"
        run([base, "-m", "venv", "--clear", folder])

    def install(self, *wanted: str | Path) -> None:
        """Install distributions or requirements."""
        run([self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted])

    def run(self, *arguments: str | Path, cwd: Path) -> str:
        """Run Python with these arguments, and return what it printed; Failed where its exit code is not 0."""
        return run([self.python, *arguments], cwd=cwd)


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def run(command: Sequence[str | Path], *, cwd: Path = ROOT) -> str:
    """Run a command and return what it printed; Failed, with that, where its exit code is not 0."""
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}
    done = subprocess.run(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise Failed(f"{shlex.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-4_000:]}")
    return done.stdout


def project() -> dict[str, Any]:
    """The table `project` of pyproject.toml."""
    told: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return told


def told_and_left(error: Failed) -> int:
    """Report a failure; the exit code."""
    print(error, file=sys.stderr, flush=True)
    return 1

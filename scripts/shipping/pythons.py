"""The Pythons of this machine that mongoq supports."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

OLDEST: Final = (3, 11)
NEWEST_ASKED_FOR: Final = 20
"""The minor version before which names on the PATH are tried."""
_ASK: Final = "import ensurepip, sys, venv; print(*sys.version_info[:3], sys.executable)"


class Python(NamedTuple):
    """An interpreter that runs."""

    version: tuple[int, int, int]
    path: Path

    @property
    def minor(self) -> str:
        """Its version as `3.11`."""
        return f"{self.version[0]}.{self.version[1]}"


def found() -> list[Python]:
    """All that run, the newest patch of each version, the oldest version first.

    Those of pyenv are found by their path: its shims are on the PATH, but run only for the versions that it has chosen.
    """
    running = [python for path in _candidates() if (python := _asked(path)) and python.version[:2] >= OLDEST]
    best = {python.version[:2]: python for python in sorted(running)}
    return [best[version] for version in sorted(best)]


def _candidates() -> list[Path]:
    names = ["python3", *(f"python3.{minor}" for minor in range(OLDEST[1], NEWEST_ASKED_FOR))]
    on_path = [Path(path) for name in names if (path := shutil.which(name))]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return [*sorted((pyenv / "versions").glob("*/bin/python")), *on_path]


def _asked(path: Path) -> Python | None:
    """An interpreter and its version; None where it cannot run, or cannot make an environment."""
    try:
        subprocess.run([path, "-c", "pass"], check=True, capture_output=True, timeout=60)
        told = subprocess.run([path, "-c", _ASK], check=True, capture_output=True, text=True)
    except (OSError, subprocess.SubprocessError):
        return None
    major, minor, patch, executable = told.stdout.split(maxsplit=3)
    return Python((int(major), int(minor), int(patch)), Path(executable.strip()))

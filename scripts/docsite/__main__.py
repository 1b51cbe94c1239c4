"""Assemble the source of the site and build it; the first argument names the folder, build/docs by default."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from docsite.assemble import ROOT, assemble


def main() -> int:
    """Build the site; the exit code is the generator's, and 1 where it has a warning."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "docs"
    settings = assemble(target.resolve())
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file", str(settings)]
    done = subprocess.run(command, check=False)
    if done.returncode == 0:
        print(f"docs: {target / 'site' / 'index.html'}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())

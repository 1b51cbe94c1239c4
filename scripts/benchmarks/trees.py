"""Revisions of this repository side by side: each in a tree of its own, each run with its own code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parents[2]
"""The working tree."""
PROBE: Final = """
import json, mongoq, benchmarks.bench
print(json.dumps([mongoq.__file__, benchmarks.__file__, list(benchmarks.bench.BENCHMARKS)]))
"""
PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Tree:
    """A revision that lies in a folder, and the folder whose benchmarks measure it."""

    name: str
    root: Path
    scripts: Path

    def benchmarks(self) -> list[str]:
        """The benchmarks it has.

        Raises RuntimeError where another mongoq than this tree's would be measured, or where these benchmarks
        cannot be imported beside this tree's package.
        """
        command = [sys.executable, "-c", PROBE]
        done = subprocess.run(
            command, cwd=self.root, env=self._environment(), text=True, capture_output=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"the benchmarks of {self.scripts} do not run on {self.name}:\n{done.stderr}")
        package, measuring, names = json.loads(done.stdout)
        for file, folder in ((package, self.root), (measuring, self.scripts)):
            if not Path(file).resolve().is_relative_to(folder.resolve()):
                raise RuntimeError(f"{self.name} would be measured with {file}, which is not under {folder}")
        return list(names)

    def run(self, benchmark: str, uri: str, size: Sequence[str]) -> dict[str, Any]:
        """Run one round of a benchmark in a process of its own and return what it prints as JSON.

        Raises RuntimeError with the end of its stderr where it fails.
        """
        command = [sys.executable, "-m", "benchmarks", benchmark, "--repeat", "1", "--json", "--uri", uri, *size]
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C goes to this process, which then stops it
        )
        try:
            out, errors = process.communicate()
        except BaseException:
            process.terminate()  # it clears its namespaces and workers away
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=PATIENCE)
            process.kill()
            raise
        if process.returncode:
            raise RuntimeError(f"{benchmark} failed on {self.name}:\n{errors[-2000:]}")
        told: dict[str, Any] = json.loads(out)
        return told

    def _environment(self) -> dict[str, str]:
        # Before site-packages: an editable install of the working tree is found only after these.
        path = [str(self.scripts), str(self.root)]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def trees(revision: str, folder: Path, benchmarks: str) -> Sequence[Tree]:
    """Check `revision` out into `folder`; return its tree and the working tree.

    `benchmarks` is "own" where each runs its own, "here" where both run those of the working tree.
    Raises RuntimeError where there is no such revision.
    """
    commit = _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", why=f"no revision {revision!r}").strip()
    archive = folder / "tree.tar"
    _git("archive", "--output", str(archive), commit, why=f"{revision} cannot be checked out")
    root = folder / "tree"
    with tarfile.open(archive) as packed:
        packed.extractall(root, filter="data")
    scripts = HERE if benchmarks == "here" else root
    return Tree(f"{revision} ({commit[:7]})", root, scripts / "scripts"), Tree("working tree", HERE, HERE / "scripts")


def _git(*arguments: str, why: str) -> str:
    command = ["git", "-C", str(HERE), *arguments]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{why}: {done.stderr.strip() or 'git does not know it'}")
    return done.stdout

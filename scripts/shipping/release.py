"""`./scripts/release`: build the distributions, try them in empty environments, and tag. It publishes nothing.

It tries the wheel as `mongoq[embedded,testing]` on the oldest and the newest Python of this machine: the self-check and
the demo. It unpacks the source distribution and runs its unit tests there, and it tries each extra alone. `--dry-run`
does all but the tag, and so takes an unclean checkout too.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from shipping.environments import ROOT, Environment, Failed, project, run, say, told_and_left
from shipping.features import FEATURES
from shipping.pythons import Python, found
from shipping.requirements import of_tests

EXTRAS = "embedded,testing"
DIST = ROOT / "dist"


def check_wheel(wheel: Path) -> None:
    """Failed where a wheel has the tests, or lacks what makes it typed or a pytest plugin."""
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.partition("/")[0] for name in names}
    strange = [top for top in tops if top not in {"mongoq", "pytest_mongoq.py"} and not top.endswith(".dist-info")]
    lacking = {"mongoq/py.typed", "pytest_mongoq.py"} - names
    if strange or lacking:
        raise Failed(f"{wheel.name} has {sorted(strange)} and lacks {sorted(lacking)}")


def ready_to_tag(version: str) -> None:
    """Failed where the checkout has changes, the tag is there, or the changelog does not name the version."""
    if run(["git", "status", "--porcelain"]).strip():
        raise Failed("the checkout has changes: commit them first")
    if run(["git", "tag", "--list", f"v{version}"]).strip():
        raise Failed(f"the tag v{version} is there already: raise `version` in pyproject.toml")
    if not re.search(rf"^## {re.escape(version)}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE):
        raise Failed(f"CHANGELOG.md has no heading `## {version}`: rename `## Unreleased`, with the date")


def built(folder: Path, python: Python) -> tuple[Path, Path]:
    """Build both distributions into `dist`: the wheel is built from the source distribution."""
    shutil.rmtree(DIST, ignore_errors=True)
    environment = Environment(folder / "building", python.path)
    environment.install("hatchling>=1.26")
    environment.run("-m", "hatchling", "build", "--target", "sdist", "--directory", DIST, cwd=ROOT)
    (source,) = DIST.glob("*.tar.gz")
    unpacked = unpack(source, folder)
    environment.run("-m", "hatchling", "build", "--target", "wheel", "--directory", DIST, cwd=unpacked)
    (wheel,) = DIST.glob("*.whl")
    check_wheel(wheel)
    say(f"built {source.relative_to(ROOT)} and {wheel.relative_to(ROOT)}")
    return unpacked, wheel


def unpack(source: Path, folder: Path) -> Path:
    """Unpack a source distribution; its folder."""
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    return folder / source.name.removesuffix(".tar.gz")


def try_wheel(wheel: Path, folder: Path, python: Python, version: str) -> Environment:
    """Install a wheel into an empty environment; run its self-check and its demo in an empty folder."""
    environment = Environment(folder / f"python{python.minor}", python.path)
    environment.install(f"{wheel}[{EXTRAS}]")
    empty = folder / f"empty{python.minor}"
    empty.mkdir()
    told = environment.run("-m", "mongoq", "--version", cwd=empty).strip()
    if told != f"mongoq {version}":
        raise Failed(f"the wheel says it is {told!r}, and pyproject.toml {version}")
    say(environment.run("-m", "mongoq.testing.selfcheck", cwd=empty).rstrip())
    say(environment.run("-m", "mongoq", "demo", "--seconds", "5", cwd=empty).rstrip())
    return environment


def try_extras(wheel: Path, folder: Path, python: Python) -> None:
    """Install a wheel with each extra alone into an empty environment, and run what the extra is for."""
    for extra, program in FEATURES.items():
        environment = Environment(folder / f"extra-{extra}", python.path)
        environment.install(f"{wheel}[{extra}]")
        environment.run("-W", "error", "-c", program, cwd=folder)
    say(f"each extra works alone: {', '.join(FEATURES)}")


def try_source(unpacked: Path, wheel: Path, environment: Environment) -> None:
    """Run the unit tests of a source distribution, from its folder; they want all extras."""
    environment.install(f"{wheel}[{','.join(FEATURES)}]", *of_tests())
    told = environment.run("-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "tests/unit", cwd=unpacked)
    say(f"the unit tests of the source distribution: {told.rstrip().rpartition(chr(10))[2]}")


def release(*, dry: bool) -> None:
    """Do all steps in order; Failed at the first that fails."""
    version = project()["version"]
    if not dry:
        ready_to_tag(version)
    pythons = found()
    if not pythons:
        raise Failed("no Python 3.11 or later runs here")
    with tempfile.TemporaryDirectory(prefix="mongoq-release-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        unpacked, wheel = built(folder, pythons[0])
        tried = [try_wheel(wheel, folder, python, version) for python in sorted({pythons[0], pythons[-1]})]
        try_source(unpacked, wheel, tried[0])
        try_extras(wheel, folder, pythons[-1])
    if dry:
        say(f"it would tag v{version}")
        return
    run(["git", "tag", "--annotate", f"v{version}", "--message", f"mongoq {version}"])
    say(f"tagged v{version}; dist/ has what is to be published")


def main() -> int:
    """Release, and return the exit code."""
    parser = argparse.ArgumentParser(prog="./scripts/release", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="all but the tag")
    try:
        release(dry=parser.parse_args().dry_run)
    except Failed as error:
        return told_and_left(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())

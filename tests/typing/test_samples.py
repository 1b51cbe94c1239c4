"""mypy and pyright accept the good samples, and find every marked mistake of the bad ones and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
GOOD: Final = [Path(__file__).with_name(name) for name in ("good.py", "good_functions.py")]
BAD: Final = [Path(__file__).with_name(name) for name in ("bad.py", "bad_functions.py")]
SAMPLES: Final = [str(path) for path in (*GOOD, *BAD)]

KINDS: Final = {
    "argument": {"arg-type", "dict-item", "reportArgumentType"},
    "option": {"call-arg", "reportCallIssue"},
    "attribute": {"attr-defined", "reportAttributeAccessIssue"},
    "none": {"union-attr", "reportOptionalMemberAccess"},
    "await": {"unused-coroutine", "reportUnusedCoroutine"},
    "result": {"assignment", "reportAssignmentType"},
    "overload": {"call-overload", "reportCallIssue"},
    "call": {"arg-type", "call-arg", "reportCallIssue", "reportArgumentType"},
    "tempo": {"attr-defined", "misc", "reportGeneralTypeIssues", "reportAttributeAccessIssue"},
}
"""What a mark says, and the codes of both checkers for it. `tempo`: `with` for `async with` and the like."""

Found = Mapping[str, Mapping[int, set[str]]]
"""The codes of the errors, by file and line."""


def by_mypy() -> Found:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--output", "json", *SAMPLES]
    told = [json.loads(line) for line in run(command).splitlines()]
    return found((error["file"], error["line"], error["code"]) for error in told if error["severity"] == "error")


def by_pyright() -> Found:
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, *SAMPLES]
    told = json.loads(run(command))
    assert told["summary"]["filesAnalyzed"] == len(SAMPLES)
    return found(
        (error["file"], error["range"]["start"]["line"] + 1, error.get("rule", "syntax"))
        for error in told["generalDiagnostics"]
    )


def run(command: list[str]) -> str:
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def found(errors: Iterable[tuple[str, int, str]]) -> Found:
    codes: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for file, line, code in errors:
        codes[Path(file).name][line].add(code)
    return codes


def marked(path: Path) -> dict[int, str]:
    lines = enumerate(path.read_text().splitlines(), 1)
    return {number: mark[1] for number, line in lines if (mark := re.search(r"# error: (\w+)$", line))}


@pytest.mark.parametrize("check", [by_mypy, by_pyright])
def test_a_type_checker_finds_the_marked_mistakes_and_no_others(check: Callable[[], Found]) -> None:
    errors = check()

    assert errors.keys() == {path.name for path in BAD}, "the good samples are good"
    for path in BAD:
        marks = marked(path)
        assert len(marks) > 20, "the marks are read"
        assert sorted(errors[path.name]) == sorted(marks), path.name
        for line, codes in errors[path.name].items():
            assert codes <= KINDS[marks[line]], f"{path.name}, line {line}"

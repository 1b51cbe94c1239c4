"""The limits of STYLE: how long a file may be, and how many a folder may hold."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import mongoq

PACKAGE: Final = Path(mongoq.__file__).parent
ROOT: Final = PACKAGE.parent
LONGEST: Final = 250
LONGEST_TESTS: Final = 320
OWN_LENGTHS: Final = {
    "tests/contrib/test_django.py": 400,  # Django is set up once in a process
    "tests/work/process_handlers.py": 560,  # a module that children import by its name
}
MOST_FILES: Final = 16
FILES: Final = [path.relative_to(ROOT).as_posix() for path in sorted(PACKAGE.rglob("*.py"))]
TESTS: Final = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "tests").rglob("*.py"))]


def test_no_file_is_longer_than_it_may_be() -> None:
    assert not {name: lines for name, lines in lengths(FILES).items() if lines > LONGEST}


def test_no_file_of_tests_is_longer_than_it_may_be() -> None:
    assert not {name: lines for name, lines in lengths(TESTS).items() if lines > OWN_LENGTHS.get(name, LONGEST_TESTS)}


def lengths(names: list[str]) -> dict[str, int]:
    return {name: len((ROOT / name).read_text().splitlines()) for name in names}


def test_no_folder_holds_more_files_than_it_may() -> None:
    counts = Counter(name.rpartition("/")[0] for name in FILES)
    assert not {folder: count for folder, count in counts.items() if count > MOST_FILES}

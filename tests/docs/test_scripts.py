from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_run_of_all_tests_names_every_folder_once() -> None:
    named = re.findall(r"tests/(\w+)", (ROOT / "scripts/test").read_text())

    assert sorted(named) == sorted({path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")})

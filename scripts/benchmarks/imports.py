"""`import`: what `import mongoq` costs beyond `import pymongo`, in fresh interpreters; the limit is pymongo's own."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from benchmarks.report import Row
from benchmarks.setting import Setting

CODE = """
import time
began = time.perf_counter()
import pymongo
between = time.perf_counter()
import mongoq
print([(time.perf_counter() - between) * 1000, (between - began) * 1000])
"""
INTERPRETERS = 7


def imports(setting: Setting) -> list[Row]:
    """Take the median of some interpreters for each round; the first fills the file cache."""
    _fresh()
    measured = [[_fresh() for _ in range(INTERPRETERS)] for _ in range(setting.rounds())]
    ours, pymongo = ([statistics.median(pair[side] for pair in row) for row in measured] for side in (0, 1))
    return [Row("import", "ms", ours, pymongo)]


def _fresh() -> list[float]:
    done = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    pair: list[float] = json.loads(done.stdout)
    return pair

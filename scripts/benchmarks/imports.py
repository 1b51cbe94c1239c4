"""`import`: what `import mongoq` costs beyond `import pymongo`, in fresh interpreters; the limit is pymongo's own.

Both from bytecode, as where they are installed, even if this checkout keeps none: compiling mongoq takes as long again.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile

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
    with tempfile.TemporaryDirectory() as bytecode:
        _fresh(bytecode)
        measured = [[_fresh(bytecode) for _ in range(INTERPRETERS)] for _ in range(setting.rounds())]
    ours, pymongo = ([statistics.median(pair[side] for pair in row) for row in measured] for side in (0, 1))
    return [Row("import", "ms", ours, pymongo)]


def _fresh(bytecode: str) -> list[float]:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    pair: list[float] = json.loads(done.stdout)
    return pair

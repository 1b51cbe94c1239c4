"""Install the fault that MONGOQ_FAULT names in every Python that starts with this folder on its PYTHONPATH.

So a fault reaches the workers and children that a test starts, too.
"""

import os
import sys
from pathlib import Path

if name := os.environ.get("MONGOQ_FAULT"):
    sys.path.append(str(Path(__file__).parents[3]))
    from proving.seeded import MUTANTS
    from proving.seeded.hook import install

    install(MUTANTS[name])

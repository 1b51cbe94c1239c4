from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_run_of_all_tests_names_every_folder_once() -> None:
    everything = (ROOT / "scripts/test").read_text().partition("failed=0")[2]
    named = re.findall(r"tests/(\w+)", everything)

    assert sorted(named) == sorted({path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")})


def test_a_child_of_a_test_ends_at_ctrl_c() -> None:
    program = "import time; print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout
        child.stdout.readline()
        child.send_signal(signal.SIGINT)
        try:
            assert child.wait(60) == -signal.SIGINT
        finally:
            child.kill()


def test_a_run_that_is_started_with_sigint_ignored_heeds_it_all_the_same() -> None:
    """A shell without job control starts what has a `&` like that: `nohup ./scripts/test &` in a script."""
    chosen = f"{Path(__file__).relative_to(ROOT)}::{test_a_child_of_a_test_ends_at_ctrl_c.__name__}"
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", chosen]
    shell = ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", *pytest]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(shell, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout

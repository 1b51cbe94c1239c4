"""The queue of the environment: made when it is first asked for, closed when the process ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import mongoq

@mongoq.task(queue="mail")
def welcome(user: int) -> int:
    return user + 1

assert mongoq.default._DEFAULT._made is None, "nothing is opened by a definition"
handle = welcome.new(41)
assert mongoq.default_queue() is mongoq.default_queue() is welcome.queue
mongoq.default_queue().run(burst=True)
print(handle.result(timeout=60), handle.task.queue, mongoq.default_queue().namespace)
mongoq.default_queue().close()
print(welcome.new(1).task.name)
"""


def run(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    names = {name: value for name, value in os.environ.items() if not name.startswith("MONGOQ_")}
    return subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=60, check=False, env=names | environment
    )


def test_it_is_made_from_the_environment_at_the_first_call_and_again_once_closed(uri: str, tmp_path: Path) -> None:
    done = run(tmp_path, MONGOQ_URI=uri, MONGOQ_NAMESPACE=f"t-{os.urandom(4).hex()}")
    assert done.returncode == 0, done.stderr
    first, again = done.stdout.splitlines()
    assert first.startswith("42 mail t-")
    assert again == "welcome"


def test_without_a_uri_the_first_call_says_so(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 1
    assert "MONGOQ_URI" in done.stderr.splitlines()[-1]

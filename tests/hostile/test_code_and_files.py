"""Nothing that a database says is run, and what lies on the disk is the user's alone."""

from __future__ import annotations

import ast
import json
import pickle
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import mongoq
from tests.hostile.test_documents import LONG_AGO

PACKAGE = Path(mongoq.__file__).parent
RUNS = {"eval", "exec", "compile", "__import__", "import_module", "marshal", "shelve", "yaml", "dill", "cloudpickle"}
PIPES = {
    *(f"worker/executors/children/{name}.py" for name in ("blueprint", "messages", "outcome", "process", "program")),
    "worker/handlers/signature.py",
}
"""A worker and its own children speak in pickles, over a pipe that nobody else has."""
MAY_IMPORT = {"__init__.py", "cli/serving/loading.py", "contrib/celery/shared.py", "contrib/django/compat.py"}
"""The names of the worker and of Django's modules are lists of the package's own; the user names the handler on the
command line; a child process imports the module of a handler that its own worker names."""


def names_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.name.partition(".")[0] for alias in node.names)
            yield (getattr(node, "module", None) or "").partition(".")[0]
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name):
                yield called.id
            elif isinstance(called, ast.Attribute) and called.attr != "compile":  # re.compile
                yield called.attr


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_unpickles_or_imports_what_a_task_says(path: Path) -> None:
    room = path.relative_to(PACKAGE).as_posix()
    names = set(names_in(path))
    assert not names & (RUNS - ({"import_module"} if room in MAY_IMPORT else set()))
    assert "pickle" not in names or room in PIPES


class Gadget:
    """What runs a command where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_pickle_in_a_task_comes_back_as_bytes(fresh: Any, tally: Any, tmp_path: Path, executor: str) -> None:
    mark = tmp_path / "ran"
    blob = pickle.dumps(Gadget(mark))
    key = fresh.queue.new({"a": blob}, payload=blob, keep_completed=60, max_retries=0).key
    tally["inputs"] += 1
    handler: Any = echo if executor == "threads" else json.dumps
    # A child imports its handler; this one fails there, with the task unpacked.
    fresh.queue.run(handler, executor=executor, burst=True)
    task = fresh.queue.get(key)
    assert task.finished
    assert (task.payload, task.tags) == (blob, {"a": blob})
    assert not mark.exists()


def echo(task: mongoq.Task) -> Any:
    return task.payload


def test_a_task_that_names_code_imports_nothing(fresh: Any, tally: Any) -> None:
    names = {"name": "antigravity:fly", "handler": "os.system", "module": "this", "backoff": {"kind": "os.system"}}
    document = {"_id": "k", "queue": "default", "state": "ready", "priority": 1, "run_at": LONG_AGO, "version": 1}
    fresh.collection.insert_one({**document, **names, "policy": names, "tags": names})
    tally["inputs"] += 1
    fresh.moves_on()
    assert not {"antigravity", "this"} & sys.modules.keys()


def test_the_files_of_the_embedded_server_are_private_and_it_listens_on_loopback_alone(server: Any) -> None:
    for path in (server.folder, *server.folder.rglob("*")):
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            continue  # the server removes files of its own meanwhile
        if not stat.S_ISLNK(mode):
            assert not stat.S_IMODE(mode) & 0o077, (path, oct(mode))
    port = urlsplit(server.uri.partition("?")[0]).port
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: it only says which address this host has
        own = probe.getsockname()[0]
    if own.startswith("127."):
        pytest.skip("this host has no other address")
    with socket.socket() as outside:
        outside.settimeout(5)
        assert outside.connect_ex((own, port)) != 0

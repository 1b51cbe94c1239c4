"""Programs in other languages enqueue by one insert, as docs/producers.md prints it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest

from docsite.assemble import assemble
from mongoq import Queue, Task
from mongoq.embedded.server import EmbeddedServer
from mongoq.storage.documents.contract.schema import REQUIRED
from tests.docs.pages import ROOT, blocks

NODE = shutil.which("node")
os.environ.setdefault("NODE_PATH", str(ROOT / "build" / "node" / "node_modules"))  # where ./scripts/setup node puts it
MONGOSH = shutil.which("mongosh")
PROGRAMS = {block.title: block.code for block in blocks(ROOT / "docs" / "producers.md", "javascript")}
SHELL = """
const { MongoClient } = require("mongodb")
const vm = require("vm")
const client = new MongoClient(process.env.MONGOQ_URI)
const db = { getCollection: name => client.db("shop").collection(name) }
vm.runInNewContext(SCRIPT, { db, Date }).then(() => client.close())
"""
"""As much of mongosh as the script uses."""


def _has_driver() -> bool:
    asked = [NODE or "node", "-e", "require('mongodb')"]
    return NODE is not None and subprocess.run(asked, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _has_driver(), reason="node and its package mongodb are not there: ./scripts/setup node")
@pytest.mark.parametrize("program, user", [("enqueue.js", 43), ("enqueue.mongosh.js", 42)])
def test_one_insert_from_javascript_is_a_task(server: EmbeddedServer, program: str, user: int, tmp_path: Path) -> None:
    namespace = f"t-{secrets.token_hex(4)}"
    code = PROGRAMS[program].replace("shop.tasks", f"{namespace}.tasks")
    uri = server.uri.replace("/?", "/shop?")
    with Queue(uri, namespace=namespace) as queue:
        queue.init(validator=True)
        done = _ran(program, code, uri, tmp_path)
        assert done.returncode == 0, done.stderr
        again = _ran(program, code, uri, tmp_path)
        assert "E11000" in again.stderr, "a second one of the same key, or the same `unique`, is refused"
        seen: list[Task] = []
        queue.run(seen.append, queues=["mail"], burst=True)
        assert [(task.name, task.tags["user"]) for task in seen] == [("welcome", user)]


def _ran(program: str, code: str, uri: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program, that for mongosh in mongosh where there is one."""
    of_shell = program.endswith("mongosh.js")
    file = folder / program
    file.write_text(SHELL.replace("SCRIPT", json.dumps(code)) if of_shell and not MONGOSH else code)
    command: list[str | Path] = [MONGOSH, uri, "--quiet", "--file", file] if of_shell and MONGOSH else [str(NODE), file]
    return subprocess.run(command, env={**os.environ, "MONGOQ_URI": uri}, capture_output=True, text=True, check=False)


def test_the_programs_compile() -> None:
    assert PROGRAMS.keys() == {"enqueue.js", "enqueue.mongosh.js"}
    for code in PROGRAMS.values() if NODE else ():
        subprocess.run([str(NODE), "--check", "-"], input=code, text=True, check=True, capture_output=True)


def test_the_schema_is_a_file_of_the_site(tmp_path: Path) -> None:
    assemble(tmp_path)
    schema = json.loads((tmp_path / "src" / "schema.json").read_text())
    assert schema["required"] == list(REQUIRED)
    assert schema["properties"]["run_at"] == {"bsonType": "date", "description": "not before this instant"}

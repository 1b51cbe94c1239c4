"""The Python blocks of a page run, one after the other, as one program on the tests' server.

What a page presumes stands in `preludes/`, in a file of the page's name: names that its blocks use, and `check`, which
is called in the end. `queue.run(...)` is run as a burst; all else runs as it is printed. A block with a title is a part
of the file of that name: it lies in the current folder, and `check` does with it what the page says.
"""

from __future__ import annotations

import importlib.util
import re
import secrets
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from pymongo import MongoClient

from mongoq import Queue
from mongoq.embedded.server import EmbeddedServer
from tests.docs.pages import ROOT, blocks, name_of

FOLDER: Final = Path(__file__).parent / "preludes"
PROGRAMS: Final = [page for page in sorted((ROOT / "docs").rglob("*.md")) if blocks(page, "python")]
ONE_BY_ONE: Final = ("asyncio", "claims", "enqueueing", "workers", "concepts/transactions")
NOT_RUN: Final = {
    "docs/testing.md": "tests of an application: tests/testing runs the like",
    "docs/from/celery-django.md": "the same: tests/contrib/test_django.py runs shared tasks in a project",
    "docs/frameworks/django.md": "a project of Django's, which a process sets up once: tests/contrib runs the like",
    **{f"docs/{name}.md": "test_readme.py runs each block by itself" for name in ONE_BY_ONE},
}
"""Pages whose blocks do not run, and why."""


def prelude_of(page: Path) -> Path:
    """Where the names stand that a page presumes."""
    return FOLDER / page.relative_to(ROOT / "docs").with_suffix(".py").as_posix().replace("/", "_").replace("-", "_")


@pytest.mark.parametrize("page", [page for page in PROGRAMS if name_of(page) not in NOT_RUN], ids=name_of)
def test_the_blocks_of_a_page_run(
    page: Path, server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"page_{secrets.token_hex(4)}"
    uri = re.sub(r"/[^/?]*\?", f"/{name}?", server.uri)
    monkeypatch.setenv("MONGOQ_URI", uri)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    program = tmp_path / f"{name}.py"
    program.write_text(_program(page, uri))
    for block in blocks(page, "python"):
        if block.title is not None:
            (tmp_path / block.title).parent.mkdir(exist_ok=True)
            with (tmp_path / block.title).open("a") as file:
                file.write(block.code + "\n\n")
    spec = importlib.util.spec_from_file_location(name, program)
    assert spec
    assert spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    try:
        spec.loader.exec_module(module)
        getattr(module, "check", lambda: None)()
    finally:
        for thing in vars(module).values():
            if isinstance(thing, Queue):
                thing.close()
        with MongoClient[dict[str, Any]](uri) as client:
            client.drop_database(name)


def _program(page: Path, uri: str) -> str:
    prelude = prelude_of(page)
    parts = [prelude.read_text() if prelude.exists() else ""]
    parts += [block.code for block in blocks(page, "python") if block.title is None]
    code = "\n".join(parts)
    futures = "from __future__ import annotations\n"
    code = futures + code.replace(futures, "") if futures in code else code
    code = re.sub(r'"mongodb://[^"]*"', repr(uri), code)
    return re.sub(r"queue\.run\((?=\w*\))", "queue.run(burst=True, handler=", code).replace("handler=)", ")")


def test_every_prelude_belongs_to_a_page() -> None:
    assert {path.name for path in FOLDER.glob("*.py")} <= {prelude_of(page).name for page in PROGRAMS}


def test_what_is_not_run_is_there() -> None:
    assert NOT_RUN.keys() <= {name_of(page) for page in PROGRAMS}

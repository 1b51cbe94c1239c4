from __future__ import annotations

import importlib
import re
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq.embedded.server import EmbeddedServer

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def database_uri(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the URI of a database of the test's own; it is the environment's, too."""
    name = f"contrib_{secrets.token_hex(4)}"
    uri = re.sub(r"/[^/?]*\?", f"/{name}?", server.uri)
    monkeypatch.setenv("MONGOQ_URI", uri)
    yield uri
    with MongoClient[dict[str, Any]](uri) as client:
        client.drop_database(name)


@pytest.fixture
def example(database_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Give `example(name)`: a module of `examples/`, imported anew for this database."""
    monkeypatch.syspath_prepend(EXAMPLES)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(EXAMPLES) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]

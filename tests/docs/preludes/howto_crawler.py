"""Crawl five pages that need no network."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any


def check() -> None:
    crawl: Any = import_module("crawl")
    pages = {f"http://a.example/{n}": f'<a href="/{(n + 1) % 5}#top"> <a href="mailto:ada">' for n in range(5)}
    crawl.fetch = pages.__getitem__
    with crawl.queue as queue:
        crawl.start("http://a.example/0", "http://a.example/3")
        queue.run(burst=True)
        assert sorted((task.key, task.state) for task in queue.tasks()) == [(url, "completed") for url in sorted(pages)]
    del sys.modules["crawl"]

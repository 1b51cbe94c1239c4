"""The crawler of `examples/crawler.py`, tested without network and server."""

from __future__ import annotations

import importlib
import sys
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from mongoq.testing import memory_queue, run_due

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_each_page_is_visited_once_politely_and_again_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    example = importlib.import_module("crawler")
    fetched: Counter[str] = Counter()
    begun: dict[str, list[datetime]] = defaultdict(list)

    def fetch(url: str) -> str:
        fetched[url] += 1
        begun[url.split("/")[2]].append(queue.time())
        if url.endswith("/3") and fetched[url] == 1:
            raise ConnectionError("refused")
        links = [*(f"/{n}#part" for n in range(5)), "https://b.org/", "mailto:x"]
        return "".join(f'<a href="{link}">' for link in links)

    monkeypatch.setattr(example, "fetch", fetch)
    try:
        with memory_queue() as queue:
            queue.limit("together", concurrency=2, by="host")
            queue.limit("polite", rate=1, per=0.1, by="host")
            queue.include(example.queue)
            queue.new_many([example.page("https://a.org/")])
            run_due(queue)
            pages = [f"https://{host}.org/{n}" for host in "ab" for n in ("", 0, 1, 2, 3, 4)]
            assert fetched == {url: 2 if url.endswith("/3") else 1 for url in pages}
            gaps = [later - earlier for times in begun.values() for earlier, later in pairwise(times)]
            assert len(gaps) == 12
            assert min(gaps) >= timedelta(milliseconds=100)
    finally:
        example.queue.close()
        sys.modules.pop("crawler")


def test_the_example_is_short() -> None:
    assert len((EXAMPLES / "crawler.py").read_text().splitlines()) <= 40

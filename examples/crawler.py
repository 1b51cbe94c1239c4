"""A polite crawler: 2 pages of a host at once, 100 ms between two starts on it, retries, and each page once.

`python crawler.py https://example.org` in this folder enqueues a page, and `mongoq worker crawler:queue`, on any number
of machines, follows the links. Its test, `tests/functions/test_example_crawler.py`, needs neither network nor server.
"""

from __future__ import annotations

import re
import sys
from urllib.parse import urljoin, urlsplit
from urllib.request import urlopen

from mongoq import NewTask, Queue

queue = Queue("mongodb://localhost/crawler?replicaSet=rs0", namespace="pages", keep_completed=86_400)


def fetch(url: str) -> str:
    with urlopen(url, timeout=10) as reply:  # noqa: S310 -- `page` lets http through
        return str(reply.read(1_000_000), errors="replace")


@queue.task(limits=["together", "polite"], max_retries=3, backoff=5, deadline=30)
def visit(url: str, host: str) -> list[NewTask]:  # noqa: ARG001 -- the limits go by it
    links = {urljoin(url, link).partition("#")[0] for link in re.findall(r'href="([^"]+)"', fetch(url))}
    return [page(link) for link in sorted(links) if urlsplit(link).scheme in ("http", "https")]


def page(url: str) -> NewTask:
    return visit.options(key=url, on_conflict="skip").call(url, urlsplit(url).hostname or "")


if __name__ == "__main__":
    queue.limit("together", concurrency=2, by="host")
    queue.limit("polite", rate=1, per=0.1, by="host")
    queue.new_many(page(url) for url in sys.argv[1:])

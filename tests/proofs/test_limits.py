"""Eight processes under limits, some of which are killed or frozen: never one too many at once, and all is done."""

from __future__ import annotations

import random
import secrets
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from mongoq import Queue
from mongoq.embedded.server import EmbeddedServer
from tests.proofs.limited_crew import Crew

pytestmark = pytest.mark.long  # leases have to run out

PROCESSES: Final = 8
GROUPS: Final = 10


def most_at_once(changes: list[tuple[float, int]]) -> int:
    present = most = 0
    for _, step in sorted(changes):
        present += step
        most = max(most, present)
    return most


@pytest.mark.parametrize("order", ["priority", "fifo"])
def test_never_more_run_at_once_than_the_limit_whatever_is_killed(
    server: EmbeddedServer, tmp_path: Path, until: Callable[..., None], order: str
) -> None:
    chance, most = random.Random(7), 1 if order == "fifo" else 3  # noqa: S311 -- no secret
    namespace = f"t-{secrets.token_hex(4)}"
    with Queue(server.uri, namespace=namespace, lease=2) as queue:
        queue.limit("group", concurrency=most, by="group", order=order)
        tasks = (
            {"group": f"g{n % GROUPS}", "n": n, "seconds": chance.choice([0.001, 0.01, 0.05])} for n in range(2_000)
        )
        queue.new_many(tasks, limits="group")
        crew = Crew(server.uri, namespace, tmp_path)
        try:
            for _ in range(PROCESSES):
                crew.start()
            for _ in range(12):
                if queue.empty():
                    break
                crew.meddle(chance, 0.8)  # shorter than a lease
            until(queue.empty, 240, "all is done, and no slot is left behind")
        finally:
            crew.end()
        assert queue.limit_state("group") == []
    runs = crew.runs()
    assert len(runs) == GROUPS
    assert max(map(most_at_once, runs.values())) == most
    if order == "fifo":
        for group, changes in firsts(tmp_path).items():
            assert changes == sorted(changes), group


def firsts(folder: Path) -> dict[str, list[int]]:
    """The tasks of each group in the order in which they first began."""
    begun: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for path in folder.iterdir():
        for line in path.read_text().splitlines():
            what, group, number, at = line.split()
            if what == "begin":
                begun[group].append((float(at), int(number)))
    return {group: list(dict.fromkeys(number for _, number in sorted(some))) for group, some in begun.items()}

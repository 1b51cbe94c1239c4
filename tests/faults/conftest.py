"""The fault matrix: what is done to servers, networks and workers here, and what must hold all the same.

Each test says the promise in its name and records a figure; the run ends with their table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mongoq import Queue
from proving.cluster import Cluster
from proving.fault_fleet import FaultFleet

FIGURES = pytest.StashKey[list[tuple[str, str, str]]]()


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Give `figure(row, text)`: what was measured, for the table at the end of the run."""
    figures = request.config.stash.setdefault(FIGURES, [])
    return lambda row, text: figures.append((row, request.node.name, text))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(FIGURES, [])
    if figures:
        terminalreporter.section("what the faults did")
    for row, name, text in sorted(figures, key=lambda figure: int(figure[0].strip("F"))):
        terminalreporter.write_line(f"{row:<4} {text}  ({name})")


@pytest.fixture
def uri(cluster: Cluster) -> str:
    return cluster.uri


@pytest.fixture
def queue(make_queue: Callable[..., Queue]) -> Queue:
    return make_queue()


@pytest.fixture
def fleet(cluster: Cluster, tmp_path: Path) -> Iterator[FaultFleet]:
    """Give worker processes on the cluster that write down what happens to them."""
    with FaultFleet(cluster.uri, tmp_path) as fleet:
        yield fleet

"""The self-check of an installation: it passes here, and it can fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mongoq import Queue
from mongoq.testing import selfcheck


def test_the_memory_driver_passes() -> None:
    selfcheck.check_memory()


def test_a_server_passes(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue()

    selfcheck.check_server(queue)
    selfcheck.check_threads(queue)
    selfcheck.check_transaction(queue)


@pytest.mark.long
def test_a_worker_with_processes_passes(make_queue: Callable[..., Queue]) -> None:
    selfcheck.check_processes(make_queue())


def test_what_fails_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    def wrong() -> None:
        selfcheck.expect(False, "the sum is 3, and it is 2")

    assert not selfcheck.passes("arithmetic", wrong)
    assert capsys.readouterr().out == "FAILED  arithmetic: Wrong: the sum is 3, and it is 2\n"

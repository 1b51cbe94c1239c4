"""The faults of work that takes long, and of workers that end by themselves."""

from __future__ import annotations

import sys
from typing import Any, Final

from proving.seeded.fault import Faults, answered

FAULTS: Final = Faults()
LONG: Final = "faults/test_long_work.py"


@FAULTS.function(
    "a build is waited for on its own connection only",
    "mongoq.storage.operations.long_work.builds:_Watch.look",
    f"{LONG}::test_init_finishes_on_a_connection_that_fell_silent",
)
def _never_look(look: Any, watch: Any) -> Any:
    return answered(False)


@FAULTS.constant(
    "a build that was lost is not sent again",
    "mongoq.storage.operations.long_work.builds:MOST_SENT",
    f"{LONG}::test_init_finishes_on_the_next_primary_where_its_own",
)
def _sent_once(most: Any) -> Any:
    return 1


@FAULTS.function(
    "a long read is waited for on its own connection only",
    "mongoq.storage.operations.long_work.patience:_watched",
    f"{LONG}::test_a_read_whose_replies_are_lost_again_is_made_once_more",
)
def _unwatched(watched: Any, handle: Any, comment: Any) -> Any:
    from mongoq.storage.control import Join

    return (yield Join(handle))


@FAULTS.constant(
    "an act on many is one long write", "mongoq.storage.operations.bulk:BATCH", "storage/test_bulk_acts.py"
)
def _one_batch(batch: Any) -> Any:
    return sys.maxsize


@FAULTS.function(
    "an act that breaks off says nothing",
    "mongoq.storage.operations.long_work.tally:Tally.__exit__",
    "storage/test_bulk_acts.py",
)
def _no_note(leave: Any, tally: Any, *given: Any) -> None:
    return


@FAULTS.function(
    "run_once takes what came after its call",
    "mongoq.storage.operations.namespace.orders:_due_at",
    "work/test_run_and_signals.py",
)
def _due_whenever(due_at: Any, instant: Any) -> Any:
    return {}


@FAULTS.function(
    "a burst waits for what takes no write",
    "mongoq.storage.documents.names:but_keys",
    "storage/test_stubborn_documents.py",
)
def _all_keys(but_keys: Any, keys: Any) -> Any:
    return {}

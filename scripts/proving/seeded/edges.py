"""The faults at the edges: the connection, encoding, what users give, what the worker and the command line do."""

from __future__ import annotations

import sys
from typing import Any, Final

from proving.seeded.fault import Faults

FAULTS: Final = Faults()


@FAULTS.function(
    "an ending is dropped when its write fails",
    "mongoq.worker.ledger:Ledger.give_back",
    "unit/worker/test_finisher.py",
)
def _give_nothing_back(give_back: Any, ledger: Any) -> None:
    return


@FAULTS.function("reads come from anywhere", "mongoq.storage.drivers.handles:Handles.of", "storage/test_marks.py")
def _handle_on_secondaries(handle: Any, *given: Any, **options: Any) -> Any:
    from pymongo import ReadPreference

    return handle(*given, **options).with_options(read_preference=ReadPreference.SECONDARY_PREFERRED)


@FAULTS.function(
    "operators in a listing's tags are obeyed", "mongoq.storage.documents.filters:tagged", "hostile/test_arguments.py"
)
def _tagged_with_operators(tagged: Any, where: Any) -> Any:
    return {name: test["$eq"] for name, test in tagged(where).items()}


@FAULTS.function(
    "operators in a key are obeyed", "mongoq.storage.documents.filters:_among", "storage/test_foreign_documents.py"
)
def _among_with_operators(among: Any, values: Any) -> Any:
    return next(iter(values)) if len(values) == 1 else among(values)


@FAULTS.constant("text that is no UTF-8 stops a queue", "mongoq.storage.documents.codec:CODEC", "hostile/test_cli.py")
@FAULTS.constant("text that is no UTF-8 stops a queue", "mongoq.storage.documents.codec:NAIVE", "hostile/test_cli.py")
def _strict_codec(codec: Any) -> Any:
    return codec.with_options(unicode_decode_error_handler="strict")


@FAULTS.function("a task may be of any size", "mongoq.storage.documents.encoding:_encoded", "unit/test_new_task.py")
def _encoded_at_any_size(encoded: Any, field: Any, document: Any, most: Any) -> Any:
    return encoded(field, document, sys.maxsize)


@FAULTS.constant("terminals are driven by tasks", "mongoq.cli.output:UNSAFE", "hostile/test_cli.py")
def _controls_are_safe(unsafe: Any) -> Any:
    return unsafe - {"Cc"}


@FAULTS.function(
    "a password in what is no URI is repeated",
    "mongoq.storage.drivers.connection:_described",
    "acceptance/test_cli_failures.py",
)
def _described_in_full(described: Any, target: Any) -> Any:
    return repr(target)


@FAULTS.constant(
    "a lease is renewed when it is over",
    "mongoq.worker.ledger:RENEWALS_PER_LEASE",
    "unit/worker/test_ledger_leases.py",
)
def _one_renewal(renewals: Any) -> Any:
    return 1


@FAULTS.function(
    "a key that is taken is not told", "mongoq.storage.operations.enqueue:together", "unit/test_enqueue_replies.py"
)
def _together_without_the_taken(together: Any, context: Any, drafts: Any, **options: Any) -> Any:
    from mongoq.core.errors import DuplicateTask

    others = yield from together(context, drafts, **options)
    return {
        place: other
        for place, other in others.items()
        if not (drafts[place].skips and isinstance(other, DuplicateTask))
    }

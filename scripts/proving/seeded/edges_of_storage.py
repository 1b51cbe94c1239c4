"""The faults of what others store, what callers give, and what the server refuses."""

from __future__ import annotations

import re
from typing import Any, Final

from proving.seeded.fault import Faults, answered

FAULTS: Final = Faults()


@FAULTS.constant(
    "what cannot be decoded is enqueued", "mongoq.storage.documents.encoding:_SUSPECT", "storage/test_unreadable.py"
)
def _nothing_suspect(suspect: Any) -> Any:
    return re.compile(rb"(?!)")


@FAULTS.function(
    "what cannot be decoded runs",
    "mongoq.storage.documents.foreign.well_formed:malformed_field",
    "storage/test_unreadable.py",
)
def _well_formed_though_unreadable(malformed_field: Any, document: Any) -> Any:
    return malformed_field(dict(document))


@FAULTS.function(
    "a unique value without its index", "mongoq.storage.operations.schema:_ensure_unique", "storage/test_indexes.py"
)
def _unique_as_it_is(ensure_unique: Any, context: Any) -> Any:
    return answered(None)


@FAULTS.function(
    "a hidden index counts as there", "mongoq.storage.documents.indexes:missing", "storage/test_indexes.py"
)
def _missing_but_hidden(missing: Any, wanted: Any, existing: Any) -> Any:
    return missing(wanted, {name: {**index, "hidden": False} for name, index in existing.items()})


@FAULTS.function(
    "a user's own unique index makes duplicates",
    "mongoq.storage.operations.recovery.duplicates:is_taken",
    "storage/test_indexes.py",
)
def _taken_in_any_field(is_taken: Any, error: Any) -> Any:
    return getattr(error, "code", None) == 11000


@FAULTS.constant(
    "skip gives up after one look",
    "mongoq.storage.operations.on_conflict.instead:SKIPPED_FOR",
    "unit/test_enqueue_replies.py",
)
def _skipped_for_no_time(seconds: Any) -> Any:
    return -1.0


@FAULTS.function("white space is a part of a setting", "mongoq.core.host.environment:setting", "unit/test_settings.py")
def _setting_as_given(setting: Any, name: Any, value: Any) -> Any:
    return value


@FAULTS.function(
    "a new task has the caller's containers", "mongoq.core.tasks.new_task:copied", "unit/test_yes_and_no.py"
)
def _not_copied(copied: Any, value: Any) -> Any:
    return value


@FAULTS.function(
    "an act on many goes on while others produce",
    "mongoq.storage.documents.filters:created_by",
    "storage/test_bulk_acts.py",
)
def _created_whenever(created_by: Any, instant: Any) -> Any:
    return {}


@FAULTS.constant(
    "a document that takes no write stops the others",
    "mongoq.storage.operations.recovery.malformed:TAKES_NO_WRITE",
    "storage/test_stubborn_documents.py",
)
def _none_takes_no_write(codes: Any) -> Any:
    return ()


@FAULTS.function(
    "a write waits for its majority for ever",
    "mongoq.storage.drivers.handles:confirmed_within",
    "storage/test_without_majority.py",
)
def _confirmed_some_time(confirmed_within: Any, database: Any) -> Any:
    return 0


@FAULTS.function(
    "a change is known until the next one only",
    "mongoq.storage.operations.modify.apply:_was_made",
    "storage/test_changes_sent_twice.py",
)
def _was_made_last(was_made: Any, document: Any, mark: Any) -> Any:
    return document.get("modification") == mark

"""The faults that are seeded one at a time, and which tests should see each first.

An edit is a piece of source that must occur exactly once in its file, short enough to outlive other changes;
where it has gone, the run fails and says so. A fault that breaks a rule of the protocol names it, and the model
in tests/model shows what harm it leads to.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Edit(NamedTuple):
    """One change of one file of the package."""

    file: str
    old: str
    new: str


class Mutant(NamedTuple):
    """One fault."""

    name: str
    edits: tuple[Edit, ...]
    first: tuple[str, ...]
    """The tests to run first: node ids, or files."""
    rule: str = ""
    """The rule of tests/model/protocol.py that it breaks."""


def _mutant(name: str, file: str, old: str, new: str, first: str, *, rule: str = "") -> Mutant:
    return Mutant(name, (Edit(f"mongoq/{file}", old, new),), tuple(f"tests/{one}" for one in first.split()), rule)


FILTERS: Final = "storage/filters.py"
UPDATES: Final = "storage/updates.py"
CLAIMING: Final = "storage/claims.py"
FINISHING: Final = "storage/finish.py"
UPKEEP: Final = "storage/sweep.py"
MODIFYING: Final = "storage/apply.py"
OBSTACLES: Final = "storage/conflicts.py"

PROTOCOL: Final = (
    _mutant(
        "no fence", FILTERS, "field.TOKEN: _among(tokens), ", "",
        "unit/test_claim_replies.py", rule="no fence",
    ),
    _mutant(
        "a counter as fence", CLAIMING, "return secrets.token_hex(16)",
        'new_token.n = getattr(new_token, "n", 0) + 1; return f"{new_token.n:032}"',
        "unit/test_claim_replies.py", rule="a counter as fence",
    ),
    Mutant(
        "attempts counted at failure",
        (
            Edit(f"mongoq/{UPDATES}", '"$inc": {field.ATTEMPTS: 1, ', '"$inc": {'),
            Edit(f"mongoq/{UPDATES}", "grown[field.RETRIES] = 1", "grown[field.RETRIES] = grown[field.ATTEMPTS] = 1"),
        ),
        ("tests/unit/test_claim_replies.py",),
        "attempts at failure",
    ),
    _mutant(
        "client clock", "clock.py", "(elapsed() + self._offset)", "time.time()",
        "unit/test_clock.py", rule="client clock",
    ),
    _mutant(
        "writes without a majority", "storage/driver.py", 'WriteConcern(w="majority")', "WriteConcern(w=1)",
        "storage/test_administering.py", rule="w:1",
    ),
    _mutant(
        "a claim in doubt is forgotten", "work/claimer.py", "if not self._doubts or", "if True or",
        "storage/test_doubtful_claims.py", rule="forget the token",
    ),
    _mutant(
        "after a lost claim reply nothing is held", CLAIMING, "where = filters.by_keys(list(by_key))",
        "where = filters.by_keys([])",
        "unit/test_claim_replies.py", rule="forget the token",
    ),
    _mutant(
        "what a mate took is held as well", CLAIMING,
        "if row.get(fields.TOKEN) == hold[fields.TOKEN]]", "]", "unit/test_claim_replies.py",
    ),
    _mutant(
        "a claim in doubt is looked up without a majority", CLAIMING, "majority=around.doubtful", "majority=False",
        "unit/test_claim_replies.py",
    ),
    _mutant(
        "unguarded rescue of a batch", UPKEEP, "_update(context, keys, where, updates.ended(verdicts",
        "_update(context, keys, {}, updates.ended(verdicts",
        "unit/test_sweep_replies.py", rule="unguarded rescue",
    ),
    _mutant(
        "unguarded rescue of one",
        UPKEEP,
        "_update(context, [task.key], where, update)",
        "_update(context, [task.key], {}, update)",
        "unit/test_sweep_replies.py", rule="unguarded rescue",
    ),
    _mutant(
        "promote without a guard",
        UPKEEP,
        "_update(context, keys, guard, updates.promoted(now))",
        "_update(context, keys, {}, updates.promoted(now))",
        "storage/test_upkeep.py", rule="unguarded promote",
    ),
    _mutant(
        "a rescue leaves last_token", UPDATES, "if token is not None:", 'token = token or ""\n    if True:',
        "storage/test_marks.py", rule="rescue leaves last_token",
    ),
    _mutant(
        "an ending leaves no last_token", UPDATES, "written[field.LAST_TOKEN] = mark(token, verdict.event)", "pass",
        "storage/test_finishing.py", rule="no last_token",
    ),
    _mutant(
        "claim without a version guard", FILTERS, "_state(sources(Event.CLAIM)), field.VERSION: version}",
        "_state(sources(Event.CLAIM))}",
        "unit/test_claim_replies.py", rule="no version guard",
    ),
    _mutant(
        "the countdown starts at the reply", "work/claimer.py", "self._take(claim, wanted, sent)",
        "self._take(claim, wanted, elapsed())", "storage/test_doubtful_claims.py", rule="countdown from the reply",
    ),
    _mutant(
        "rescue at the lease's end", FILTERS, 'Event.RESCUE)), field.LEASE_UNTIL: {"$lte": now - SKEW}',
        'Event.RESCUE)), field.LEASE_UNTIL: {"$lte": now}',
        "storage/test_upkeep.py", rule="no wait beyond the lease",
    ),
)  # fmt: skip
"""Those that break a rule of the protocol, or come close."""

ATOMIC: Final = (
    Mutant(
        "a change without its version gate",
        (
            Edit(f"mongoq/{OBSTACLES}", "if version != ref.version:", "if False:"),
            Edit(f"mongoq/{FILTERS}", "field.VERSION: refs[0].version, ", ""),
        ),
        ("tests/storage/test_modifying.py",),
    ),
    _mutant(
        "a change of what another holds", OBSTACLES, "elif document is not None and _held_by_another(",
        "elif False and _held_by_another(", "conformance/test_changes.py",
    ),
    _mutant(
        "dependencies are only read", UPDATES, '{"$inc": {field.DEPENDED: 1}}', '{"$setOnInsert": {field.DEPENDED: 1}}',
        "storage/test_modifying.py",
    ),
    _mutant(
        "a change is made again after a lost reply", MODIFYING, "if made is not None:", "if False:",
        "storage/test_modifying.py",
    ),
    _mutant(
        "a transaction without the fence of its lease", FINISHING, "raise LeaseLost([task.key])", "pass",
        "storage/test_sessions.py",
    ),
    _mutant(
        "what follows is written without the completion", FINISHING, "if not held:", "if False:",
        "work/test_follow_ups.py",
    ),
    _mutant(
        "the completion is written without what follows", FINISHING,
        "yield from apply.carry_out(context, plan)\n    return True", "return True", "work/test_follow_ups.py",
    ),
    _mutant(
        "one collision drops every insertion", MODIFYING, "if insertion.key not in taken]", "if not taken]",
        "storage/test_modifying.py",
    ),
    _mutant(
        "what may be skipped excuses what is missing", OBSTACLES, "if missing or claimed or taken",
        "if (missing or claimed) and not skipped or taken", "storage/test_modifying.py",
    ),
    _mutant(
        "what was refused is committed as far as it came", "storage/sessions.py",
        "            _abort(session)\n            if not _may_help",
        "            session.commit_transaction() if session.in_transaction else None\n            if not _may_help",
        "work/test_follow_ups.py",
    ),
)  # fmt: skip
"""Those of the atomic change."""

OTHERS: Final = (
    _mutant(
        "claim without a state guard", FILTERS, "field.KEY: _among(keys), field.STATE: _state(sources(Event.CLAIM)), ",
        "field.KEY: _among(keys), ", "unit/test_claim_replies.py",
    ),
    _mutant(
        "a renewal bumps the version", UPDATES, 'return {"$set": {field.LEASE_UNTIL: now + lease}}',
        'return {"$set": {field.LEASE_UNTIL: now + lease}, "$inc": {field.VERSION: 1}}', "storage/test_finishing.py",
    ),
    _mutant(
        "a cancel request bumps the version", UPDATES, 'return {"$set": {field.CANCEL_REQUESTED: True}}',
        'return {"$set": {field.CANCEL_REQUESTED: True}, "$inc": {field.VERSION: 1}}', "storage/test_marks.py",
    ),
    _mutant(
        "the server deletes running tasks when their lease ends", "storage/indexes.py", "PURGE: ([(field.PURGE_AT, 1)]",
        "PURGE: ([(field.LEASE_UNTIL, 1)]", "storage/test_marks.py",
    ),
    _mutant("a hold outlives its ending", UPDATES, 'field.TOKEN: "", ', "", "storage/test_finishing.py"),
    _mutant(
        "what was deleted counts as lost", FINISHING, "if not _may_be_missing(ending):", "if True:",
        "unit/test_finish_replies.py",
    ),
    _mutant(
        "a retry overrides a cancel request", FINISHING, "in (Event.COMPLETE, Event.CANCEL) else", "in Event else",
        "unit/test_finish_replies.py",
    ),
    _mutant(
        "an ending is dropped when its write fails", "work/finisher.py",
        "self._buffer.give_back(list(self._left.values()))", "pass", "unit/test_finisher.py",
    ),
    _mutant(
        "finished tasks are kept for ever", UPDATES, "if verdict.keep is not None:", "if False:",
        "storage/test_finishing.py",
    ),
    _mutant(
        "the older before the more urgent", "storage/indexes.py", "[(field.PRIORITY, -1), (field.RUN_AT, 1),",
        "[(field.RUN_AT, 1), (field.PRIORITY, -1),", "storage/test_claiming.py",
    ),
    _mutant(
        "an expired task runs", "storage/candidates.py", "expires_at is not None and expires_at <= now else",
        "False else", "unit/test_claim_replies.py",
    ),
    _mutant(
        "a delayed task is ready at once", "storage/documents.py", "due = run_at <= now", "due = True",
        "unit/test_documents.py",
    ),
    _mutant(
        "no more is promoted than one batch in a while", UPKEEP,
        "timedelta(0) if done.updated else", "None if done.updated else",
        "storage/test_upkeep.py",
    ),
    _mutant(
        "poison is never charged", "verdict.py", "if task.lost_leases < LOST_AMONG_MANY:", "if True:",
        "unit/test_verdict.py",
    ),
    _mutant(
        "poison is never given up", "verdict.py", "or task.lost_leases + 1 >= MOST_LOST_LEASES", "",
        "unit/test_verdict.py",
    ),
    _mutant(
        "retries are not counted", "verdict.py", "task.charged > policy.max_retries", "False",
        "unit/test_verdict.py",
    ),
    _mutant(
        "the same, one too many", "verdict.py", "task.charged > policy.max_retries",
        "task.charged > policy.max_retries + 1", "unit/test_verdict.py",
    ),
    _mutant("reads come from anywhere", "storage/driver.py", "read_preference=ReadPreference.PRIMARY,\n        write",
            "read_preference=ReadPreference.SECONDARY_PREFERRED,\n        write", "storage/test_marks.py"),
    _mutant(
        "operators in a listing's tags are obeyed", FILTERS, '{f"{field.TAGS}.{name}": {"$eq": value} for',
        '{f"{field.TAGS}.{name}": value for', "hostile/test_arguments.py",
    ),
    _mutant(
        "operators in a key are obeyed", FILTERS, '{"$eq": next(iter(values))}', "next(iter(values))",
        "storage/test_foreign_documents.py",
    ),
    _mutant(
        "a task that is found twice is claimed twice", "storage/candidates.py",
        "list({document[fields.KEY]: document for document in found}.values())", "list(found)",
        "unit/test_claim_replies.py",
    ),
    _mutant(
        "a rerun goes on counting", UPDATES, 'field.UNCHARGED: {"$ifNull": [f"${field.ATTEMPTS}", 0]},', "",
        "storage/test_rerunning.py",
    ),
    _mutant(
        "what is no task is claimed", "storage/malformed.py", "fault = decoding.fault_of(document)\n",
        "fault = None\n",
        "storage/test_foreign_documents.py",
    ),
    _mutant(
        "text that is no UTF-8 stops a queue", "storage/codec.py", 'unicode_decode_error_handler="replace"',
        'unicode_decode_error_handler="strict"', "hostile/test_cli.py",
    ),
    _mutant(
        "a task may be of any size", "storage/encoding.py", "if len(data) > most:", "if False:",
        "unit/test_new_task.py",
    ),
    _mutant("terminals are driven by tasks", "cli/output.py", '"Cc", "Cf",', '"Cf",', "hostile/test_cli.py"),
    _mutant(
        "a password in what is no URI is repeated", "storage/connection.py", 'f"a {type(target).__name__}"',
        "repr(target)", "acceptance/test_cli_failures.py",
    ),
    _mutant(
        "a lease is renewed when it is over", "work/lease_book.py", "RENEWALS_PER_LEASE: Final = 3",
        "RENEWALS_PER_LEASE: Final = 1", "unit/test_lease_book.py",
    ),
    _mutant(
        "a key that is taken is not told", "storage/enqueue.py", "if last:\n", "if False:\n",
        "unit/test_enqueue_replies.py",
    ),
)  # fmt: skip
"""Those of the code alone."""

MUTANTS: Final = (*PROTOCOL, *ATOMIC, *OTHERS)

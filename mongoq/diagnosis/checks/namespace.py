"""Checks of the namespace as a whole: its format, and the versions of mongoq that use it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mongoq.diagnosis.check import Found, check
from mongoq.diagnosis.facts import Fleet, Format, Indexes
from mongoq.diagnosis.finding import Level
from mongoq.diagnosis.words import listed


@check(
    "namespace.empty", Level.NOTE, "a namespace in which nothing was ever enqueued",
    effect="Nothing is wrong with a new one; with a misspelt one nothing can be seen of yours.",
    advice="Check --namespace and MONGOQ_NAMESPACE, and the name of the database in the URI.",
)  # fmt: skip
def empty(indexes: Indexes) -> Iterator[Found]:
    """A namespace without a collection, and the others of its database."""
    if not indexes.there:
        others = f"; with tasks are here: {listed(indexes.others)}" if indexes.others else ""
        namespace = indexes.collection.removesuffix(".tasks")
        yield Found(namespace, f"The namespace {namespace} of {indexes.database} has no tasks, and never had{others}")


@check(
    "namespace.format", Level.FAULT, "a format that this version of mongoq cannot read",
    effect="Commands and workers of this version stop with NewerFormat instead of misreading tasks.",
    advice="Upgrade mongoq in this environment.",
    command="pip install --upgrade mongoq",
)  # fmt: skip
def too_new(format: Format) -> Iterator[Found]:  # noqa: A002 -- the fact's name
    """A namespace that is too new for this process."""
    if format.oldest_reader is not None and format.oldest_reader > format.own:
        told = f"its tasks are for format {format.oldest_reader}, and this mongoq reads {format.own}"
        yield Found("format", f"The namespace is too new: {told}")


@check(
    "namespace.newer", Level.WARNING, "a process of a newer mongoq than this one",
    effect="This version works, and knows nothing of what the newer one adds.",
    advice="Upgrade this environment when the fleet is (docs/operating/upgrading.md).",
    command="pip install --upgrade mongoq",
)  # fmt: skip
def newer(format: Format) -> Iterator[Found]:  # noqa: A002 -- the fact's name
    """A newer process somewhere."""
    if format.stored is not None and format.stored > format.own >= (format.oldest_reader or 0):
        yield Found("format", f"A newer mongoq has written here: format {format.stored}, this one is {format.own}")


@check(
    "namespace.versions", Level.WARNING, "workers of different versions of mongoq side by side",
    effect="A roll-out is under way, or was broken off: some processes lack what the newest mends.",
    advice="End the roll-out; the table of workers shows which processes are old.",
    command="mongoq workers",
)  # fmt: skip
def versions(fleet: Fleet) -> Iterator[Found]:
    """Several versions."""
    counts = Counter(one.version or "one that does not tell" for one in fleet.workers)
    if len(counts) > 1:
        told = ", ".join(f"{count} of {version}" for version, count in sorted(counts.items()))
        yield Found("versions", f"Workers of {len(counts)} versions of mongoq run side by side: {told}")

"""The only place that reads the environment: where a queue is that nobody has named otherwise."""

from __future__ import annotations

import os

__all__ = ["DEFAULT_NAMESPACE", "namespace_named", "uri_named"]

DEFAULT_NAMESPACE = "default"


def uri_named(given: str | None = None) -> str | None:
    """The MongoDB that is named: `given`, else MONGOQ_URI; None where neither is."""
    return given or os.environ.get("MONGOQ_URI") or None


def namespace_named(given: str | None = None) -> str:
    """The namespace that is named: `given`, else MONGOQ_NAMESPACE, else `default`."""
    return given or os.environ.get("MONGOQ_NAMESPACE") or DEFAULT_NAMESPACE

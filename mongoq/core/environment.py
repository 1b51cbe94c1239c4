"""The defaults from environment variables, for the place of a queue. No other module of the library reads these."""

from __future__ import annotations

import os

__all__ = ["DEFAULT_NAMESPACE", "namespace_named", "uri_named"]

DEFAULT_NAMESPACE = "default"


def uri_named(given: str | None = None) -> str | None:
    """The URI of MongoDB: `given`, else MONGOQ_URI, else None."""
    return given or os.environ.get("MONGOQ_URI") or None


def namespace_named(given: str | None = None) -> str:
    """The namespace: `given`, else MONGOQ_NAMESPACE, else `default`."""
    return given or os.environ.get("MONGOQ_NAMESPACE") or DEFAULT_NAMESPACE

"""The only place that reads the environment: where a queue is that nobody has named otherwise.

A secret that is mounted from a file mostly ends with a newline, which a URI would take for a part of the database's
name. So white space at the ends of a setting is dropped, and characters that nobody can see are refused inside.
"""

from __future__ import annotations

import os

from mongoq.core.errors import ConfigurationError, Fault

__all__ = ["DEFAULT_NAMESPACE", "namespace_named", "setting", "uri_named"]

DEFAULT_NAMESPACE = "default"
_BYTE_ORDER_MARK = "\ufeff"


def uri_named(given: str | None = None) -> str | None:
    """The MongoDB that is named: `given`, else MONGOQ_URI; None where neither is."""
    return _named("uri", given, "MONGOQ_URI")


def namespace_named(given: str | None = None) -> str:
    """The namespace that is named: `given`, else MONGOQ_NAMESPACE, else `default`."""
    return _named("namespace", given, "MONGOQ_NAMESPACE") or DEFAULT_NAMESPACE


def setting(name: str, value: str) -> str:
    """A setting without white space at its ends; ConfigurationError where it holds characters that cannot be seen.

    The error never shows the value, which may hold a password.
    """
    stripped = value.strip().strip(_BYTE_ORDER_MARK).strip()
    for place, character in enumerate(stripped):
        if not character.isprintable():
            found = f"a text with U+{ord(character):04X} at place {place}"
            raise ConfigurationError([Fault(name, found, "without control characters and others that cannot be seen")])
    return stripped


def _named(name: str, given: str | None, variable: str) -> str | None:
    own = setting(name, given) if given else None
    return own or setting(variable, os.environ.get(variable, "")) or None

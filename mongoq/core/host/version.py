"""The version of mongoq that is installed."""

from __future__ import annotations

import functools


@functools.cache
def installed_version() -> str:
    """The version of the installed distribution; empty where mongoq runs without having been installed.

    It imports `importlib.metadata`, which takes 10 ms, when it is first asked.
    """
    from importlib import metadata  # noqa: PLC0415 -- a producer is spared it

    try:
        return metadata.version("mongoq")
    except metadata.PackageNotFoundError:
        return ""

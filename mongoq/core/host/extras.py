"""What is optional: a package that a feature needs and mongoq does not install by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(requirement: str) -> Iterator[None]:
    """Name what to install where an import of this block finds a package missing.

    `requirement` is what pip takes: `mongoq[dashboard]`, `fastapi>=0.121`.

    Raises:
        ModuleNotFoundError: its message names the package and the command that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as missing:
        if (missing.name or "mongoq").partition(".")[0] == "mongoq":
            raise  # a mistake in mongoq itself
        told = f"{missing.name} is missing: pip install '{requirement}'"
        raise ModuleNotFoundError(told, name=missing.name) from None

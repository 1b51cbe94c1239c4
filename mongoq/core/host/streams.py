"""The descriptors of the standard streams, which whatever is printed goes to."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["STANDARD", "occupy_standard_streams"]

STANDARD: Final = (0, 1, 2)


def occupy_standard_streams() -> None:
    """Open nothing, `os.devnull`, for standard streams that are closed.

    A connection would take their numbers, and what a handler's own processes print would go to MongoDB.
    """
    for number in STANDARD:
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            os.set_inheritable(nowhere, True)
            if nowhere != number:
                os.close(nowhere)

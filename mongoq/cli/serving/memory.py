"""Keep a process small that lives for weeks: let the C library give back what was freed.

Else each thread keeps an area of its own, and buffers of replies of some MB stay in them: a dashboard of 10,000 queues
had 84 MB after every page, and has 76.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
_LARGE: Final = 128 << 10
"""Blocks of this size and above are given back as soon as they are freed."""


def give_memory_back() -> None:
    """Do so where the C library is glibc, and the user's own MALLOC_* variables say nothing else."""
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    tune = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if tune is not None:
        for option, value in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, _LARGE)):
            tune(option, value)

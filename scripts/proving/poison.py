"""A handler that does its process harm, as its task says; child processes import it by its name."""

from __future__ import annotations

import ctypes
import os
import re
import resource

from mongoq import Task


def poisonous(task: Task) -> None:
    """End this process, or hold it up for ever; without poison in its tags a task does nothing."""
    match task.get("poison"):
        case "exit":
            os._exit(1)
        case "segfault":
            ctypes.string_at(0)
        case "memory":
            resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
            os._exit(len(bytearray(2**31)) and 1)
        case "regex":
            re.match("(a+)+$", "a" * 40 + "b")

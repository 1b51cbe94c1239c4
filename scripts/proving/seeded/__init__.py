"""The faults that are seeded one at a time, and which tests should see each first.

A fault replaces functions or constants of the package by name (`fault`). One that breaks a rule of the protocol names
the rule, and the model in tests/model shows what harm follows.
"""

from __future__ import annotations

from typing import Final

from proving.seeded.atomic import FAULTS as ATOMIC
from proving.seeded.edges import FAULTS as EDGES
from proving.seeded.edges_of_storage import FAULTS as EDGES_OF_STORAGE
from proving.seeded.fault import Faults
from proving.seeded.flow import FAULTS as FLOW
from proving.seeded.limits import FAULTS as LIMITS
from proving.seeded.long_work import FAULTS as LONG_WORK
from proving.seeded.order import FAULTS as ORDER
from proving.seeded.processes import FAULTS as PROCESSES
from proving.seeded.protocol import FAULTS as PROTOCOL
from proving.seeded.scheduling import FAULTS as SCHEDULING
from proving.seeded.storage import FAULTS as STORAGE
from proving.seeded.surroundings import FAULTS as SURROUNDINGS

MUTANTS: Final = Faults(
    {
        **PROTOCOL,
        **ORDER,
        **ATOMIC,
        **STORAGE,
        **EDGES,
        **EDGES_OF_STORAGE,
        **PROCESSES,
        **SCHEDULING,
        **FLOW,
        **LIMITS,
        **LONG_WORK,
        **SURROUNDINGS,
    }
)

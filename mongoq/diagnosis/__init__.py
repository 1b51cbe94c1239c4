"""What is wrong with a namespace: facts that were read, checks that judge them, findings that say what to do.

A *fact* is a frozen value that one bounded look at the server brought (`facts/`). A *check* is a pure function of
facts; its level, its effect and its advice stand beside it (`checks/`, one module for each kind of thing). `judge` runs
every check whose facts were read, and names the others with the reason. So a check is tried by planting a fact, and
`mongoq doctor`, `queue.diagnose()` and the dashboard's overview cannot disagree.
"""

from __future__ import annotations

from mongoq.diagnosis.finding import Diagnosis, Finding, Level, NotRun

__all__ = ["Diagnosis", "Finding", "Level", "NotRun"]

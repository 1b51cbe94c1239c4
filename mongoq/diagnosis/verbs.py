"""The verb of a diagnosis."""

from __future__ import annotations

from mongoq.api.base import Base
from mongoq.api.verb import verb
from mongoq.diagnosis.finding import Diagnosis
from mongoq.storage.commands import Op


@verb
def diagnose(base: Base) -> Op[Diagnosis]:
    """Look for what is wrong with this namespace, its server, its fleet and this process, as `mongoq doctor` does.

        for finding in queue.diagnose().findings:
            print(finding.level, finding.problem, finding.advice)

    It reads, and changes nothing. Each read is bounded to 3 s, all together to about 20 s, whatever the number of
    tasks; what could not be read (no right, a standalone server, no time left) is in `not_run` with the reason.

    Raises:
        StorageUnavailable: no member of the server answers.
    """
    from mongoq.diagnosis.reading import diagnosed  # noqa: PLC0415 -- a producer is spared thirty modules

    return (yield from diagnosed(base))

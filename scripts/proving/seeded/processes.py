"""The faults around the process in which a handler runs: contexts, memory, forks, signals, processes of its own."""

from __future__ import annotations

from typing import Any, Final

from proving.seeded.fault import Faults

FAULTS: Final = Faults()


@FAULTS.function(
    "the tasks of a thread share their context",
    "mongoq.worker.executors.threads:ThreadExecutor._call",
    "work/test_isolation.py",
)
def _call_in_one_context(call: Any, executor: Any, attempt: Any) -> Any:
    from mongoq.core.judging.verdict import Raised, Returned

    try:
        return Returned(executor._handler(attempt.task))  # noqa: SLF001 -- what the original calls
    except BaseException as error:  # noqa: BLE001 -- as the original
        return Raised(error)


@FAULTS.function("failures keep their frames", "mongoq.core.host.tracebacks:let_go", "work/test_isolation.py")
def _let_nothing_go(let_go: Any, error: Any) -> None:
    return


@FAULTS.function(
    "signals in groups are errors", "mongoq.core.judging.steering:strongest", "unit/test_verdict_of_groups.py"
)
def _itself(strongest: Any, error: Any) -> Any:
    return error


@FAULTS.function("a fork comes back to the loop", "mongoq.worker.forks:at_fork", "work/test_forks.py")
def _no_hook(at_fork: Any, hook: Any) -> Any:
    return lambda: None


@FAULTS.function(
    "what a handler started outlives its killed child",
    "mongoq.worker.executors.children.ending:kill_group",
    "work/test_ending_processes.py",
)
def _kill_alone(kill_group: Any, process: Any) -> None:
    process.kill()


@FAULTS.function(
    "a deadline strikes wherever a handler stands",
    "mongoq.worker.executors.frames:may_strike",
    "unit/worker/test_frames.py",
)
def _strike(may_strike: Any, frame: Any) -> bool:
    return True


@FAULTS.function(
    "a signal ends with run_once",
    "mongoq.worker.handle:_pass_on",
    "work/test_run_and_signals.py",
)
def _keep_it(pass_on: Any, number: Any) -> None:
    return


@FAULTS.function(
    "log lines wait for their handler",
    "mongoq.worker.log_lines:LogLines.filter",
    "unit/worker/test_log_lines.py",
)
def _at_once(filter_: Any, lines: Any, record: Any) -> bool:
    return True

"""Handlers that child processes import: they leave what they saw in files below `task.tags["folder"]`."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from mongoq import (
    Attempt,
    Cancel,
    Done,
    Fail,
    Interrupted,
    Modification,
    Move,
    NewTask,
    Queue,
    Retry,
    Snooze,
    Stop,
    Task,
    TaskRef,
    Tasks,
)
from mongoq.core.clock import elapsed


class Unpicklable(Exception):
    """An error that does not survive a pipe."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")
        self.lock = threading.Lock()


class NoUse(Fail):
    """A signal of the user's own, which does not survive a pipe either."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.lock = threading.Lock()


def note(task: Task, what: object = "") -> None:
    """Say that it runs here."""
    path = Path(task.tags["folder"]) / task.key
    with path.open("a") as file:
        file.write(f"{os.getpid()} {what}\n")


def says(attempt: Attempt, task: Task) -> str:
    attempt.progress(0.4, "rendering")
    attempt.log("page 1")
    attempt.log("page 2")
    while not Path(task.tags["go_on"]).exists():
        time.sleep(0.01)
    attempt.progress(1)
    attempt.log("page 3")
    if task.tags.get("fails"):
        raise ValueError("no")
    return "done"


async def says_on_a_loop(attempt: Attempt, task: Task) -> str:
    return await asyncio.to_thread(says, attempt, task)


def returns(task: Task) -> dict[str, Any]:
    return {"user": task.get("user"), "payload": task.payload, "attempts": task.attempts, "pid": os.getpid()}


def live(attempt: Any, task: Task) -> list[Any]:
    assert attempt is task.attempt
    return [task.cancelled, task.interruption, task.time_left()]


def chained(task: Task) -> None:
    try:
        raise KeyError("inner")
    except KeyError as error:
        raise ValueError("outer") from error


def unpicklable_error(task: Task) -> None:
    raise Unpicklable("one", "two")


def unpicklable_result(task: Task) -> Any:
    return threading.Lock()


class OneWay:
    def __reduce__(self) -> Any:
        return _not_here, ()


def _not_here() -> None:
    raise ValueError("not here")


def result_lost_on_its_way(task: Task) -> Any:
    return OneWay()


def exits(task: Task) -> None:
    raise SystemExit("enough")


def signals(task: Task) -> None:
    kind = task.tags["signal"]
    made: dict[str, Callable[[], BaseException]] = {
        "retry": lambda: Retry("later", delay=600),
        "snooze": lambda: Snooze(600, "wait"),
        "fail": lambda: Fail("no use"),
        "own": lambda: NoUse("not at all"),
        "cancel": lambda: Cancel("no need"),
        "move": lambda: Move("mail/err", "wrong"),
    }
    if task.attempts == 1:
        steering = made[kind]()
        raise steering from OSError("the cause")


def sleeps(task: Task) -> None:
    note(task)
    time.sleep(60)


def backtracks(task: Task) -> None:
    note(task)
    re.match(r"(a+)+$", "a" * 60 + "b")


def ignores(task: Task) -> None:
    note(task)
    while True:
        try:
            time.sleep(60)
        except Interrupted:
            note(task, "ignored")


def tidies(task: Task) -> str:
    try:
        time.sleep(60)
    except Interrupted as interrupted:
        return f"{interrupted.reason}, {task.time_left():.0f} s left"
    return "never stopped"


def cooperates(task: Task) -> None:
    note(task)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            task.raise_if_cancelled()
        except Interrupted as interrupted:
            note(task, interrupted.reason)
            raise
        time.sleep(0.005)


def dies(task: Task) -> None:
    how = task.get("how")
    if how == "exit":
        os._exit(3)
    elif how == "segfault":
        ctypes.string_at(0)
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "memory":
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (2**31, before[1]))
        try:
            bytearray(2**33)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)


def cooperates_or_quick(task: Task) -> int:
    if task.get("stuck"):
        cooperates(task)
    return os.getpid()


def now_and_then_slow(task: Task) -> int:
    time.sleep(task.get("seconds", 0))
    return os.getpid()


SLOW: Final = 0.3


def in_step(task: Task) -> int:
    """Go on when another process has come as far as this one: two share the tasks by halves then, or none goes on."""
    folder, pid = Path(task.tags["folder"]), os.getpid()
    so_far = len(list(folder.glob(f"{pid}-*")))
    (folder / f"{pid}-{so_far}").touch()
    end = time.monotonic() + 60
    while not any(not path.name.startswith(f"{pid}-") for path in folder.glob(f"*-{so_far}")):
        if time.monotonic() > end:
            raise TimeoutError("no other process runs one beside this")
        time.sleep(0.01)
    time.sleep(SLOW)
    return pid


def quick_or_stuck(task: Task) -> None:
    note(task)
    if task.get("stuck"):
        time.sleep(60)


def brief(task: Task) -> None:
    time.sleep(0.001)
    note(task)


def options(task: Task) -> list[Any]:
    return [sys.flags.optimize, "error::UserWarning" in sys.warnoptions, sys._xoptions.get("utf8")]


def follows(task: Task) -> Any:
    """Return the change that the task asks for."""
    wanted: dict[str, Callable[[], Any]] = {
        "list": lambda: [NewTask({"wanted": "nothing"}, key="next")],
        "one": lambda: NewTask({"wanted": "nothing"}, key="next"),
        "tuple": lambda: (NewTask({"wanted": "nothing"}, key="next"),),
        "mixed": lambda: [NewTask({"wanted": "nothing"}, key="next"), "done"],
        "unstorable": threading.Lock,
        "done": lambda: Done({"sum": 7}, then=[NewTask({"wanted": "nothing"}, key="next")]),
        "done with a lock": lambda: Done(threading.Lock(), then=NewTask({"wanted": "nothing"}, key="next")),
        "done and passed on": lambda: Done(7, then=Modification(change=[task.as_change(queue="later")])),
        "modification": lambda: Modification(insert=[NewTask({"wanted": "nothing"}, key="next")]),
        "collision": lambda: [NewTask(key="taken")],
        "pass on": lambda: Modification(change=[task.as_change(queue="later")]),
        "delete": lambda: Modification(delete=[task]),
        "delete what was read": lambda: Modification(delete=[TaskRef(task.key, task.version)]),
        "change and depend": lambda: Modification(insert=[NewTask(key="next", queue="later")], depend=[task]),
        "too many": lambda: [NewTask()] * 1_001,
        "nothing": lambda: None,
    }
    return wanted[task.tags["wanted"]]()


def buys(task: Task) -> None:
    """Complete the task together with an order, by a queue of this process."""
    with Queue(task.tags["uri"], namespace=task.namespace, keep_completed=task.get("keep", 3600)) as queue:
        for round_ in range(task.get("rounds", 1)):
            with queue.transaction(task, {"bought": round_}) as session:
                orders = session.client["shop"][f"{task.namespace}.orders"]
                orders.insert_one({"_id": task.key}, session=session)
                threading.Event().wait(task.get("wait", 0))
                dies(task)
                if task.get("fails"):
                    raise ValueError("not today")
        threading.Event().wait(task.get("linger", 0))


def stops(task: Task) -> None:
    """Stop the worker at the second task, from an error of its own."""
    if task.get("stops"):
        raise Stop("the disk is full") from OSError("no space left")


async def stops_on_a_loop(task: Task) -> None:
    stops(task)


OPENED: list[str] = []


def note_end() -> None:
    """Say that what was open is closed."""
    with Path(os.environ["LIFESPAN"]).open("a") as file:
        file.write(f"closed {os.getpid()}\n")


def opens() -> Iterator[list[str]]:
    """A lifespan, whose end is noted in a file."""
    OPENED.append("open")
    yield OPENED
    note_end()


async def opens_on_a_loop() -> AsyncIterator[list[str]]:
    loop = asyncio.get_running_loop()
    OPENED.append("open")
    yield OPENED
    assert loop is asyncio.get_running_loop()
    note_end()


def traced(attempt: Any, task: Task) -> Iterator[None]:
    """A middleware that notes what it sees in what handlers share."""
    attempt.state.append(f"before {task.key}")
    yield
    attempt.state.append(f"after {task.key}")


def tells_state(attempt: Any, task: Task) -> list[Any]:
    return [os.getpid(), *attempt.state]


async def tells_state_on_a_loop(attempt: Any, task: Task) -> list[Any]:
    return tells_state(attempt, task)


def does_not_open() -> Iterator[None]:
    raise OSError("no database")
    yield


class Busy(Exception):
    """An error that does not survive a pipe."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


def is_for_good(error: BaseException) -> bool:
    """A predicate that knows the error's own class."""
    return isinstance(error, Busy) and str(error).startswith("for ever")


def fails_by_name(task: Task) -> None:
    """Raise what the task names."""
    errors = {"value": ValueError("no"), "busy": Busy("just", "now"), "for good": Busy("for ever", "busy")}
    if task.tags["error"] == "wrapped":
        raise RuntimeError("outer") from Fail("no use")
    raise errors[task.tags["error"]]


TASKS = Tasks()


@TASKS.task(no_retry_on=is_for_good, retry_on=Busy)
def fails(error: str) -> None:
    """Raise what its argument names, under rules of its own."""
    raise {"value": ValueError("no"), "busy": Busy("just", "now"), "for good": Busy("for ever", "busy")}[error]


@TASKS.task(no_retry_on=is_for_good, retry_on=Busy)
async def fails_on_a_loop(error: str) -> None:
    fails.fn(error)


LAMBDAS = Tasks()


@LAMBDAS.task(no_retry_on=lambda error: True)
def retries_nothing() -> None:
    """Has a predicate that children cannot import."""


async def fails_by_name_on_a_loop(task: Task) -> None:
    fails_by_name(task)


def calls(task: Task) -> float | None:
    """Enqueue a more urgent task where this one says so; when that was done, on `elapsed()`."""
    if not task.get("calls"):
        return None
    with Queue(task.tags["uri"], namespace=task.namespace) as queue:
        queue.new(key=f"urgent {task.key}", priority=9)
    return elapsed()


async def calls_on_a_loop(task: Task) -> Any:
    return await asyncio.to_thread(calls, task)


async def follows_on_a_loop(task: Task) -> Any:
    return follows(task)


async def buys_on_a_loop(task: Task) -> None:
    await asyncio.to_thread(buys, task)


def waits_to_be_cancelled(task: Task) -> None:
    """Note that it runs, and raise what says that it should stop, in a group."""
    note(task)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            task.raise_if_cancelled()
        except Interrupted as interrupted:
            raise BaseExceptionGroup("stopped", [interrupted, OSError("closed")]) from None
        time.sleep(0.005)


async def waits_to_be_cancelled_on_a_loop(task: Task) -> None:
    async def one() -> None:
        while True:
            task.raise_if_cancelled()
            await asyncio.sleep(0.005)

    note(task)
    async with asyncio.TaskGroup() as together:
        together.create_task(one())
        together.create_task(one())


def prints(task: Task) -> list[Any]:
    """Use the standard streams and a process of its own; that one's exit code, and whether printing works."""
    done = subprocess.run([sys.executable, "-c", "print('from below'); raise SystemExit(5)"], check=False)
    print("from a handler")  # noqa: T201 -- what is tried
    return [done.returncode, "ok"]


async def prints_on_a_loop(task: Task) -> list[Any]:
    return await asyncio.to_thread(prints, task)


def returns_more_than_fits(task: Task) -> bytes:
    """Return what can be pickled once, and not be copied into a message."""
    size = 128 * 2**20
    value = bytes(size)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + size * 3 // 2, most))
    threading.Thread(target=time.sleep, args=(60,)).start()  # what would keep the process for its time
    return value


class Rude(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


def raises_what_cannot_be_told(task: Task) -> None:
    threading.Thread(target=time.sleep, args=(60,)).start()
    raise Rude


def closes_its_files(task: Task) -> None:
    threading.Thread(target=time.sleep, args=(60,)).start()
    os.closerange(3, 256)
    time.sleep(60)


def stays_behind_its_socket(task: Task) -> None:
    """Cut the connection to the worker, and go on."""
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(file.readlink()).startswith("socket:"):
                os.close(int(file.name))
    time.sleep(60)


def starts_a_process(task: Task) -> None:
    """Start a process of its own, note it, and go on as the task says."""
    child = subprocess.Popen(["/bin/sleep", "60"])
    note(task, child.pid)
    if task.get("how") == "exit":
        os._exit(3)
    time.sleep(60)


async def sleeps_in_a_thread(task: Task) -> None:
    note(task)
    await asyncio.to_thread(time.sleep, 30)


def sleeps_in_a_pool(task: Task) -> None:
    pool = ThreadPoolExecutor(1)
    future = pool.submit(time.sleep, 30)
    note(task)
    future.result()


def fails_at_length(task: Task) -> None:
    raise ValueError("x" * 1_500)


async def fails_at_length_on_a_loop(task: Task) -> None:
    fails_at_length(task)


def logs(task: Task) -> None:
    logging.getLogger("shop.mails").info("sent to %s", "ada")
    logging.getLogger("shop.mails").debug("not asked for")
    try:
        raise OSError("refused")
    except OSError:
        logging.getLogger("shop.other").exception("not sent")


def grows(task: Task) -> int:
    """Keep some memory of each task, as a library that leaks."""
    KEPT.append(bytearray(os.urandom(task.tags["bytes"])))
    return os.getpid()


KEPT: Final[list[bytearray]] = []


class OddError(Exception):
    """An error whose own attributes raise, as those of a proxy to something that is gone."""

    def __getattribute__(self, name: str) -> Any:
        raise ReferenceError(name)


class OddCauseError(Exception):
    @property
    def __cause__(self) -> BaseException:  # type: ignore[override]
        raise ReferenceError("cause")


class OddGroupError(ExceptionGroup[Exception]):
    @property
    def exceptions(self) -> Any:
        raise ReferenceError("exceptions")


def nested(inner: BaseException) -> BaseException:
    for _ in range(2_000):
        inner = BaseExceptionGroup("one more", [inner])
    return inner


def raises_what_is_odd(task: Task) -> None:
    error = ODD[task.tags["odd"]]()
    raise error


async def raises_what_is_odd_on_a_loop(task: Task) -> None:
    raises_what_is_odd(task)


ODD: Final[dict[str, Callable[[], BaseException]]] = {
    "OddError": OddError,
    "OddCauseError": lambda: OddCauseError("why"),
    "OddGroupError": lambda: OddGroupError("why", [ValueError()]),
    "ExceptionGroup": lambda: nested(ValueError("why")),
    "Fail": lambda: nested(Fail("why")),
}

"""Checksum every file under a folder with a fleet of worker processes, and kill one of them meanwhile.

    python examples/checksums.py [FOLDER] [--uri URI] [--workers 3] [--no-kill] [--json]

Each file is a task with its size as priority, so the largest files come first. The workers are processes of this
script that call `queue.run(...)`. When a third of the tasks is done, one worker gets SIGKILL, which no process can
catch; other workers run the tasks that it held after their leases have expired. At the end this process computes every
checksum itself and compares, and counts the handlers that were started twice.

Without `--uri` and MONGOQ_URI it starts a private MongoDB in a temporary folder, which is removed afterwards.
Exit codes: 0 no task was lost, every checksum is right, the worker was killed; 1 otherwise; 2 usage; 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from mongoq import Fail, MongoqError, NewTask, Queue, QueueStats, Task

# The job: a handler, its tasks, a worker process


def checksum(task: Task) -> dict[str, Any]:
    """Hash one file. The return value is kept as the task's result."""
    digest, size = hashlib.sha256(), 0
    try:
        with Path(task.tags["path"]).open("rb") as file:
            while chunk := file.read(64 * 1024):
                task.raise_if_cancelled()  # the worker is stopping, or has lost the task
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise Fail(f"cannot be read: {error}") from None  # another attempt would not help
    return {"sha256": digest.hexdigest(), "bytes": size}


def tasks_for(folder: Path) -> Iterator[NewTask]:
    """Make a task for each regular file whose name is text, except in caches and installed packages."""
    for parent, folders, names in os.walk(folder):
        folders[:] = set(folders) - {"__pycache__", "site-packages"}
        for path in (Path(parent, name) for name in names):
            with suppress(OSError, UnicodeEncodeError):  # it vanished; its name is not text
                if path.is_file() and str(path).encode():
                    yield NewTask(tags={"path": str(path)}, priority=path.stat().st_size)


def open_queue(uri: str, namespace: str) -> Queue:
    # A short lease: the tasks of the killed worker run again after 3 s instead of half a minute.
    return Queue(uri, namespace=namespace, workers=2, lease=2, grace=2)


def work(namespace: str, journal: Path) -> None:
    """Run as a worker process: connect, wait for the start, run tasks until SIGTERM or the end of the parent."""

    def journaled(task: Task) -> dict[str, Any]:
        lines.write(f"{task.key}\n".encode())
        return checksum(task)

    def stop_with_parent() -> None:
        os.read(0, 1)  # returns when the parent is gone, even after SIGKILL
        os.kill(os.getpid(), signal.SIGTERM)

    with open_queue(os.environ["MONGOQ_URI"], namespace) as queue, journal.open("ab", buffering=0) as lines:
        print(queue.time(), flush=True)
        if os.read(0, 1):
            threading.Thread(target=stop_with_parent, daemon=True).start()
            queue.run(journaled)


# The fleet: worker processes, one of them to be killed


@dataclass(slots=True)
class Worker:
    """A worker process, with the journal of the handlers it started."""

    process: subprocess.Popen[bytes]
    journal: Path
    held_at_kill: int | None = None
    """How many tasks it held when it got SIGKILL; None: it was not killed."""

    def started(self) -> list[str]:
        """The keys of the tasks whose handlers it started, one for each start."""
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    def check(self) -> None:
        """Exit if the worker has ended by itself."""
        if self.held_at_kill is None and self.process.poll() is not None:
            said = self.journal.with_suffix(".log").read_text(errors="replace").strip()
            sys.exit(f"checksums: worker {self.process.pid} ended with {self.process.returncode}: {said[-500:]}")

    def held(self, queue: Queue) -> int:
        """Count the tasks that it holds: running, or prefetched."""
        mine = f":{self.process.pid}:"  # a worker is called host:pid:random
        return sum(mine in str(task.worker) for task in queue.tasks(state="running", limit=None))

    def __str__(self) -> str:
        killed = "" if self.held_at_kill is None else f", killed while it held {self.held_at_kill:,} tasks"
        return f"worker {self.process.pid}: {len(self.started()):,} handlers started{killed}"


def kill_one(workers: list[Worker], queue: Queue) -> Worker | None:
    """Send SIGKILL to the worker that holds the most tasks; None when no worker holds any."""
    try:
        for worker in workers:
            worker.process.send_signal(signal.SIGSTOP)
        time.sleep(0.1)  # writes under way have arrived by then, so the counts are those at the kill
        victim = max(workers, key=lambda worker: worker.held(queue))
        held = victim.held(queue)
        if not held:
            return None
        victim.process.kill()
        victim.process.wait()
        victim.held_at_kill = held
        return victim
    finally:
        for worker in workers:
            worker.process.send_signal(signal.SIGCONT)


@contextmanager
def fleet(count: int, uri: str, namespace: str, folder: Path) -> Iterator[list[Worker]]:
    """Start worker processes, which begin together when all are connected, and end them with the `with` block."""
    workers: list[Worker] = []

    def start(number: int) -> None:
        journal = folder / f"worker-{number}.journal"
        with journal.with_suffix(".log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, __file__, "--work", namespace, str(journal)],
                env={**os.environ, "MONGOQ_URI": uri},  # `ps` would show a password among the arguments
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches only this process, which then stops them
            )
        workers.append(Worker(process, journal))

    try:
        with ThreadPoolExecutor() as pool:  # Ctrl-C is raised in the main thread and interrupts no start
            list(pool.map(start, range(count)))
        for worker in workers:
            if worker.process.stdout and not worker.process.stdout.readline():
                worker.process.wait(timeout=5)
                worker.check()
        for worker in workers:
            if worker.process.stdin:
                worker.process.stdin.write(b"!")
        yield workers
    finally:
        try:
            for worker in workers:
                worker.process.terminate()
            for worker in workers:
                with suppress(subprocess.TimeoutExpired):
                    worker.process.wait(timeout=5)
        finally:
            for worker in workers:
                worker.process.kill()  # no effect if it has ended
                worker.process.communicate()


# The run: watch, then check everything


class Screen:
    """A live picture on a terminal, otherwise one line each second."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        self.total = total
        self.console = Console(quiet=quiet, highlight=False)
        self.live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self.seen: deque[tuple[float, int]] = deque()
        self.due = 0.0

    def show(self, row: QueueStats, workers: list[Worker]) -> None:
        """Draw, if it is time."""
        now = time.monotonic()
        over = row.completed + row.failed >= self.total
        if now < self.due and not over:
            return
        self.due = now + (0.1 if self.live else 1)
        self.seen.append((now, row.completed))
        while now - self.seen[0][0] > 2:
            self.seen.popleft()
        rate = (row.completed - self.seen[0][1]) / max(0.1, now - self.seen[0][0])
        states = ("ready", "scheduled", "running", "completed", "failed")
        counts = "  ".join(f"{getattr(row, state):,} {state}" for state in states) + f"  {rate:,.0f} tasks/s"
        if self.live:
            bar = ProgressBar(self.total, row.completed + row.failed)
            self.live.update(Group(counts, *map(str, workers), bar), refresh=True)
        else:
            self.console.print(counts, soft_wrap=True)


def watch(queue: Queue, workers: list[Worker], screen: Screen, *, kill: bool) -> None:
    """Watch the fleet until all tasks are finished, or none has been unfinished for 10 s.

    Kill one worker when a third of the handlers have started according to the journals, which are ahead of the server.
    """
    alive = time.monotonic()
    with screen.live or nullcontext():
        while time.monotonic() - alive < 10:
            for worker in workers:
                worker.check()
            if kill and 3 * sum(len(worker.started()) for worker in workers) >= screen.total:
                victim = kill_one(workers, queue)
                if victim:
                    kill = False
                    screen.console.print(str(victim))
            row = queue.stats().get("default", QueueStats("default"))
            screen.show(row, workers)
            if row.completed + row.failed + row.cancelled + row.expired >= screen.total:
                return
            if row.ready + row.scheduled + row.running:
                alive = time.monotonic()
            time.sleep(0.02)


def is_right(task: Task) -> bool | None:
    """Whether a result equals the checksum computed here; None when the file was deleted or changed."""
    try:
        with Path(task.tags["path"]).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            right = bool(task.result == {"sha256": sha256, "bytes": file.tell()})
            changed = os.fstat(file.fileno()).st_mtime > task.created_at.timestamp()
            return None if changed and not right else right
    except OSError:
        return None


def report(queue: Queue, keys: set[str], workers: list[Worker], seconds: float) -> dict[str, Any]:
    found = [task for task in queue.tasks(limit=None) if task.key in keys]
    completed = [task for task in found if task.state == "completed"]
    given_up = [task for task in found if task.last_error and task.last_error.type == "Fail"]
    starts = Counter(key for worker in workers for key in worker.started())
    right = Counter(map(is_right, completed))
    killed = [worker for worker in workers if worker.held_at_kill is not None]
    return {
        "tasks": len(keys),
        "completed": len(completed),
        "unreadable": len(given_up) + right[None],
        "run_twice": sum(count > 1 for count in starts.values()),
        "lost": len(keys) - len(completed) - len(given_up),
        "wrong_checksums": right[False],
        "worker_killed": bool(killed),
        "tasks_it_held": sum(worker.held_at_kill or 0 for worker in killed),
        "seconds": round(seconds, 2),
        "tasks_per_second": round(len(completed) / seconds, 1),
    }


def run(options: argparse.Namespace, uri: str, folder: Path) -> int:
    namespace = f"checksums-{secrets.token_hex(4)}"
    with open_queue(uri, namespace) as queue:
        keys = {task.key for task in queue.new_many(tasks_for(options.folder))}
        if not keys:
            sys.exit(f"checksums: no files under {options.folder}")
        screen = Screen(len(keys), quiet=options.json)
        screen.console.print(f"{len(keys):,} files under {options.folder}", soft_wrap=True)
        with fleet(options.workers, uri, namespace, folder) as workers:
            start = time.monotonic()
            watch(queue, workers, screen, kill=options.kill)
            seconds = time.monotonic() - start
        figures = report(queue, keys, workers, seconds)
    if options.json:
        print(json.dumps(figures))
    table = Table("", "", show_header=False)
    for name, figure in figures.items():
        table.add_row(name.replace("_", " "), str(figure) if isinstance(figure, bool) else f"{figure:,}")
    screen.console.print(table)
    if options.kill and not figures["worker_killed"]:
        sys.exit("checksums: all was done before a worker could be killed: take more files, or --no-kill")
    return int(figures["lost"] + figures["wrong_checksums"] > 0)


@contextmanager
def embedded(folder: Path) -> Iterator[str]:
    """Yield the URI of a private MongoDB in `folder`, which stops after its last user."""
    try:
        yield f"embedded:{folder}"
    finally:
        deadline = time.monotonic() + 20
        while (folder / "server.json").exists() and time.monotonic() < deadline:
            time.sleep(0.02)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=sysconfig.get_path("stdlib"), metavar="FOLDER")
    parser.add_argument("--uri", default=os.environ.get("MONGOQ_URI"), help="default: MONGOQ_URI, or a private MongoDB")
    parser.add_argument("--workers", type=int, default=3, help="worker processes (default: 3)")
    parser.add_argument("--no-kill", dest="kill", action="store_false", help="let all workers live")
    parser.add_argument("--json", action="store_true", help="print one JSON object, and nothing else")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work[0], Path(options.work[1]))
        return 0
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is not a folder")
    if options.workers < 1 + options.kill:
        parser.error("--workers must leave one to work: 2 or more, or 1 with --no-kill")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with tempfile.TemporaryDirectory(prefix="mongoq-checksums-") as name, ExitStack() as stack:
            uri = options.uri or stack.enter_context(embedded(Path(name, "mongodb")))
            return run(options, uri, Path(name))
    except MongoqError as error:
        sys.exit(f"checksums: {error}")
    except KeyboardInterrupt:
        print("checksums: interrupted, and everything is stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

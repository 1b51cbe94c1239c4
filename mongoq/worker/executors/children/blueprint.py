"""What all children of one process executor are made from: the interpreter's command, and how to import the handler."""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import multiprocessing.spawn
import os
import pickle
import socket
import subprocess
import sys
from typing import Any, Final

from mongoq.core.host.streams import STANDARD
from mongoq.core.judging.retrying import RetryRules
from mongoq.worker.executors.children.logs import levels
from mongoq.worker.handlers.signature import Handler

BOOT: Final = (
    "import pickle, sys; source = open(int(sys.argv[1]), 'rb'); control = int(sys.argv[2]); "
    "sys.path[:] = pickle.load(source); "
    "from mongoq.worker.executors.children.program import main; main(source, control)"
)
SOCKET_SIZE: Final = 2**18
"""Bytes of tasks that a socket should hold; macOS gives 8 KB by itself."""
FLAGS: Final = {
    "bytes_warning": "-b",
    "dont_write_bytecode": "-B",
    "ignore_environment": "-E",
    "isolated": "-I",
    "no_user_site": "-s",
    "optimize": "-O",
    "safe_path": "-P",
}


class Blueprint:
    """What every child of one executor is made from. RuntimeError in a main module without a guard."""

    def __init__(self, handler: Handler, rules: RetryRules) -> None:
        if _importing_main():
            raise RuntimeError(
                "executor='processes' in the main module: its children import that module, and would start children of "
                "their own. Start the worker below `if __name__ == '__main__':`"
            )
        pickled = pickle.dumps((handler, rules), pickle.HIGHEST_PROTOCOL)
        surroundings = _surroundings()
        surroundings["authkey"] = bytes(surroundings["authkey"])  # its own class refuses to be pickled
        if b"__main__" not in pickled and b"__mp_main__" not in pickled:
            # The handler does not live in the main module: to import that one would only cost time.
            surroundings.pop("init_main_from_name", None)
            surroundings.pop("init_main_from_path", None)
        self.greeting = pickle.dumps(surroundings["sys_path"]) + pickle.dumps(
            (surroundings, os.getpid(), levels(), pickled)
        )
        self.command = [*_interpreter(), "-c", BOOT]

    def spawn(self) -> tuple[subprocess.Popen[bytes], socket.socket, int]:
        """Start a child: the process, the socket of its tasks and the descriptor of its control pipe."""
        ours, theirs = (_blocking(end) for end in socket.socketpair())
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_SIZE)
        control, our_control = (_beyond_standard_streams(end) for end in os.pipe())
        os.set_blocking(our_control, False)
        try:
            ends = [theirs.fileno(), control]
            command = [*self.command, *map(str, ends)]
            out, err = (None if _is_open(number) else subprocess.DEVNULL for number in (1, 2))
            process = subprocess.Popen(
                command, pass_fds=ends, stdin=subprocess.DEVNULL, stdout=out, stderr=err, process_group=0
            )
        except BaseException:
            ours.close()
            os.close(our_control)
            raise
        finally:
            theirs.close()
            os.close(control)
        return process, ours, our_control


def _surroundings() -> dict[str, Any]:
    """What `multiprocessing` tells its children, also where this process's working folder was deleted."""
    with contextlib.suppress(FileNotFoundError):
        return multiprocessing.spawn.get_preparation_data("mongoq-handler")
    found: dict[str, Any] = {"name": "mongoq-handler", "sys_path": list(filter(None, sys.path)), "sys_argv": sys.argv}
    found["authkey"] = multiprocessing.current_process().authkey
    main = sys.modules["__main__"]
    if main.__spec__ is not None:
        found["init_main_from_name"] = main.__spec__.name
    elif (path := getattr(main, "__file__", None) or "").startswith("/"):
        found["init_main_from_path"] = path
    return found


def _blocking(end: socket.socket) -> socket.socket:
    """A socket without a time limit, whatever `socket.setdefaulttimeout` says: its other end would have it too."""
    end = socket.socket(fileno=_beyond_standard_streams(end.detach()))
    end.settimeout(None)
    return end


def _beyond_standard_streams(descriptor: int) -> int:
    """The descriptor, or another one in its place where it took that of a closed standard stream."""
    if descriptor > STANDARD[-1]:
        return descriptor
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, STANDARD[-1] + 1)
    os.close(descriptor)
    return moved


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _interpreter() -> list[str]:
    """The command of this interpreter with the options that a handler may depend on."""
    flags = [flag for name, flag in FLAGS.items() for _ in range(getattr(sys.flags, name))]
    warnings = [f"-W{option}" for option in sys.warnoptions]
    options = [
        f"-X{name}" if value is True else f"-X{name}={value}"
        for name, value in sys._xoptions.items()  # noqa: SLF001 -- documented, despite its name
    ]
    return [os.fsdecode(multiprocessing.spawn.get_executable()), *flags, *warnings, *options]


def _importing_main() -> bool:
    """Whether this process is a child that imports its parent's main module just now.

    `runpy` runs it as `__mp_main__`, which becomes `__main__` at the end.
    """
    main = sys.modules.get("__mp_main__")
    return main is not None and main is not sys.modules["__main__"]

"""Helper processes: how many, how they begin, and that they end with the process that started them, however that ended."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from typing import Any

from training_moat.core.errors import InputError

_POLL_S = 0.3
MOST_A_CORE = 8
"""Processes on a core beyond which starting them is all that a machine does."""


def require_count(count: int | None) -> None:
    """Refuse a number of processes that does no work, or does nothing but start them."""
    most = MOST_A_CORE * (os.cpu_count() or 1)
    if count is not None and count < 1:
        raise InputError(f"--workers {count}: expected a whole number above 0.")
    if count is not None and count > most:
        share = f"{MOST_A_CORE} on each core of this machine"
        raise InputError(f"--workers {count}: expected at most {most}, {share}.")


class Pool(ProcessPoolExecutor):
    """Processes that end at once where what waits for them is interrupted: Ctrl-C reaches all of them, and one whose work it
    stopped would begin with the next piece."""

    def __exit__(self, kind: type[BaseException] | None, *told: Any) -> bool | None:
        """End the processes, with what they are at and what waits, unless all went well or an error is to be reported."""
        if kind is None or issubclass(kind, Exception):
            return super().__exit__(kind, *told)
        for process in multiprocessing.active_children():
            process.kill()
        self.shutdown(cancel_futures=True)
        return None


def pool(
    count: int | None, begin: Callable[..., None] | None = None, *given: Any, fork: bool = False
) -> Pool:
    """`count` processes (None: one a core) that end with this one, each of which calls `begin` with what is `given` first.
    fork: forks of this process rather than new ones, which have what it imported."""
    context = multiprocessing.get_context("fork" if fork else "spawn")
    return Pool(count, context, _begin, (os.getpid(), fork, begin, *given))


def _begin(parent: int, fork: bool, begin: Callable[..., None] | None, *given: Any) -> None:
    """Begin a process, a `fork` or a new one, which ends with `parent`."""
    if fork:
        end_with_parent(parent)
    else:
        follow(parent)
    if begin is not None:
        begin(*given)


def follow(parent: int) -> None:
    """End this process as soon as `parent`, the process that started it, is gone.

    A killed parent runs no clean-up, so its helpers have to look for themselves: a helper whose
    parent has died is handed to another process, and its parent's number changes. Kernels do the
    same for the worker that started them (ipykernel's parent poller).
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="follow-parent").start()


def end_with_parent(parent: int) -> None:
    """Ask Linux to end this process when `parent` ends, and end it now where that has happened already; elsewhere nothing
    happens.

    For a process just forked, which may not start a thread to `follow` its parent.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:  # it was killed before it could be asked for
        os._exit(1)

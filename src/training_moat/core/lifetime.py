"""A helper process ends with the process that started it, however that one ended."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from contextlib import suppress

_POLL_S = 0.3


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


def end_with_parent() -> None:
    """Ask Linux to end this process when its parent ends; elsewhere nothing happens.

    For a process just forked, which may not start a thread to `follow` its parent.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG

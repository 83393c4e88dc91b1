"""A helper process ends with the process that started it, however that one ended."""

from __future__ import annotations

import os
import threading
import time

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

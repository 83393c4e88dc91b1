"""The loop of a peer's worker: JSON requests on standard input, one JSON answer a line.

Runs inside the peers' own environment, on the standard library alone. A peer supplies `predict(case)`, which
returns (step seconds, whether it fits in memory), and may supply `search(request)`, its own plan search.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from importlib.metadata import version


def serve(
    package: str,
    predict: Callable[[dict], tuple[float, bool]],
    search: Callable[[dict], dict] | None = None,
) -> None:
    """Answer requests until standard input ends. `package` is the peer's name on PyPI."""
    answers = os.fdopen(os.dup(1), "w")
    # The peers print; only answers may reach the caller.
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (stays open as long as the worker)
    print(json.dumps({"version": version(package)}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = _answer(request, predict, search)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            answer = {
                "error": f"{type(error).__name__}: {error} ({os.path.basename(last.filename)}:{last.lineno})"
            }
        print(json.dumps(answer), file=answers, flush=True)


def _answer(request: dict, predict: Callable, search: Callable | None) -> dict:
    if request["do"] == "search":
        if search is None:
            return {"error": "has no plan search"}
        start = time.process_time()
        found = search(request["case"])
        return {"cpu_s": time.process_time() - start, **found}
    start = time.process_time()
    outcomes = [_outcome(case, predict) for case in request["cases"]]
    return {"cpu_s": time.process_time() - start, "outcomes": outcomes}


def _outcome(case: dict, predict: Callable) -> list | None:
    """[seconds, fits], or None where the peer refuses the plan."""
    try:
        return list(predict(case))
    except (ValueError, AssertionError):
        return None

"""A process that runs chapters one after another, each in a fork with everything imported.

A worker of a cluster has threads and must not fork; it starts one of these beside it instead
(`python -m training_moat.press.kitchen`) and sends it one JSON line a run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training_moat.core.errors import InputError
from training_moat.press.failures import WorkFailed

DIED = "its process ended without an answer"


_process: subprocess.Popen[str] | None = None
"""The process as its worker sees it; it is started when the first run is asked for."""


def run(chapter: str, parameters: Mapping[str, Any], target: Path) -> str:
    """Execute a chapter to `target`; returns the sentence of its failure, or nothing."""
    global _process
    if _process is None or _process.poll() is not None:
        _process = subprocess.Popen(
            [sys.executable, "-m", "training_moat.press.kitchen"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    order = {"chapter": chapter, "parameters": dict(parameters), "target": str(target)}
    try:
        told, heard = _process.stdin, _process.stdout
        assert told is not None and heard is not None  # both are pipes
        told.write(json.dumps(order) + "\n")
        told.flush()
        answer = heard.readline()
    except BrokenPipeError:
        answer = ""
    return json.loads(answer) if answer else f"chapter '{chapter}': {DIED}"


def serve() -> None:
    """Answer one order a line until the input ends."""
    from training_moat.press import forking
    from training_moat.press.running import Job, execute

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a run prints must not reach the answers
    forking.preload()
    for line in sys.stdin:
        order = json.loads(line)
        try:
            execute(Job(order["chapter"], Path(order["target"]), order["parameters"]))
            said = ""
        except (WorkFailed, InputError) as error:
            said = str(error)
        print(json.dumps(said), file=answers, flush=True)


if __name__ == "__main__":
    serve()

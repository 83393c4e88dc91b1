"""Install the peers beside us, start their workers, ask them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FOLDER = HERE.parent / ".venv-peers"
REQUIREMENTS = HERE.parent / "requirements-peers.txt"
NAMES = {"llm-analysis": "llm_analysis_worker.py", "mlsysim": "mlsysim_worker.py"}
"""Peers by their name on PyPI, and the worker that runs them."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class PeerFailed(Exception):
    """A peer could not be installed, started or asked; the message is its own."""


class Peer:
    """A running worker: `ask` sends a request and returns its answer."""

    def __init__(self, name: str, python: Path) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [str(python), str(HERE / NAMES[name])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | ONE_THREAD,
        )
        self.version = self._read()["version"]

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """The worker's answer to one request. Raises `PeerFailed` with the peer's own error."""
        with suppress(BrokenPipeError):
            print(json.dumps({"do": do, **fields}), file=self._process.stdin, flush=True)
        answer = self._read()
        if "error" in answer:
            raise PeerFailed(f"{self.name}: {answer['error']}")
        return answer

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        last = self._process.stderr.read().strip().splitlines()
        raise PeerFailed(last[-1] if last else "its process ended without a word")

    def close(self) -> None:
        """End the worker."""
        self._process.communicate(timeout=30)


def python() -> Path:
    """The interpreter of the peers' environment, installed if it is not there. Raises `PeerFailed`."""
    interpreter, mark = FOLDER / "bin" / "python", FOLDER / "installed.txt"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if mark.exists() and mark.read_text(encoding="utf-8") == wanted:
        return interpreter
    print("installing the peers into", FOLDER.name, file=sys.stderr)
    _run([sys.executable, "-m", "venv", "--clear", str(FOLDER)])
    _run(
        [
            str(interpreter),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
            str(REQUIREMENTS),
        ]
    )
    mark.write_text(wanted, encoding="utf-8")
    return interpreter


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = [
            line for line in done.stderr.splitlines() if line.startswith("ERROR")
        ] or done.stderr.splitlines()
        raise PeerFailed(lines[-1] if lines else f"{command[0]} failed")


@contextmanager
def opened(names: list[str]) -> Iterator[tuple[dict[str, Peer], dict[str, str]]]:
    """The peers that run, by name, and for the others what stopped them; all are ended afterwards."""
    running: dict[str, Peer] = {}
    failed: dict[str, str] = {}
    try:
        for name in names:
            try:
                running[name] = Peer(name, python())
            except PeerFailed as error:
                failed[name] = str(error)
        yield running, failed
    finally:
        for peer in running.values():
            peer.close()

"""Every long form of the tests, two at a time: what each says in its last line, and how long it took.

    python -m benchmarks.long                 all of them, new seeds
    python -m benchmarks.long --seed 7        the same inputs and slips again
    python -m benchmarks.long fuzz kills      some

What each printed is kept in `_build/long/`; exit status 1 when any of them found something.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date

from training_moat.catalog import paths

ROOT = paths.root()
LOGS = paths.build_folder() / "long"
BUILDS = ("tests/faults/test_builds.py",)
SLOW = ("-m", "pytest", "-q", "-p", "no:cacheprovider")


def calls(seed: int) -> dict[str, tuple[str, ...]]:
    """What Python is called with, by name: the longest first."""
    from training_moat.press import notebooks

    chapters = notebooks.chapter_names()
    module = "benchmarks."
    return {
        "reruns, one half": ("-m", f"{module}reruns", *chapters[::2]),
        "reruns, the other half": ("-m", f"{module}reruns", *chapters[1::2]),
        "machines": ("-m", f"{module}machines", "--together"),
        "pairs of builds": (*BUILDS, "20", "0"),
        "kills": (*BUILDS, "0", "30"),
        "fuzz": ("-m", f"{module}fuzz", "--seed", str(seed)),
        "slips": ("-m", f"{module}slips", "--seed", str(seed), "--each", "8"),
        "bad inputs": (*SLOW, "tests/faults/test_bad_inputs.py"),
        "sweeps": (*SLOW, "tests/faults/test_sweeps.py", "tests/press/test_sweeping.py"),
    }


def run(name: str, call: tuple[str, ...]) -> bool:
    """Whether one of them found nothing wrong; prints a row of it."""
    found = [str(ROOT / folder) for folder in ("src", "tests", "tools")]
    known = [*found, os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, known))}
    log, begun = LOGS / f"{name}.txt", time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            [sys.executable, *call],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=file,
            check=False,
        )
    last = (log.read_text(encoding="utf-8").strip().splitlines() or ["nothing was said"])[-1]
    state = "right" if done.returncode == 0 else "WRONG"
    print(f"{state}  {name}, {time.monotonic() - begun:.0f} s: {last[:160]}", flush=True)
    return done.returncode == 0


def main() -> int:
    """Print a row for each; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seed", type=int, default=date.today().toordinal(), help="default: the day's"
    )
    parser.add_argument("--at-once", type=int, default=2, metavar="N")
    parser.add_argument("names", nargs="*", help="default: all; the beginning of a name is enough")
    options = parser.parse_args()
    known = calls(options.seed)
    for word in options.names:
        if not any(name.startswith(word) for name in known):
            parser.error(f"nothing begins with '{word}'; expected one of: {', '.join(known)}")
    begins = tuple(options.names) or ("",)
    wanted = {name: call for name, call in known.items() if name.startswith(begins)}
    LOGS.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(options.at_once) as pool:
        right = list(pool.map(run, wanted, wanted.values()))
    print(f"{sum(right)} of {len(right)} right (seed {options.seed})")
    return int(not all(right))


if __name__ == "__main__":
    sys.exit(main())

"""What is measured, how long it may take and where it is written down, for every framework; needs no framework itself."""

from __future__ import annotations

import contextlib
import csv
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

STARTED = time.time()
HERE = Path(__file__).parent
GIB = 2**30
SETS = {"first": "runs.csv", "second": "runs_second.csv", "third": "runs_third.csv"}
"""Files of the runs, by the name of their set."""
WARM_UP, FEWEST, MOST = 3, 5, 20
"""Steps before the clock, and timed steps of a run."""
TIMED_S = 1.0
"""Seconds that a run's timed steps may take before they are the fewest; it was 1.5 when the first set was measured."""
SLOW_STEP_S, FEWEST_SLOW, WARM_UP_SLOW = 1.5, 3, 2
"""A step that takes longer, and how many of its kind are timed and warm up at least, from the third set on."""
LONGEST_RUN_S = 45
"""Seconds after which a run is given up."""
SLOW_MACHINE = 4
"""How many times as long it may take where only its code is tried."""
SPARE_S = 6
"""A run is not begun when fewer seconds are left of the budget."""
COLUMNS = (
    *("run_id", "status", "step_s", "step_s_min", "step_s_max", "steps", "tokens_per_s"),
    *("allocated_gib", "reserved_gib", "device_used_gib", "allocated_before_gib", "parameters"),
    *("loss", "build_s", "warm_up_s", "device", "software", "date", "notes"),
)
KINDS = (
    *("architecture", "framework", "precision", "recompute", "weights", "lora_rank"),
    *("expert_products", "compiled", "optimizer", "loop", "attention"),
)
"""Columns of a run that choose the code that it goes through."""
Run = Mapping[str, str]


def runs(which: str, framework: str, small: bool) -> list[dict[str, str]]:
    """The framework's runs of a set, in the order in which they are measured; `small`: one of every kind, with tiny models."""
    with (HERE / SETS[which]).open(newline="") as file:
        every = [run for run in csv.DictReader(file) if run["framework"] == framework]
    if not small:
        return every
    # Compiling takes longest, and compiled layers that are recomputed go through all of it.
    able = [
        run
        for run in every
        if run["compiled"] == "0" or run["recompute"] == "full" or framework != "pytorch"
    ]
    kinds = {tuple(run.get(key) for key in KINDS): run for run in able}
    accumulated = [run for run in every if run["global_batch"] != run["micro_batch"]]
    chosen = {run["run_id"]: run for run in [*kinds.values(), *accumulated]}
    return [run | _tiny(run) for run in chosen.values()]


def _tiny(run: Run) -> dict[str, str]:
    """The sizes of a run that only shows that its code works."""
    sizes = {"layers": 2, "hidden": 256, "heads": 4, "kv_heads": 2, "head_dim": 64, "ffn": 512}
    sizes |= {"vocab": 2048, "seq_len": 256, "micro_batch": 2}
    sizes["global_batch"] = 2 * int(run["global_batch"]) // int(run["micro_batch"])
    if int(run["experts"]):
        sizes |= {"experts": 8, "experts_per_token": 2, "expert_ffn": 128}
    if int(run.get("attention_window") or 0):
        sizes |= {"attention_window": 128, "windowed_layers": 2}
    return {name: str(size) for name, size in sizes.items()}


def timed_steps(seconds: float, quick: bool) -> int:
    """How many steps of this length are timed."""
    if seconds > SLOW_STEP_S:
        return FEWEST_SLOW
    return FEWEST if quick else min(MOST, max(FEWEST, int(TIMED_S / seconds)))


def warm(done: int, seconds: float) -> bool:
    """Whether so many steps, of which the last took so long, are enough to begin the clock."""
    return done >= (WARM_UP_SLOW if seconds > SLOW_STEP_S else WARM_UP)


@contextlib.contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise `TimeoutError` in a block that takes longer."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"given up after {seconds} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def first_lines(error: Exception) -> str:
    """What an error says, in one line of at most 300 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[:300]


class Table:
    """A table that grows on disk row by row; `known` are the keys of the rows that it holds already."""

    def __init__(self, path: Path, columns: tuple[str, ...], key: str) -> None:
        self.path, self.columns = path, columns
        if not path.exists():
            self._append(dict(zip(columns, columns)))
        with path.open(newline="") as file:
            self.known = {row[key] for row in csv.DictReader(file)}

    def add(self, row: Mapping[str, object]) -> None:
        """Append a row and have it on disk at once."""
        self._append(row)
        told = ("step_s", "allocated_gib", "reserved_gib", "rate", "unit", "notes")
        shown = " ".join(f"{name}={row[name]}" for name in told if row.get(name))
        first = " ".join(str(row.get(name, "")) for name in self.columns[:2])
        print(f"{time.time() - STARTED:6.1f} s  {first}  {shown}", file=sys.stderr, flush=True)

    def _append(self, row: Mapping[str, object]) -> None:
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns, lineterminator="\n").writerow(row)


def waiting(every: list[dict[str, str]], table: Table, until: float) -> Iterator[dict[str, str]]:
    """The runs that the table lacks, one by one while there is time; those without any are named."""
    for run in every:
        if run["run_id"] in table.known:
            continue
        if time.time() > until - SPARE_S:
            print(f"steps: no time for {run['run_id']}", file=sys.stderr, flush=True)
        else:
            yield run

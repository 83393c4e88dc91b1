"""Runs the low-precision experiment: in parallel, resumable, with a manifest beside its table."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import math
import os
import platform
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import as_completed
from contextlib import contextmanager
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import corpus
import numpy as np
from numpy_loop import train
from tqdm import tqdm

import training_moat
from training_moat.core import file_locks, processes
from training_moat.core.errors import InputError
from training_moat.core.surroundings import environment
from training_moat.core.whole_files import write_text
from training_moat.numerics.design import (
    FULL,
    PILOT_SEEDS,
    QUICK,
    SEEN_SEEDS,
    Design,
    Run,
    Thresholds,
)
from training_moat.numerics.recipes import recipe

TABLE = "experiment_low_precision.csv"
MANIFEST = "experiment_low_precision.manifest.json"
SOURCE = "experiment_low_precision"
COLUMNS = (
    "study", "recipe", "seed", "log2_learning_rate", "log2_loss_scale", "steps", "initial_loss_nats",
    "train_loss_nats", "val_loss_nats", "skipped_steps", "diverged", "source", "confirmed", "date",
)  # fmt: skip
PROBED = ("fp32", "mxfp4")  # plain arithmetic, and all that rounding and scaling do
_WORKER_VARIABLES = {
    **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    # glibc: keep freed memory instead of handing it back and faulting it in again hundreds of times a step
    **dict.fromkeys(("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"), str(1 << 30)),
    "MALLOC_TOP_PAD_": str(1 << 26),
}


def run(
    quick: bool,
    out: Path,
    seeds: Iterable[int] | None = None,
    workers: int | None = None,
    manifest: Path | None = None,
) -> Path:
    """Run what is still missing of the experiment and write its table and manifest into `out`.

    The design is the full or the quick one, or that of an earlier run's `manifest`; `seeds` replaces its seeds. An
    interrupted call leaves a partial table in `out`, which the next call with the same code, design and seeds
    on the same machine continues. Returns the path of the table. Raises InputError, before anything runs, for a bad
    design and for a folder that another call works in or that holds other results.
    """
    form, design = ("quick", QUICK) if quick else ("full", FULL)
    if manifest is not None:
        form, design = stored_design(manifest)
        seeds = design.seeds if seeds is None else seeds
    if seeds is not None:
        design = dataclasses.replace(design, seeds=_checked(seeds, form))
    workers = workers or min(2, os.cpu_count() or 1)
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: this is a file; expected a folder.")
    out.mkdir(parents=True, exist_ok=True)
    with file_locks.alone(out / f".{SOURCE}.lock") as free:
        if not free:
            said = (
                "another call runs its experiment there; wait for its end or give another folder."
            )
            raise InputError(f"--out {out}: {said}")
        return _run(form, design, out, workers)


def _run(form: str, design: Design, out: Path, workers: int) -> Path:
    """Run what is still missing of a design in a folder that is this call's alone."""
    fingerprint = _fingerprint(design)
    _refuse_foreign(out, fingerprint)
    partial = out / f".{SOURCE}.{fingerprint[:12]}.partial.csv"
    started = time.monotonic()
    done = _read_partial(partial)
    missing = [item for item in design.runs() if item.key not in done]
    with partial.open("a", newline="") as file:
        for item, row in _results(missing, workers, len(done)):
            done[item.key] = row
            csv.writer(file).writerow(row)
            file.flush()
    rows = [done[item.key] for item in sorted(design.runs(), key=_table_order)]
    seconds = time.monotonic() - started
    machine = {"processor": processor(), "workers": workers}
    said = _manifest(form, design, fingerprint, len(missing), seconds)
    said |= {"machine": machine, "probe_sha256": _probe_of_workers()}
    table = "".join(",".join(row) + "\n" for row in [list(COLUMNS), *rows])
    said["table_sha256"] = hashlib.sha256(table.encode()).hexdigest()
    # In this order: a table without its manifest is taken for somebody else's.
    write_text(out / MANIFEST, json.dumps(said, indent=2) + "\n")
    write_text(out / TABLE, table)
    partial.unlink()
    return out / TABLE


def stored_design(manifest: Path) -> tuple[str, Design]:
    """Form (full or quick) and design that a manifest records."""
    if not manifest.is_file():
        raise InputError(
            f"--manifest '{manifest}': no such file; expected a manifest of the experiment."
        )
    try:
        stored = json.loads(manifest.read_text())
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in stored["design"].items()
        }
        form, design = stored["form"], Design(**fields)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{manifest}: cannot read a design from it ({error}); expected a manifest of this experiment."
        ) from None
    if fault := _fault(design):
        raise InputError(f"{manifest}: {fault}; nothing was run.")
    return form, design


def _fault(design: Design) -> str | None:
    """What makes a design read from a file impossible to run, if anything."""
    for field in dataclasses.fields(Design):
        value = getattr(design, field.name)
        if not isinstance(field.default, tuple):
            if type(value) is not int or value < 1:
                return f"{field.name} is {value!r:.40}, expected a whole number above 0"
        elif not isinstance(value, tuple) or not value:
            return f"{field.name} is {value!r:.40}, expected a list with at least one entry"
        elif isinstance(field.default[0], str):
            for name in value:
                recipe(str(name))
        elif not all(type(item) in (int, float) and math.isfinite(item) for item in value):
            return f"{field.name} is {list(value)!r:.40}, expected numbers"
    return None


def _refuse_foreign(out: Path, fingerprint: str) -> None:
    """Results of another design, or of nobody knows what, are not written over."""
    if not (out / TABLE).exists():
        return
    try:
        same = json.loads((out / MANIFEST).read_text())["fingerprint_sha256"] == fingerprint
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    if not same:
        raise InputError(
            f"--out {out}: holds the results of another design, code or machine; move them or give another folder."
        )


def _checked(seeds: Iterable[int], form: str) -> tuple[int, ...]:
    chosen, used = tuple(seeds), PILOT_SEEDS if form == "quick" else (*PILOT_SEEDS, *SEEN_SEEDS)
    if (
        len(chosen) < 2
        or len(set(chosen)) != len(chosen)
        or not all(isinstance(seed, int) and seed >= 0 for seed in chosen)
    ):
        raise InputError(
            f"seeds {list(chosen)}: expected at least two different whole numbers, none negative."
        )
    if set(chosen) & set(used):
        raise InputError(
            f"seeds {list(chosen)}: {list(used)} chose the design and cannot test it; take others."
        )
    return chosen


@contextmanager
def _pool(workers: int) -> Iterator[processes.Pool]:
    """Processes that do their linear algebra on one thread each and end with this one."""
    with environment(_WORKER_VARIABLES), processes.pool(workers) as pool:
        yield pool


def _results(missing: list[Run], workers: int, already: int):
    """Finished runs as they come."""
    with _pool(workers) as pool:
        futures = {pool.submit(_one, item): item for item in missing}
        total = already + len(missing)
        shown = {"unit": "run", "desc": "low precision"}
        bar = tqdm(as_completed(futures), total=total, initial=already, **shown)
        try:
            for future in bar:
                yield futures[future], future.result()
        finally:  # an interruption waits for the runs at work, not for those that have not begun
            pool.shutdown(cancel_futures=True)


def _one(item: Run) -> list[str]:
    chosen = recipe(item.recipe)
    if item.log2_loss_scale is not None:
        chosen = dataclasses.replace(chosen, loss_scale=2.0**item.log2_loss_scale)
    outcome = train(chosen, item.log2_learning_rate, item.seed, item.steps, corpus.load())
    losses = (outcome.initial_loss, outcome.train_loss, outcome.val_loss)
    return [
        item.study, item.recipe, str(item.seed), repr(item.log2_learning_rate), _blank(item.log2_loss_scale),
        str(item.steps), *(_blank(round(loss, 5)) for loss in losses), str(outcome.skipped_steps),
        str(outcome.diverged).lower(), SOURCE, "yes", date.today().isoformat(),
    ]  # fmt: skip


def _blank(number: float | None) -> str:
    return "" if number is None or not math.isfinite(number) else repr(float(number))


def _read_partial(path: Path) -> dict[tuple, list[str]]:
    """Finished runs of an interrupted call; a line cut short by the interruption is run again."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rows = [row for row in csv.reader(file) if len(row) == len(COLUMNS)]
    write_text(path, "".join(",".join(row) + "\n" for row in rows))
    return {_key_of(row): row for row in rows}


def _key_of(row: list[str]) -> tuple:
    study, name, seed, rate, scale, steps = row[:6]
    return (study, name, int(seed), float(rate), float(scale) if scale else None, int(steps))


def _table_order(item: Run) -> tuple:
    *first, scale, _ = item.key
    return (*first, scale or 0.0)


def _fingerprint(design: Design) -> str:
    """Hash of everything that decides a result: the runs, the text, and what the first steps of each recipe give here.

    The code enters by what it computes and not by its letters: a comment or another name for a thing changes no result.
    """
    names = tuple(sorted({item.recipe for item in design.runs()}))
    keys = [item.key for item in design.runs()]
    told = json.dumps([keys, corpus.SHA256, _probe_of_workers(names)])
    return hashlib.sha256(told.encode()).hexdigest()


def processor() -> str:
    """Model of this machine's processor: the order in which it sums decides the last digits of a loss."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{platform.machine()}, {models[0] if models else platform.processor()}"


def probe(names: Iterable[str] = PROBED) -> str:
    """Digest of a few steps of training under these recipes, to the last bit: where it is the same, so is every result.

    The order in which a processor sums decides the last digits of a loss. That order follows from the
    kernel that the linear algebra picks, its number of threads and NumPy's use of vector instructions;
    processors of one name differ in it.
    """
    losses = []
    for name in names:
        outcome = train(recipe(name), -8.0, 1, 3, corpus.load())
        losses += [outcome.initial_loss.hex(), outcome.train_loss.hex(), outcome.val_loss.hex()]
    return hashlib.sha256(" ".join(losses).encode()).hexdigest()


@cache
def _probe_of_workers(names: tuple[str, ...] = PROBED) -> str:
    """The probe as the runs themselves were made: on one thread."""
    with _pool(1) as pool:
        return pool.submit(probe, names).result()


def _processor_seconds() -> float:
    """Processor time of the finished worker processes: what the runs cost on a machine that others use too."""
    used = os.times()
    return used.children_user + used.children_system


def _manifest(form: str, design: Design, fingerprint: str, ran: int, seconds: float) -> dict:
    return {
        "table": TABLE,
        "form": form,
        "command": f"moat experiment low-precision --manifest {MANIFEST} --seeds {','.join(map(str, design.seeds))}",
        "date": date.today().isoformat(),
        "runs": len(design.runs()),
        "runs_in_last_call": ran,
        "wall_seconds_of_last_call": round(seconds),
        "processor_seconds_of_last_call": round(_processor_seconds()),
        "fingerprint_sha256": fingerprint,
        "corpus_sha256": corpus.SHA256,
        "design": dataclasses.asdict(design),
        "thresholds": dataclasses.asdict(Thresholds()),
        "pilot_seeds": list(PILOT_SEEDS),
        "seen_seeds": list(SEEN_SEEDS),
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "training_moat": training_moat.__version__,
        },
    }

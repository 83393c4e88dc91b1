"""Random inputs to the command: malformed ones get one sentence, valid ones no absurd answer.

    python -m benchmarks.fuzz                      2,000 malformed and 20,000 valid inputs, 3,200 hostile words
    python -m benchmarks.fuzz --share 0.02         what the tests run
    python -m benchmarks.fuzz --seed 7 search      others than the fixed ones, of one kind

The seed is fixed where none is given. Looked for: tracebacks, wrong exit statuses, messages of several lines or over 300
characters, answers that cannot be, files left behind, calls of over ten seconds of processor time. What a call would do
once its input is accepted (execute chapters, fit constants) is left out, `benchmarks.reruns` does that; sweeps of the
model are computed, and their rows read like the answers of `moat predict`, as are those that a search prints.
A row a fault; exit status 1 when there is one.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

from benchmarks import fuzz_inputs as inputs
from benchmarks import fuzz_words
from benchmarks.fuzz_inputs import Call
from training_moat import cli
from training_moat.calibrate import refit
from training_moat.press import (
    building,
    commands,
    failures,
    refreshing,
    standalone,
    sweep_points,
    sweeping,
)
from training_moat.press.sweep_spec import Sweep

SEED = 20261126
LONGEST_S = 10.0
LONGEST_MESSAGE = 300
MOST_COUNTED = 1.5
"""Most that a chip may be told to use of its peak in the longest sequences."""
LINES = 40
"""Lines of one call of `moat predict`."""

MALFORMED = {
    "training": 500, "serving": 500, "run": 300, "scenario": 300, "sweep": 200, "search": 100, "listing": 100, "words": 3200,
}  # fmt: skip
VALID = {"training": 9000, "serving": 9000, "run": 600, "scenario": 400, "sweep": 300, "search": 400, "listing": 300}  # fmt: skip
"""How many inputs of each kind."""

MAKERS = {
    "run": inputs.run_call,
    "scenario": inputs.scenario_call,
    "sweep": inputs.sweep_call,
    "search": inputs.search_call,
    "listing": inputs.listing_call,
    "words": fuzz_words.call,
}
WORK = (
    *((standalone, "execute"), (building, "executed"), (building, "execute_all")),
    *((refreshing, "execute_all"), (commands._experiment(), "_results"), (refit, "refit")),
)
"""What takes minutes once the input of a verb is accepted."""
ACCEPTED = "accepted"
GOOD = {"model": "llama3.1-8b", "chip": "h100-sxm", "chips": 8}
"""A case that stands among malformed ones and is to be answered all the same."""


@dataclass(frozen=True)
class Said:
    """What came of a call."""

    status: Any
    out: str
    err: str
    left: tuple[str, ...]
    seconds: float
    raised: str = ""
    table: pd.DataFrame | None = None


def _accept(*_: Any, **__: Any) -> None:
    raise failures.WorkFailed(ACCEPTED)


def _here(sweep: Sweep, missing: np.ndarray, target: Path, environment: str, *_: Any) -> None:
    """Compute a sweep of the model in this process; one of a chapter is accepted."""
    if sweep.is_chapter:
        _accept()
    sweeping._parts(target).mkdir()
    found = sweep_points.results(sweep, missing)
    sweeping._write(found, sweeping._parts(target) / "0.parquet", {"environment": environment})


def ask(call: Call) -> Said:
    """Run a call in this process, in a folder of its own; accepted work of minutes is not begun."""
    out, err, raised, status = io.StringIO(), io.StringIO(), "", None
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        if call.spec:
            Path(inputs.SPEC).write_text(call.spec, encoding="utf-8", errors="replace")
        stdin = io.TextIOWrapper(io.BytesIO(call.stdin.encode("utf-8", "replace")))
        begun = time.process_time()
        with (
            mock.patch.object(sys, "stdin", stdin),
            mock.patch.object(sweeping, "_client", lambda *_: contextlib.nullcontext()),
            mock.patch.object(sweeping, "_compute", _here),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            contextlib.ExitStack() as begun_work,
        ):
            for module, name in WORK:
                begun_work.enter_context(mock.patch.object(module, name, _accept))
            try:
                status = cli.main(list(call.arguments))
            except SystemExit as stop:
                status = stop.code
            except BaseException:  # noqa: BLE001 - whatever comes out is what is looked for
                raised = traceback.format_exc().strip().splitlines()[-1]
        seconds = time.process_time() - begun
        left = set(os.listdir()) - {inputs.SPEC}
        table = pd.read_parquet(inputs.TABLE) if inputs.TABLE in left and status == 0 else None
        if status == 0 and call.arguments[0] in ("new", "sweep"):
            left.clear()
    return Said(status, out.getvalue(), err.getvalue(), tuple(sorted(left)), seconds, raised, table)


def common(said: Said) -> Iterator[str]:
    """What is wrong with any call, whatever it asked."""
    if said.raised:
        yield f"traceback: {said.raised}"
    elif said.status not in (0, 1, 2):
        yield f"exit status {said.status}"
    if said.seconds > LONGEST_S:
        yield f"{said.seconds:.0f} s"
    accepted = said.err.strip().endswith(f"moat: {ACCEPTED}")
    if said.left and not accepted:
        yield f"left behind: {', '.join(said.left)}"
    if "Warning" in said.err:
        yield f"a warning of the machinery: {said.err!r:.200}"
    if said.status == 2 or (said.err and said.status and not accepted):
        lines = said.err.splitlines()
        if len(lines) != 1 or len(said.err) > LONGEST_MESSAGE or not said.err.startswith("moat"):
            yield f"message of {len(lines)} lines, {len(said.err)} characters: {said.err!r:.200}"
        if said.status != 2:
            yield f"exit status {said.status} with a message: {said.err!r:.200}"
        if said.out:
            yield "a message and output"


def numbers(value: Any) -> Iterator[float]:
    """Every number of an answer; what it repeats of the request (`id`) aside."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key != "id":
                yield from numbers(part)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


def absurd(kind: str, answer: dict[str, Any]) -> Iterator[str]:
    """What cannot be of an answer with `ok: true`."""
    main = "step_time_s" if kind == "training" else "tpot_s"
    if not all(math.isfinite(number) and number >= 0 for number in numbers(answer)):
        yield "a negative or endless number"
    if not 0 < answer[f"{main}_p05"] <= answer[main] <= answer[f"{main}_p95"]:
        yield "the interval does not hold its middle"
    if not math.isclose(sum(answer["seconds"].values()), answer[main], rel_tol=1e-6):
        yield "the seconds do not add up"
    # The masked half of attention's scores counts and is not computed, where a note says so.
    most = MOST_COUNTED if "count in full" in str(answer.get("notes")) else 1
    if not 0 < answer.get("mfu", 1) <= most:
        yield f"mfu {answer['mfu']}"
    held = answer["memory_gib"]
    parts = [v for k, v in held.items() if k not in ("total", "allocated", "reserved")]
    if not math.isclose(sum(parts), held["total"], rel_tol=1e-6):
        yield "the memory does not add up"
    outside = answer["plan"].get("offload") == "all" or answer.get("store_gib", 0) > 0
    if held["weights"] <= 0 and not outside:
        yield "no weights"


def line_faults(kind: str, text: str) -> Iterator[str]:
    """What is wrong with one answered line."""
    answer = json.loads(text)
    if answer["ok"]:
        yield from absurd(kind, answer)
    elif len(answer["error"]) > LONGEST_MESSAGE or "\n" in answer["error"]:
        yield f"message of {len(answer['error'])} characters"
    elif "cannot be answered (" in answer["error"]:
        yield f"a fault inside: {answer['error']:.200}"


def predict_faults(kind: str, lines: list[str], bad: bool) -> Iterator[str]:
    """Ask a batch of lines, the last of them good; what is wrong, with the line that did it."""
    good = json.dumps({"id": "good", **GOOD})
    call = Call(("predict", kind), stdin="\n".join([*lines, good]))
    said = ask(call)
    if any("traceback" in fault or fault.endswith(" s") for fault in common(said)) and lines[1:]:
        for line in lines:
            yield from predict_faults(kind, [line], bad)
        return
    yield from (f"{call}: {fault}" for fault in common(said))
    answers = said.out.splitlines()
    asked = [line for line in lines if line.strip()] + [good]
    if len(answers) != len(asked):
        yield f"{call}: {len(answers)} answers to {len(asked)} lines"
        return
    if not json.loads(answers[-1])["ok"]:
        yield f"{call}: the good line was not answered"
    for line, answer in zip(asked, answers, strict=True):
        yield from (f"moat predict {kind} {line!r:.600}: {f}" for f in line_faults(kind, answer))
    if (said.status == 0) != all(json.loads(answer)["ok"] for answer in answers):
        yield f"{call}: exit status {said.status}"


def table_faults(said: Said, level: str) -> Iterator[str]:
    """What is wrong with the rows of a sweep of the model, each read as the answer that it is."""
    if said.table is None:
        return
    for row in said.table.to_dict("records"):
        if row["error"]:
            if len(row["error"]) > LONGEST_MESSAGE or "\n" in row["error"]:
                yield f"message of {len(row['error'])} characters"
            continue
        answer: dict[str, Any] = {"seconds": {}, "memory_gib": {}, "plan": {}}
        for name, value in row.items():
            group, _, part = name.partition(".")
            if value is None or value != value:
                continue
            (answer[group] if part else answer)[part or group] = value
        yield from absurd(level, answer)


def printed_faults(call: Call, said: Said) -> Iterator[str]:
    """What is wrong with the rows that a search or a listing prints: they are what was asked for, best first."""
    verb, word = call.arguments[:2]
    head, *rows = [line for line in said.out.splitlines() if line] or [""]
    if head.startswith("nothing fits"):
        head, *rows = rows
    if (verb != "params" and not rows) or any(
        bad in f" {line} ".lower() for line in rows for bad in (" nan ", " inf ")
    ):
        yield f"no rows, or no number in one: {said.out!r:.200}"
    if verb == "search" and rows:
        plans = [
            dict(zip(head.split(), row.split(), strict=True)) for row in rows if ":" not in row
        ]
        seconds = [float(plan["step_s"]) for plan in plans]
        if seconds != sorted(seconds) or seconds[0] <= 0:
            yield f"steps of {seconds} s, not the shortest first"
        if any(not 0 < float(plan["mfu"]) <= 1 for plan in plans):
            yield "mfu above 1"
        if any((plan["fits"] == "yes") != (said.status == 0) for plan in plans):
            yield "a plan that does not fit among those that do"
    elif verb in ("chips", "models") and not all(word.lower() in row.lower() for row in rows):
        yield f"a row without '{word}'"


def faults(kind: str, count: int, bad: bool, seed: int = SEED) -> Iterator[str]:
    """What is wrong with so many inputs of one kind."""
    dice = random.Random(f"{seed} {kind} {bad}")
    if kind in inputs.CASES:
        for start in range(0, count, LINES):
            size = min(LINES, count - start)
            lines = [
                inputs.bad_line(dice, kind) if bad else json.dumps(inputs.CASES[kind](dice))
                for _ in range(size)
            ]
            yield from predict_faults(kind, lines, bad)
        return
    for _ in range(count):
        call = MAKERS[kind](dice, bad)
        said = ask(call)
        yield from (f"{call}: {fault}" for fault in common(said))
        if not bad and said.status == 2 and kind != "search":
            yield f"{call}: a valid call was refused: {said.err.strip()}"
        elif not bad and kind == "sweep":
            level = "training" if call.spec.startswith("level: training") else "serving"
            yield from (f"{call}: {fault}" for fault in table_faults(said, level))
        elif not bad and said.out and not said.raised:
            yield from (f"{call}: {fault}" for fault in printed_faults(call, said))


def main() -> int:
    """Print a row a fault and the counts; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="share of all inputs")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("kinds", nargs="*", help="default: all")
    options = parser.parse_args()
    worst = 0
    for bad, counts in ((True, MALFORMED), (False, VALID)):
        for kind in [kind for kind in counts if kind in (options.kinds or counts)]:
            count, begun = math.ceil(options.share * counts[kind]), time.perf_counter()
            found = list(faults(kind, count, bad, options.seed))
            worst += len(found)
            for line in found:
                print(f"  {line}", flush=True)
            word, took = "malformed" if bad else "valid", time.perf_counter() - begun
            print(f"{kind}: {count} {word}, {len(found)} faults, {took:.0f} s", flush=True)
    return int(worst > 0)


if __name__ == "__main__":
    sys.exit(main())

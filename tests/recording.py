"""Two thousand recorded requests and their answers: what a change that should not move a prediction is checked against.

`python tests/recording.py` answers the recorded requests anew and stores what is said now: after a refit, or a
change of the model that is meant to move predictions. It prints how many moved, and how far. Answers keep four digits.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training_moat.predict import serving, training

STORE = Path(__file__).parent / "predict" / "fixtures" / "recorded_requests.jsonl.gz"
DIGITS = 4
TOLERANCE = 6e-4
"""Relative difference that four digits leave undecided."""
DERIVED = {"tokens_per_s", "tokens_per_s_per_chip", "model_tflops_per_chip", "mfu", "hfu", "notes"}
DERIVED |= {"hardware_tflops_per_chip", "id"}
"""What of an answer is not kept: it follows from the rest."""
KINDS = {"training": training.predict, "serving": serving.predict}


def short(value: Any) -> Any:
    """An answer with its numbers cut to four digits, without what follows from them."""
    if isinstance(value, dict):
        return {name: short(inner) for name, inner in value.items() if name not in DERIVED}
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def recorded() -> list[dict[str, Any]]:
    """All records: kind, request, answer."""
    with gzip.open(STORE, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def digest(records: list[dict[str, Any]]) -> str:
    """What tells these requests from others, whatever their answers."""
    said = json.dumps([[record["kind"], record["request"]] for record in records], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def answered(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records with what is said now."""
    found = list(records)
    for kind, predicted in KINDS.items():
        places = [place for place, record in enumerate(records) if record["kind"] == kind]
        told = predicted([records[place]["request"] for place in places])
        for place, answer in zip(places, told, strict=True):
            found[place] = records[place] | {"answer": short(answer)}
    return found


def moved(before: Any, now: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two short answers differ by more than their rounding."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted(before.keys() | now.keys()):
            yield from moved(before.get(name), now.get(name), f"{place}.{name}".strip("."))
    elif isinstance(before, float) and isinstance(now, float):
        if abs(before - now) > TOLERANCE * max(abs(before), abs(now)):
            yield place, before, now
    elif before != now:
        yield place, before, now


def store(records: list[dict[str, Any]]) -> None:
    """Keep the records, the same bytes for the same records."""
    text = "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records)
    STORE.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def main() -> None:
    """Answer the recorded requests anew and keep the answers."""
    before = recorded()
    now = answered(before)
    store(now)
    pairs = [(a["answer"], b["answer"]) for a, b in zip(before, now, strict=True)]
    changed = [pair for pair in pairs if any(moved(*pair))]
    times = [
        abs(b[name] / a[name] - 1)
        for a, b in changed
        for name in ("step_time_s", "tpot_s")
        if a.get(name) and b.get(name)
    ]
    middle = f", by {statistics.median(times):.1%} of the time in the middle" if times else ""
    print(f"{len(changed)} of {len(now)} answers moved{middle}; digest of requests {digest(now)}")


if __name__ == "__main__":
    sys.exit(main())

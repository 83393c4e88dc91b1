"""moat predict"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from training_moat.core.errors import InputError
from training_moat.predict import answers

_BATCH = 500
_KINDS: dict[str, Callable[[list[dict[str, Any]]], list[dict[str, Any]]]] = {
    "training": answers.training,
    "serving": answers.serving,
}


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = """example: echo '{"id": 1, "model": "llama3.1-405b", "chip": "h100-sxm", "chips": 16384}' | moat predict training"""
    parser.add_argument("kind", metavar="training|serving", help="what to predict")
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        default="-",
        help="JSON lines, one case each (default: standard input)",
    )


def run(options: argparse.Namespace) -> int:
    """Answer every case on one line, in order; returns 1 when any line was bad."""
    if options.kind not in _KINDS:
        raise InputError(f"predict {options.kind}: expected 'training' or 'serving'.")
    if options.file == "-":
        return _answer(sys.stdin, _KINDS[options.kind])
    path = Path(options.file)
    if not path.is_file():
        raise InputError(f"predict {options.kind}: there is no file '{path}'.")
    with path.open(encoding="utf-8") as lines:
        return _answer(lines, _KINDS[options.kind])


def _answer(
    lines: TextIO, predicted: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
) -> int:
    failed = False
    cases = parse(lines)
    while batch := list(islice(cases, _BATCH)):
        answers = iter(predicted([case for case in batch if "_bad" not in case]))
        for case in batch:
            answer = case["_bad"] if "_bad" in case else next(answers)
            failed = failed or not answer["ok"]
            print(json.dumps(answer, allow_nan=False))
    return int(failed)


def parse(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Cases of JSON lines in order; a line that is none becomes `{"_bad": <its answer>}`. Blank lines do not count."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            case = json.loads(line, parse_constant=_no_constant)
        except ValueError as error:
            yield {"_bad": _error(None, f"line {number}: not valid JSON ({error}).")}
            continue
        if not isinstance(case, dict):
            yield {
                "_bad": _error(
                    None, f"line {number}: expected a JSON object, got {type(case).__name__}."
                )
            }
        elif "_bad" in case:
            yield {"_bad": _error(case.get("id"), f"line {number}: unknown field '_bad'.")}
        else:
            yield case


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _error(identity: Any, sentence: str) -> dict[str, Any]:
    return {"id": identity, "ok": False, "error": sentence}

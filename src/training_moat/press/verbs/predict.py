"""moat predict"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from training_moat.catalog import files, scenario
from training_moat.core.errors import InputError, one_line, require_known
from training_moat.predict import serving, training

_BATCH = 4000
"""Lines that are answered together: many share what is looked up for them."""
_KIND_OF = (
    {list: "a list", str: "text", type(None): "null"}
    | dict.fromkeys((int, float), "a number")
    | {bool: "true or false"}
)
Predictor = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
_KINDS: dict[str, Predictor] = {"training": training.predict, "serving": serving.predict}


def run(options: argparse.Namespace) -> int:
    """Answer every case on one line, in order; returns 1 when any line was bad."""
    require_known("kind", options.kind, _KINDS, "predict")
    if options.file == "-":
        if sys.stdin is None:
            raise InputError("predict: standard input is closed; give JSON lines there, or a file.")
        content = getattr(sys.stdin, "buffer", sys.stdin).read()
        text = content if isinstance(content, str) else files.decoded(content, "standard input")
    elif os.path.isdir(options.file) or not os.path.exists(options.file):
        raise InputError(f"predict {options.kind}: there is no file '{options.file}'.")
    else:
        text = files.text_of(Path(options.file), options.file)
    collects = gc.isenabled()
    # Answers hold no circles: looking for some takes a sixth of the time.
    gc.disable()
    try:
        with scenario.laid_over(options.scenario):
            return _answer(text.split("\n"), _KINDS[options.kind])
    finally:
        if collects:
            gc.enable()


def _answer(lines: Iterable[str], predicted: Predictor) -> int:
    failed = False
    cases = parse(lines)
    while batch := list(islice(cases, _BATCH)):
        found = iter(_each([case for case in batch if "_bad" not in case], predicted))
        told = [_encoded(one, one.get("_bad") or next(found)) for one in batch]
        failed = failed or not all(ok for _, ok in told)
        print("\n".join(text for text, _ in told))
    return int(failed)


def _each(cases: list[dict[str, Any]], predicted: Predictor) -> list[dict[str, Any]]:
    """The answers of a batch; where one case brings all of it down, of each case by itself."""
    try:
        return predicted(cases)
    except Exception as error:
        if len(cases) != 1:
            return [answer for case in cases for answer in _each([case], predicted)]
        return [
            _error(cases[0].get("id"), f"cannot be answered ({type(error).__name__}: {error}).")
        ]


def _encoded(case: dict[str, Any], answer: dict[str, Any]) -> tuple[str, bool]:
    """An answer as a line, and whether it is one: what JSON has no word for is an error of that line."""
    try:
        if "error" in answer:
            answer = answer | {"error": one_line(answer["error"])}
        return _json(answer), bool(answer["ok"])
    except (ValueError, TypeError, RecursionError):
        said = "has no finite answer; expected sizes and rates that a machine could have."
        return json.dumps(_error(_plain_id(case.get("id")), said)), False


def _json(answer: dict[str, Any]) -> str:
    """An answer as JSON of plain letters. Raises ValueError for numbers that it has no word for."""
    try:
        text = orjson.dumps(answer)
    except TypeError:  # a whole number of more than 64 bits
        text = b"null"
    # The fast writer says null for what is no number, and letters as they are.
    if b"null" in text or not text.isascii():
        return json.dumps(answer, allow_nan=False, separators=(",", ":"))
    return text.decode()


def _plain_id(identity: Any) -> Any:
    return identity if isinstance(identity, (str, int, bool)) else None


def parse(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Cases of JSON lines in order; a line that is none becomes `{"_bad": <its answer>}`. Blank lines do not count."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            case = read(line)
        except (ValueError, RecursionError) as error:
            said = "nested too deeply" if isinstance(error, RecursionError) else error
            yield {"_bad": _error(None, f"line {number}: not valid JSON ({said}).")}
            continue
        if not isinstance(case, dict):
            kind = _KIND_OF[type(case)]
            yield {"_bad": _error(None, f"line {number}: expected a JSON object, got {kind}.")}
        elif "_bad" in case:
            yield {"_bad": _error(case.get("id"), f"line {number}: unknown field '_bad'.")}
        else:
            yield case


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice; expected each once")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


read = json.JSONDecoder(
    parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_each_once
).decode
"""The value of a line of JSON, every digit kept."""


def _error(identity: Any, sentence: str) -> dict[str, Any]:
    return {"id": identity, "ok": False, "error": one_line(sentence)}

"""What a worker of a sweep does: a block of points in, one row of results a point out."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from training_moat.press import caching, kitchen, notebooks
from training_moat.press.sweep_spec import MODEL_LEVELS, digest, digests

POINT = "point"
"""Column with the digest of a point's fields."""
ERROR = "error"
"""Column with the sentence of a point that failed; blank where it did not."""
LOST = "lost: "
"""How the sentence of a point begins whose process died: the next run computes it again."""


def environment() -> str:
    """What a point's result depends on besides its fields: source, tables, versions."""
    return caching.environment_key()


def results(level: str, points: list[dict[str, Any]], keep: str | None = None) -> pd.DataFrame:
    """Results of some points in their order, fields as columns; a failed one has its sentence.

    keep: folder for the executed notebooks of a chapter's points; None keeps none.
    """
    asked = {POINT: digests(points)}
    for name in dict.fromkeys(field for point in points for field in point):
        asked[name] = [_cell(point.get(name)) for point in points]
    if level in MODEL_LEVELS:
        from training_moat.predict import answers, asking

        predicted = answers.training if level == "training" else answers.serving
        return pd.DataFrame(asked | asking.columns(predicted(points)))
    found = pd.DataFrame([_chapter(level, point, keep) for point in points])
    return pd.DataFrame(asked).join(found[[name for name in found if name not in asked]])


def _cell(value: Any) -> Any:
    """A field as a table can hold it."""
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _chapter(chapter: str, point: Mapping[str, Any], keep: str | None) -> dict[str, Any]:
    """One run of a chapter: what it recorded, or the sentence of its failure."""
    with tempfile.TemporaryDirectory(prefix="moat-") as scratch:
        target = Path(keep or scratch).resolve() / f"{chapter}-{digest(point)}.ipynb"
        error = kitchen.own().run(chapter, point, target)
        error = LOST + error if error.endswith(kitchen.DIED) else error
        return {ERROR: error} if error else {ERROR: "", **records(notebooks.read(target))}


def records(notebook: notebooks.NotebookNode) -> dict[str, Any]:
    """What a run of a chapter recorded: the numbers that its sentences name, and its answer in words.

    A sentence records numbers with `figures.sentence(text, name=number)`; the first sentence of a
    chapter is its answer.
    """
    found: dict[str, Any] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            kept = (output.get("metadata") or {}).get("moat")
            if kept is None:
                continue
            found.setdefault("answer", output["data"]["text/plain"])
            for name, value in kept.items():
                is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
                found[name] = value if not is_number or math.isfinite(value) else None
    return found

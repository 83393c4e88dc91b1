"""What a worker of a sweep does: a block of points in, one row of results a point out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from training_moat.core.errors import InputError
from training_moat.core.numbers import is_number
from training_moat.press import caching, kitchen, notebooks
from training_moat.press.sweep_spec import ABSENT, Coded, Sweep
from training_moat.press.workspace import workspace

POINT = "point"
"""Column with the digest of a point's fields."""
ERROR = "error"
"""Column with the sentence of a point that failed; blank where it did not."""
LOST = "lost: "
"""How the sentence of a point begins whose process died: the next run computes it again."""


def environment() -> str:
    """What a point's result depends on besides its fields: source, tables, versions."""
    return caching.environment_key()


def worker_environment() -> str:
    """The same of a worker of a cluster. Raises InputError where it may have imported an older edition of the source than its
    files hold now."""
    if caching.code_is_older():
        raise InputError("its source was written since it began; start it again")
    return environment()


def results(sweep: Sweep, indices: np.ndarray) -> pa.Table:
    """Results of some points in their order, beside their digests; a failed one has its sentence."""
    if sweep.is_chapter:
        found = pd.DataFrame([_chapter(sweep.level, point) for point in sweep.points(indices)])
        found = found.drop(columns=[name for name in sweep.fields if name in found])
    else:
        from training_moat.predict import asking, serving, training

        predicted = training.predict if sweep.level == "training" else serving.predict
        found = pd.DataFrame(asking.columns(predicted(sweep.points(indices))))
    columns = {name: _column(found[name]) for name in found}
    return pa.table({POINT: texts(sweep.digests(indices))} | columns)


def lost(sweep: Sweep, indices: np.ndarray, said: str) -> pa.Table:
    """The rows of points whose process died."""
    points = texts(sweep.digests(indices))
    return pa.table({POINT: points, ERROR: [f"{LOST}{said}"[:300]] * len(points)})


def fields(sweep: Sweep) -> pa.Table:
    """The fields of all points, a column each."""
    asked = sweep.columns(np.arange(len(sweep)))
    return pa.table({name: _field(asked[name]) for name in sweep.fields})


def _field(field: Coded) -> pa.Array:
    """A field as a table can hold it: items of a list as one text."""
    cells = [", ".join(map(str, v)) if isinstance(v, list) else v for v in field.values]
    return _column(cells).take(pa.array(field.codes, mask=field.codes == ABSENT))


def _column(values: Any) -> pa.Array:
    """Values as a table can hold them: those of mixed kinds as text."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array(as_text(values), pa.string())


def texts(digests: np.ndarray) -> pa.Array:
    """Digests, which are all of one length, as a column of text."""
    ends = np.arange(len(digests) + 1, dtype=np.int32) * digests.dtype.itemsize
    buffers = pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(digests))
    return pa.StringArray.from_buffers(len(digests), *buffers)


def as_text(values: Iterable[Any]) -> list[str | None]:
    """Values of mixed kinds as text; what is missing stays so."""
    return [None if value is None or value != value else str(value) for value in values]


def _chapter(chapter: str, point: Mapping[str, Any]) -> dict[str, Any]:
    """One run of a chapter: what it recorded, or the sentence of its failure. What a worker that is killed at it leaves, the
    next one sweeps away."""
    with workspace() as scratch:
        target = Path(scratch).resolve() / f"{chapter}.ipynb"
        error = kitchen.run(chapter, point, target)
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
                found[name] = value if not is_number(value) or math.isfinite(value) else None
    return found

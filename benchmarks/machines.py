"""The same book on other machines: every chapter re-run under other BLAS kernels, threads, locales, clocks, ties.

    python -m benchmarks.machines               every environment, every chapter (an hour)
    python -m benchmarks.machines --together    the same in five runs of several environments at once

Each environment runs in a process of its own; the outputs are compared with those stored in `chapters/`
as text, pictures aside. A row a difference; exit status 1 when there is one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

ENVIRONMENTS: dict[str, dict[str, str]] = {
    "as it is": {},
    "OpenBLAS for Sandy Bridge": {"OPENBLAS_CORETYPE": "Sandybridge"},
    "OpenBLAS for Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "OpenBLAS for Zen": {"OPENBLAS_CORETYPE": "Zen"},
    "OpenBLAS for Nehalem": {"OPENBLAS_CORETYPE": "Nehalem"},
    "OpenBLAS for Prescott": {"OPENBLAS_CORETYPE": "Prescott"},
    "one thread": {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    "two threads": {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"},
    "NumPy without AVX2 and later": {
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX"
    },
    "locale C": {"LC_ALL": "C"},
    "German locale": {"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"},
    "clock of Auckland": {"TZ": "Pacific/Auckland"},
    "hash seed 1": {"PYTHONHASHSEED": "1"},
    "hash seed 2": {"PYTHONHASHSEED": "2"},
    "ties in sorting reversed": {"MOAT_REVERSED_TIES": "1"},
}
"""What differs from this machine, by name."""

TOGETHER: dict[str, dict[str, str]] = {
    " + ".join(names): {key: value for name in names for key, value in ENVIRONMENTS[name].items()}
    for names in (
        ("OpenBLAS for Prescott", "NumPy without AVX2 and later", "two threads", "hash seed 1"),
        ("OpenBLAS for Haswell", "ties in sorting reversed", "German locale", "hash seed 2"),
        ("OpenBLAS for Sandy Bridge", "one thread", "locale C", "clock of Auckland"),
        ("OpenBLAS for Zen", "ties in sorting reversed", "two threads", "clock of Auckland"),
        ("OpenBLAS for Nehalem", "NumPy without AVX2 and later", "locale C", "hash seed 2"),
    )
}
"""All of these in a third of the runs: where several differ at once and nothing changes, none alone does."""

SHORT = tuple(TOGETHER)[:2]
"""What the tests run, over the quickest chapters."""


def differences(name: str, chapters: Sequence[str]) -> list[dict[str, Any]]:
    """Cells whose output in that environment is not the stored one: environment, chapter, cell, what."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "found.json"
        call = [sys.executable, "-m", "benchmarks.machines", "--one", str(answer), *chapters]
        done = subprocess.run(
            call, env={**os.environ, **(ENVIRONMENTS | TOGETHER)[name], "MOAT_STRICT": ""}, capture_output=True,
            text=True,
        )  # fmt: skip
        if not answer.exists():
            said = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return [{"environment": name, "chapter": "-", "cell": -1, "what": said}]
        return [{"environment": name, **row} for row in json.loads(answer.read_text())]


def reverse_ties() -> None:
    """Let every sort that does not ask for stability bring equal rows in the opposite order."""
    import numpy as np
    import pandas as pd

    def turned(kind: type) -> None:
        plain = kind.sort_values

        def sort_values(self: Any, *args: Any, **named: Any) -> Any:
            if named.get("kind") == "stable" or named.get("inplace"):
                return plain(self, *args, **named)
            return plain(self[::-1], *args, **{**named, "kind": "stable"})

        kind.sort_values = sort_values

    turned(pd.DataFrame)
    turned(pd.Series)
    plain = np.argsort

    def argsort(values: Any, *args: Any, **named: Any) -> Any:
        if named.get("kind") == "stable" or named.get("stable") or np.ndim(values) != 1:
            return plain(values, *args, **named)
        return len(values) - 1 - plain(np.asarray(values)[::-1], kind="stable")

    np.argsort = argsort


def _one(answer: Path, chapters: Sequence[str]) -> None:
    """Run chapters in this process's environment and write what differs."""
    import nbformat
    import papermill

    from training_moat.press import forking
    from training_moat.press.folders import CHAPTERS

    forking.preload(draws=False)
    draw_nothing()
    if os.environ.get("MOAT_REVERSED_TIES"):
        reverse_ties()
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for chapter in chapters:
            source, target = CHAPTERS / f"{chapter}.ipynb", Path(folder) / f"{chapter}.ipynb"
            try:
                papermill.execute_notebook(
                    str(source), str(target), engine_name=forking.NAME, cwd=str(CHAPTERS),
                    progress_bar=False,
                )  # fmt: skip
            except papermill.PapermillExecutionError as error:
                said = f"{error.ename}: {error.evalue}"[:200]
                found.append({"chapter": chapter, "cell": error.cell_index, "what": said})
                continue
            found += _compared(chapter, nbformat.read(source, 4), nbformat.read(target, 4))
    answer.write_text(json.dumps(found))


def draw_nothing() -> None:
    """Pictures are not compared, and drawing them is most of the time."""
    from training_moat.figures import offline

    offline.ordered_png = lambda spec: b""


def _compared(chapter: str, stored: Any, fresh: Any) -> list[dict[str, Any]]:
    rows = []
    for index, (old, new) in enumerate(zip(stored.cells, fresh.cells, strict=True)):
        if old.cell_type == "code" and _texts(old) != _texts(new):
            pairs = zip_longest(_texts(old), _texts(new), fillvalue="")
            one, other = next((a, b) for a, b in pairs if a != b)
            at = next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), 0)
            what = f"stored {one[max(0, at - 30) : at + 40]!r}, here {other[max(0, at - 30) : at + 40]!r}"
            rows.append({"chapter": chapter, "cell": index, "what": what})
    return rows


def _texts(cell: Mapping[str, Any]) -> list[str]:
    """Outputs as text, without pictures."""
    found = []
    for output in cell["outputs"]:
        for form, value in sorted(output.get("data", {}).items()):
            if form not in ("image/png", "image/jpeg"):
                found.append("".join(value) if isinstance(value, list) else str(value))
        found += [str(output[key]) for key in ("text", "ename") if key in output]
    return found


def main() -> int:
    """Print a row a difference; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--together", action="store_true", help="several environments at once")
    parser.add_argument("--one", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("chapters", nargs="*", help="default: all")
    options = parser.parse_args()
    from training_moat.press import notebooks

    chapters = options.chapters or notebooks.chapter_names()
    if options.one:
        _one(Path(options.one), chapters)
        return 0
    count = 0
    for name in TOGETHER if options.together else ENVIRONMENTS:
        rows = differences(name, chapters)
        count += len(rows)
        print(f"{name}: {len(rows)} of {len(chapters)} chapters' cells differ", flush=True)
        for row in rows:
            print(f"  {row['chapter']}, cell {row['cell'] + 1}: {row['what']}")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())

"""What was measured as Markdown tables, and where it is stored."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np
import pandas as pd

from training_moat.catalog import paths

from .speed import OURS, Found, Timed
from .timing import round_to

README = Path(__file__).parent / "README.md"
START, END = "<!-- measured -->", "<!-- /measured -->"
SPEED_COLUMNS = ("work", "system", "per CPU second", "slowest, fastest", "ours over it")
SEARCH_COLUMNS = (
    "system",
    "how",
    "plans",
    "CPU seconds",
    "ours is faster by",
    "winner",
    "its step, s",
)
ERROR_COLUMNS = ("system", "setting", "rows", "n", "MAPE", "largest", "mean")


def speed(timed: list[Timed]) -> str:
    """Evaluations per second; every rate of a peer stands beside ours for one plan a call and for batches."""
    ours = {item.work: item.rate.per_second for item in timed if item.system == OURS}
    batch = max(
        (rate for work, rate in ours.items() if work.endswith("plans a call")), default=float("nan")
    )
    lines = []
    for item in timed:
        ratio = ""
        if item.system != OURS:
            rate = item.rate.per_second
            ratio = f"{ours[item.work] / rate:.2g} one by one, {round_to(batch / rate, 2):,.0f} in batches"
        lines.append((item.work, item.system, str(item.rate), item.rate.spread, ratio))
    return _table(SPEED_COLUMNS, lines)


def search(found: list[Found]) -> str:
    """The plan searches: time, winner, and its predicted step by the same tool."""
    ours = found[0].rate.per_second
    lines = []
    for item in found:
        ratio = f"{round_to(ours / item.rate.per_second, 2):,.0f}" if item.system != OURS else ""
        seconds = f"{1 / item.rate.per_second:.2g}"
        lines.append(
            (
                item.system,
                item.how,
                f"{item.plans:,}",
                seconds,
                ratio,
                _plan(item.winner),
                f"{item.step_seconds:.2f}",
            )
        )
    return _table(SEARCH_COLUMNS, lines)


def _plan(winner: dict) -> str:
    keys = ("tp", "pp", "dp", "micro_batch", "virtual_stages", "recompute")
    words = {0: "none", 2: "full"}
    shown = {key: winner[key] for key in keys if key in winner}
    if "recompute" in shown:
        shown["recompute"] = words.get(shown["recompute"], shown["recompute"])
    return " ".join(f"{key} {value}" for key, value in shown.items())


def errors(frame: pd.DataFrame) -> str:
    """The errors on the published tables."""
    lines = [
        (
            row.system,
            row.setting,
            row.rows,
            row.n,
            f"{row.mape:.1%}",
            f"{row.max_error:.1%}",
            f"{row.mean_error:+.1%}",
        )
        for row in frame.itertuples()
    ]
    return _table(ERROR_COLUMNS, lines)


def _table(columns: tuple[str, ...], lines: list[tuple]) -> str:
    rows = [columns, ("---",) * len(columns), *lines]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)


def machine() -> str:
    """Processor, cores and versions that the numbers belong to."""
    model = platform.processor() or platform.machine()
    try:
        named = [
            line
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ]
        model = named[0].split(":", 1)[1].strip() if named else model
    except OSError:
        pass
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    return f"{model}, {os.cpu_count()} cores ({os.getloadavg()[0]:.0f} processes wanting them); {versions}"


def store(text: str, frame: pd.DataFrame) -> None:
    """Put the tables into README.md and the errors into data/peer_errors.csv, each in one step."""
    page = README.read_text(encoding="utf-8")
    before, after = page.split(START)[0], page.split(END)[1]
    _replace(README, f"{before}{START}\n{text}\n{END}{after}")
    _replace(
        paths.data_folder() / "peer_errors.csv", frame.to_csv(index=False, lineterminator="\n")
    )


def _replace(path: Path, text: str) -> None:
    beside = path.with_suffix(path.suffix + ".part")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)

"""Says what the model expects of every run of `runs.csv`, before any of them is measured.

    python experiments/training_steps/predict.py

Writes `predicted.csv`: for every run the answer of `moat predict training` to the request that `request` makes of its
row. The stored table was made and stored before the measurement, with the constants of the commit that holds it first: a
checkout of that commit gives the same numbers again, a later one what the model has come to say since.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from training_moat.calibrate import measured_memory
from training_moat.calibrate.measured_training import Rows
from training_moat.core.plan import RECOMPUTE_LEVELS, Plan
from training_moat.core.units import GIB
from training_moat.core.whole_files import write_text
from training_moat.predict import requests, training

HERE = Path(__file__).parent
CHIP = "h100-sxm"
SHAPE = (
    *("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "gated_ffn"),
    *("tied_embeddings", "experts", "experts_per_token", "expert_ffn"),
)
"""Columns of a run that say what its model is."""
RELEASED = "2026-11"
COLUMNS = (
    *("run_id", "predicted_s", "p05_s", "p95_s", "allocated_gib", "reserved_gib"),
    *("allocated_autocast_gib", "fits", "date"),
)


def runs() -> list[dict[str, str]]:
    """The runs in the order in which they are measured."""
    with (HERE / "runs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def request(run: Mapping[str, str]) -> dict[str, object]:
    """What the model is asked: the run as anybody would describe it, one chip and no parallelism."""
    sizes = ("tp", "pp", "dp", "ep", "cp")
    asked: dict[str, object] = {
        "id": run["run_id"],
        "model": {"name": run["model"]} | {name: int(run[name]) for name in SHAPE},
        "chip": CHIP,
        "chips": 1,
        **dict.fromkeys(sizes, 1),
        "precision": "bf16",
        "software": run["software"],
        "released": RELEASED,
        "zero_stage": 0,
        "recompute": run["recompute"],
    }
    asked |= {name: int(run[name]) for name in ("seq_len", "micro_batch", "global_batch")}
    if int(run["lora_rank"]):
        asked["lora_rank"] = int(run["lora_rank"])
    return asked


def autocast_gib(run: Mapping[str, str]) -> float:
    """GiB of tensors that the model counts once it is told that FP32 weights run under autocast, which a request has no
    word for and a measured row has."""
    frame = pd.DataFrame(
        {"label": [run["software"]], "format": "bf16", "zero_stage": 0, "autocast": 1, "kept_kv": 0}
    )
    sizes = {name: np.array([float(run[name])]) for name in ("seq_len", "micro_batch")}
    plan = Plan(
        **sizes,
        global_batch=np.array([float(run["global_batch"])]),
        zero_stage=np.zeros(1),
        recompute=np.array([float(RECOMPUTE_LEVELS[run["recompute"]])]),
    )
    rows = Rows(frame, requests.model_of(request(run)), plan)
    return float(measured_memory.predicted(rows).allocated[0]) / GIB


def predicted() -> Iterator[dict[str, object]]:
    """The table, run by run. Raises `SystemExit` where the model refuses one."""
    every = runs()
    for run, answer in zip(every, training.predict([request(run) for run in every]), strict=True):
        if not answer["ok"]:
            sys.exit(f"predict: run {run['run_id']}: {answer['error']}")
        memory = answer["memory_gib"]
        yield {
            "run_id": run["run_id"],
            "predicted_s": f"{answer['step_time_s']:.6g}",
            "p05_s": f"{answer['step_time_s_p05']:.6g}",
            "p95_s": f"{answer['step_time_s_p95']:.6g}",
            "allocated_gib": f"{memory['allocated']:.2f}",
            "reserved_gib": f"{memory['reserved']:.2f}",
            "allocated_autocast_gib": f"{autocast_gib(run):.2f}"
            if run["weights"] == "fp32"
            else "",
            "fits": "yes" if answer["fits"] else "no",
            "date": date.today().isoformat(),
        }


def main() -> None:
    """Write the table in one piece."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=HERE / "predicted.csv")
    out = parser.parse_args().out
    table = pd.DataFrame(predicted(), columns=list(COLUMNS))
    write_text(out, table.to_csv(index=False, lineterminator="\n"))
    print(out)


if __name__ == "__main__":
    main()

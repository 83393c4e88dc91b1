"""Says what the model expects of every run of a set, before any of them is measured.

    python experiments/training_steps/predict.py                # the third set, on every chip that may run it
    python experiments/training_steps/predict.py --set first

Writes `predicted_third.csv`, `predicted_second.csv` or `predicted.csv`: for every run the answer of `moat predict training`
to the request that `request` makes of its row, and what the fair constant says, which is the middle utilisation of all
measured runs whose products are as wide. The stored tables were made and stored before the measurement, with the constants
of the commit that holds them: a checkout of that commit gives the same numbers again, a later one what the model has come
to say since.
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

from training_moat.calibrate import measured_memory, unseen_runs
from training_moat.calibrate.measured_training import Rows
from training_moat.core.plan import RECOMPUTE_LEVELS, Plan
from training_moat.core.units import GIB
from training_moat.core.whole_files import write_text
from training_moat.predict import requests, training

HERE = Path(__file__).parent
FILES = {
    "first": ("runs.csv", "predicted.csv"),
    "second": ("runs_second.csv", "predicted_second.csv"),
    "third": ("runs_third.csv", "predicted_third.csv"),
}
"""Files of a set's runs and of what was predicted of them."""
EITHER = ("h100-sxm", "h200")
CHIPS = {"first": ("h100-sxm",), "second": EITHER, "third": EITHER}
"""Chips that a set is predicted on; the one that runs it is judged."""
SHAPE = (
    *("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "gated_ffn"),
    *("tied_embeddings", "experts", "experts_per_token", "expert_ffn"),
)
"""Columns of a run that say what its model is."""
LATER = ("shared_experts", "attention_window", "windowed_layers")
"""Further ones, which runs have from the third set on."""
RELEASED = "2026-11"
COLUMNS = (
    *("run_id", "chip_id", "predicted_s", "p05_s", "p95_s", "constant_s", "allocated_gib"),
    *("reserved_gib", "allocated_autocast_gib", "fits", "date"),
)


def runs(which: str) -> list[dict[str, str]]:
    """The runs in the order in which they are measured."""
    with (HERE / FILES[which][0]).open(newline="") as file:
        return list(csv.DictReader(file))


def request(run: Mapping[str, str], chip: str) -> dict[str, object]:
    """What the model is asked: the run as anybody would describe it, one chip and no parallelism."""
    sizes = ("tp", "pp", "dp", "ep", "cp")
    shape = SHAPE + tuple(name for name in LATER if name in run)
    asked: dict[str, object] = {
        "id": run["run_id"],
        "model": {"name": run["model"]} | {name: int(run[name]) for name in shape},
        "chip": chip,
        "chips": 1,
        **dict.fromkeys(sizes, 1),
        "precision": run["precision"],
        "software": run["software"],
        "released": RELEASED,
        "zero_stage": 0,
        "recompute": run["recompute"],
    }
    asked |= {name: int(run[name]) for name in ("seq_len", "micro_batch", "global_batch")}
    if int(run["lora_rank"]):
        asked["lora_rank"] = int(run["lora_rank"])
    # Of software that is not known for it, a request says that there is no FP32 copy.
    if (run["weights"], run["compiled"]) == ("bf16", "1"):
        asked["master_weights"] = False
    if "optimizer" in run:
        asked["optimizer"] = run["optimizer"]
    return asked


def as_rows(run: Mapping[str, str], chip: str) -> Rows:
    """The run as the measured rows are read, told that FP32 weights run under autocast, which a request has no word for."""
    frame = pd.DataFrame(
        {
            **{"label": [run["software"]], "format": run["precision"], "zero_stage": 0},
            **{"autocast": 1, "kept_kv": 0, "loss_chunks": 0, "source": ""},
            **{"chip_id": chip, "chips": 1, "master_weights": float(run["weights"] == "fp32")},
        }
    )
    sizes = {name: np.array([float(run[name])]) for name in ("seq_len", "micro_batch")}
    plan = Plan(
        **sizes,
        global_batch=np.array([float(run["global_batch"])]),
        zero_stage=np.zeros(1),
        recompute=np.array([float(RECOMPUTE_LEVELS[run["recompute"]])]),
    )
    return Rows(frame, requests.model_of(request(run, chip)), plan)


def autocast_gib(run: Mapping[str, str], chip: str) -> str:
    """GiB of tensors that the model counts once it is told of autocast; nothing of weights in 16 bits, of plain TF32, of
    another optimizer than AdamW or another framework, which measured rows cannot be told of."""
    cast = run["weights"] == "fp32" and run["precision"] != "tf32"
    if not cast or run["framework"] != "pytorch" or run.get("optimizer", "adamw") != "adamw":
        return ""
    return f"{float(measured_memory.predicted(as_rows(run, chip)).allocated[0]) / GIB:.2f}"


def constant_s(run: Mapping[str, str], chip: str) -> str:
    """Seconds by the fair constant; nothing of adapters, which it does not know."""
    if int(run["lora_rank"]):
        return ""
    return f"{float(unseen_runs.fair_constant(as_rows(run, chip))[0]):.6g}"


def predicted(which: str) -> Iterator[dict[str, object]]:
    """The table, chip by chip and run by run. Raises `SystemExit` where the model refuses one."""
    every = [(run, chip) for chip in CHIPS[which] for run in runs(which)]
    asked = [request(run, chip) for run, chip in every]
    for (run, chip), answer in zip(every, training.predict(asked), strict=True):
        if not answer["ok"]:
            sys.exit(f"predict: run {run['run_id']}: {answer['error']}")
        memory = answer["memory_gib"]
        yield {
            "run_id": run["run_id"],
            "chip_id": chip,
            "predicted_s": f"{answer['step_time_s']:.6g}",
            "p05_s": f"{answer['step_time_s_p05']:.6g}",
            "p95_s": f"{answer['step_time_s_p95']:.6g}",
            "constant_s": constant_s(run, chip),
            "allocated_gib": f"{memory['allocated']:.2f}",
            "reserved_gib": f"{memory['reserved']:.2f}",
            "allocated_autocast_gib": autocast_gib(run, chip),
            "fits": "yes" if answer["fits"] else "no",
            "date": date.today().isoformat(),
        }


def main() -> None:
    """Write the table in one piece."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", choices=sorted(FILES), default="third", help="which runs")
    parser.add_argument("--out", type=Path, help="another file than the stored one")
    given = parser.parse_args()
    out = given.out or HERE / FILES[given.set][1]
    table = pd.DataFrame(predicted(given.set), columns=list(COLUMNS))
    write_text(out, table.to_csv(index=False, lineterminator="\n"))
    print(out)


if __name__ == "__main__":
    main()

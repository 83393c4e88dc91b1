"""Enters what `steps.py` measured into the book's tables, beside what was predicted.

    python experiments/training_steps/add_rows.py OUTDIR/steps.csv

Appends the runs that ended well to `training_measurements`, their memory to `memory_measurements`, their predictions to
`training_blind`, and how they ran to `training_stacks`. What was predicted stays in `training_blind`, whatever a later fit
says of the runs. A run that did not fit, or failed, is named and enters no table. Nothing is written where the source has
rows already.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from training_moat.core.units import GB, GIB
from training_moat.core.whole_files import write_text

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "data"
SOURCE = "book_h100_steps"
CHIP = "H100 80GB HBM3"
OK = "ok"
READINGS = {"peak_allocated": "allocated_gib", "peak_reserved": "reserved_gib"}
STACKS = {
    "pytorch-eager": "PyTorch and transformers, nothing compiled: FP32 weights under BF16 autocast, fused AdamW",
    "pytorch": "as the others, every decoder layer and the loss compiled",
    "litgpt-eager": "PyTorch and transformers, nothing compiled: weights, gradients and AdamW's states in BF16",
}
"""What ran under each name of software."""
TAKEN = {
    "pytorch-eager": "transformers-autocast",
    "pytorch": "transformers-compiled",
    "litgpt-eager": "transformers",
}
"""The table's names for what ran, of which there were none when the runs were predicted: cuDNN's attention, checkpoints that
stop early, grouped products of experts."""
LOOP = "in a loop"
"""How a run says that every expert's products are launched by themselves, as none of these do."""
NOTES = {
    "gpt2-one-sequence": "checked: 512 tokens a step are too few to keep the chip busy",
    "olmoe-loop": "checked: experts in a loop, six times slower than the same model with grouped products",
    "qwen30b-moe-grouped": "checked: 4 of the model's 48 layers",
    "olmoe-grouped": "checked: grouped products, six times faster than the same model with a loop",
}
"""Notes on runs that are far from the source's others."""
NAMES = {
    "GPT-2 small": ("GPT-2 124M", "gpt2-124m"),
    "Qwen3 30B-A3B, 4 of 48 layers": ("Qwen3 30B-A3B", "qwen3-30b-a3b"),
}
"""Models that the book's table has under another name, or whole where the run has some of their layers."""
Row = dict[str, object]


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a table as texts."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def words(run: Mapping[str, str]) -> str:
    """What decides how a run is read: the software asked for, and whether the output head is the embedding."""
    tied = "tied" if run["tied_embeddings"] == "1" else "own output head"
    adapters = "adapters on a BF16 base, " if run["lora_rank"] != "0" else ""
    grouped = "grouped products, " if run["expert_products"] == "grouped" else ""
    return f"{adapters}{grouped}{run['software']}, {tied}"


def spelled(run: Mapping[str, str]) -> str:
    """The run in words for readers: its batch, and what is special about it."""
    passes = int(run["global_batch"]) // int(run["micro_batch"])
    _, _, cut = run["model"].partition(", ")
    said = {
        cut: cut,
        f"{run['micro_batch']} x {int(run['seq_len']):,} tokens": True,
        f"{passes} passes a step": passes > 1,
        "layers recomputed": run["recompute"] == "full",
        f"experts' products {_launched(run) or 'grouped'}": run["expert_products"],
        "adapters": run["lora_rank"] != "0",
    }
    return ", ".join(part for part, holds in said.items() if holds)


def place(run: Mapping[str, str]) -> str:
    """Where the run stands in its source: its name there, and what it is in words."""
    return f"{run['run_id']}: {spelled(run)}; {words(run)}"


def _named(run: Mapping[str, str]) -> Row:
    """The run's model as the tables call it."""
    name, identity = NAMES.get(run["model"], (run["model"].partition(", ")[0], run["model_id"]))
    return {"model": name, "model_id": identity}


def training_rows(run: Mapping[str, str], found: Mapping[str, str], config: str) -> Iterator[Row]:
    """The run's rows of `training_measurements`, without their numbers."""
    experts = run["experts"] != "0"
    lora = f"LoRA of rank {run['lora_rank']}" if run["lora_rank"] != "0" else ""
    common: Row = {
        "config_id": config,
        **_named(run),
        "params_b": round(int(found["parameters"]) / 1e9, 4),
        **{name: run[name] for name in ("layers", "hidden", "heads", "kv_heads", "ffn", "vocab")},
        "moe_experts": run["experts"] if experts else "",
        "moe_topk": run["experts_per_token"] if experts else "",
        **{name: run[name] for name in ("seq_len", "global_batch", "micro_batch", "recompute")},
        **{"chip": CHIP, "chip_id": "h100-sxm", "n_chips": 1},
        **dict.fromkeys(("tp", "pp", "dp", "cp"), 1),
        "zero_fsdp": "ZeRO-0",
        "precision": "bf16",
        "format": "bf16",
        "source": SOURCE,
        "table_ref": place(run),
        "date": found["date"],
        "confirmed": "yes",
        "notes": NOTES.get(run["run_id"], lora),
    }
    plain = {"derived": "no", "derivation": ""}
    yield common | plain | {"metric": "step_time", "value": found["step_s"], "unit": "s"}
    turned = {"derived": "yes", "derivation": "GiB x 1.073742"}
    for metric, column in READINGS.items():
        yield common | turned | {"metric": metric, "value": _gb(found[column]), "unit": "GB"}


def _gb(gib: str) -> str:
    return f"{float(gib) * GIB / GB:.4g}"


def memory_rows(run: Mapping[str, str], found: Mapping[str, str], config: str) -> Iterator[Row]:
    """The run's rows of `memory_measurements`, without their numbers."""
    note = NOTES.get(run["run_id"])
    lora = run["lora_rank"] != "0"
    for metric, column in READINGS.items():
        yield {
            **_named(run),
            **{name: run[name] for name in ("seq_len", "recompute")},
            **{name: run[name] for name in ("global_batch", "micro_batch")},
            "params_b": round(int(found["parameters"]) / 1e9, 4),
            "workload": "finetune" if lora else "pretraining",
            "method": f"LoRA, rank {run['lora_rank']}" if lora else "",
            **{"chip": CHIP, "chip_id": "h100-sxm", "n_chips": 1},
            **dict.fromkeys(("tp", "pp", "dp", "cp"), 1),
            "zero_fsdp": "ZeRO-0",
            "precision": "bf16",
            "metric": metric,
            "value": found[column],
            "unit": "GiB",
            "value_gb": _gb(found[column]),
            "derived": "no",
            "source": SOURCE,
            "table_ref": place(run),
            "date": found["date"],
            "confirmed": "yes",
            "notes": f"linked config_id={config}" + (f"; {note}" if note else ""),
        }


def blind_row(told: Mapping[str, str], found: Mapping[str, str], config: str) -> Row:
    """The run's row of `training_blind`."""
    return {
        "config_id": config,
        "source": SOURCE,
        "measured_s": found["step_s"],
        **{name: told[name] for name in ("predicted_s", "p05_s", "p95_s", "date")},
        "allocated_gb": _gb(told["allocated_gib"]),
    }


def _launched(run: Mapping[str, str]) -> str:
    return LOOP if run["expert_products"] == "loop" else ""


def stack_rows(runs: Iterable[Mapping[str, str]]) -> Iterator[Row]:
    """Lines of `training_stacks`, one for each kind of run."""
    for run in {_launched(run) + words(run): run for run in runs}.values():
        yield {
            "training_source": SOURCE,
            "row_contains": f"{_launched(run)}; {words(run)}",
            "software": run["software"] if _launched(run) else TAKEN[run["software"]],
            **{"flash_attention": 1, "zero_stage": 0, "sequence_parallel": 0, "accumulates": 1},
            "tied_embeddings": run["tied_embeddings"],
            "basis": STACKS[run["software"]],
            "source": SOURCE,
            "confirmed": "yes",
            "autocast": 1 if run["weights"] == "fp32" else "",
        }


def appended(path: Path, rows: Iterable[Row]) -> str:
    """The table's text with the rows at its end, numbered where it numbers its rows; what stands there is left as it is."""
    text = path.read_text()
    columns = next(csv.reader(io.StringIO(text)))
    numbered = columns[0] == "row_id"
    last = max((row["row_id"] for row in read(path)), default="") if numbered else ""
    out = io.StringIO()
    table = csv.DictWriter(out, columns, lineterminator="\n")
    for place, row in enumerate(rows, 1):
        number = f"{last[0]}{int(last[1:]) + place:0{len(last) - 1}d}" if numbered else ""
        table.writerow(({"row_id": number} if numbered else {}) | row)
    return text + out.getvalue()


def entered(measured: list[dict[str, str]], data: Path = DATA) -> dict[Path, str]:
    """Every table of the folder that changes, with its new text."""
    runs = {run["run_id"]: run for run in read(HERE / "runs.csv")}
    told = {row["run_id"]: row for row in read(HERE / "predicted.csv")}
    good = [row for row in measured if row["status"] == OK]
    configs = {row["run_id"]: f"{SOURCE}-{place:04d}" for place, row in enumerate(good, 1)}
    each = [(runs[row["run_id"]], row, configs[row["run_id"]]) for row in good]
    return {
        data / f"{name}.csv": appended(data / f"{name}.csv", rows)
        for name, rows in {
            "training_measurements": [new for one in each for new in training_rows(*one)],
            "memory_measurements": [new for one in each for new in memory_rows(*one)],
            "training_blind": [
                blind_row(told[run["run_id"]], found, config) for run, found, config in each
            ],
            "training_stacks": stack_rows(run for run, _, _ in each),
        }.items()
    }


def main() -> None:
    """Read the measurement, write the tables, say what entered none."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("measured", type=Path, help="steps.csv of run.sh")
    measured = read(parser.parse_args().measured)
    if any(row["source"] == SOURCE for row in read(DATA / "training_blind.csv")):
        sys.exit(f"add_rows: {SOURCE} has rows already; take them out of the tables first.")
    for path, text in entered(measured).items():
        write_text(path, text)
        print(path)
    for row in measured:
        if row["status"] != OK:
            print(f"{row['run_id']}: {row['status']} {row['notes']}", file=sys.stderr)


if __name__ == "__main__":
    main()

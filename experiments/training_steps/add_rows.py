"""Enters what `steps.py` measured into the book's tables, beside what was predicted.

    python experiments/training_steps/add_rows.py OUTDIR/steps.csv                # the third set
    python experiments/training_steps/add_rows.py OUTDIR/steps.csv --set first

Appends the runs that ended well to `training_measurements`, their memory to `memory_measurements`, what was predicted for
the chip that ran them to `training_blind`, how they ran to `training_stacks`, and of a new set its source to `sources` and
`lock_box`: it judges the fit until the next one takes it in. What was predicted stays in `training_blind`, whatever a later
fit says of the runs. A run that did not fit, or failed, is named and enters no table. Nothing is written where the source
has rows already.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from training_moat.catalog import models
from training_moat.core.units import GB, GIB
from training_moat.core.whole_files import write_text

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "data"
SETS = {
    "first": ("runs.csv", "predicted.csv"),
    "second": ("runs_second.csv", "predicted_second.csv"),
    "third": ("runs_third.csv", "predicted_third.csv"),
}
"""Files of a set's runs and of what was predicted of them."""
CHIPS = {
    "NVIDIA H100 80GB HBM3": ("h100-sxm", "H100 80GB HBM3", "book_h100_steps"),
    "NVIDIA H200": ("h200", "H200", "book_h200_steps"),
}
"""Cards by the names that they give themselves: the table's chip, its words there, the source of what was measured on it."""
OK = "ok"
READINGS = {"peak_allocated": "allocated_gib", "peak_reserved": "reserved_gib"}
EAGER = "PyTorch and transformers, nothing compiled: "
CAST = "FP32 weights under BF16 autocast, fused AdamW"
SIXTEEN = "weights, gradients and AdamW's states in BF16"
COMPILED = "PyTorch and transformers, every decoder layer and the loss compiled: "
STACKS = {
    "pytorch-eager": EAGER + CAST,
    "pytorch": "as the others, every decoder layer and the loss compiled",
    "litgpt-eager": EAGER + SIXTEEN,
    "transformers-autocast": EAGER + CAST,
    "transformers-compiled": COMPILED + CAST,
    "transformers-compiled-bf16": COMPILED + SIXTEEN,
    "transformers": EAGER + SIXTEEN,
    "jax": "JAX, the whole step one program of XLA: FP32 weights cast where they are used, attention by cuDNN, AdamW by hand",
}
"""What ran under each name of software."""
TAKEN = {
    "pytorch-eager": "transformers-autocast",
    "pytorch": "transformers-compiled",
    "litgpt-eager": "transformers",
}
"""The table's names for what ran, of which there were none when the first set was predicted: cuDNN's attention, checkpoints
that stop early, grouped products of experts."""
LOOP = "in a loop"
"""How a run says that every expert's products are launched by themselves, as none of these do."""
NOTES = {
    "gpt2-one-sequence": "checked: 512 tokens a step are too few to keep the chip busy",
    "olmoe-loop": "checked: experts in a loop, six times slower than the same model with grouped products",
    "qwen30b-moe-grouped": "checked: 4 of the model's 48 layers",
    "olmoe-grouped": "checked: grouped products, six times faster than the same model with a loop",
    "mixtral-2-layers": "checked: 2 of the model's 32 layers",
    "llama70b-3-layers": "checked: 3 of the model's 80 layers",
    "qwen30b-moe-few-tokens": "checked: 4 of the model's 48 layers, 512 tokens a step",
    "qwen30b-moe-4x4096": "checked: 4 of the model's 48 layers",
    "smollm135m-short-steps": "checked: 512 tokens a step are too few to keep the chip busy",
    "qwen0.6b-32k-compiled-full": "checked: attention over 32,768 tokens is most of the work",
    "tinyllama-64k-full": "checked: attention over 65,536 tokens is most of the work",
    "qwen1.5-moe-6-layers": "checked: 6 of the model's 24 layers",
    "mixtral-8x22b-2-layers": "checked: 2 of the model's 56 layers",
    "qwen235b-2-layers": "checked: 2 of the model's 94 layers",
    "llama405b-1-layer": "checked: 1 of the model's 126 layers",
    "llama1b-128-tokens": "checked: 128 tokens a step are too few to keep the chip busy",
    "gemma3-270m": "no column for heads of 256 of a model without a line",
}
"""Notes on runs that are far from the source's others."""
NAMES = {
    "GPT-2 small": ("GPT-2 124M", "gpt2-124m"),
    "Qwen3 30B-A3B, 4 of 48 layers": ("Qwen3 30B-A3B", "qwen3-30b-a3b"),
    "Mixtral 8x7B, 2 of 32 layers": ("Mixtral 8x7B", "mixtral-8x7b"),
    "Llama 3.1 70B, 3 of 80 layers": ("Llama 3.1 70B", "llama3.1-70b"),
    "Qwen1.5-MoE A2.7B, 6 of 24 layers": ("Qwen1.5-MoE A2.7B", "qwen1.5-moe-a2.7b"),
    "Mixtral 8x22B, 2 of 56 layers": ("Mixtral 8x22B", "mixtral-8x22b"),
    "Qwen3 235B-A22B, 2 of 94 layers": ("Qwen3 235B-A22B", "qwen3-235b-a22b"),
    "Llama 3.1 405B, 1 of 126 layers": ("Llama 3.1 405B", "llama3.1-405b"),
}
"""Models that the book's table has under another name, or whole where the run has some of their layers."""
OPTIMIZERS = {"sgd": "SGD with momentum", "muon": "Muon", "adafactor": "Adafactor"}
"""PyTorch's optimizers other than AdamW, in words."""
UNTOLD = "no column for the optimizer, {}"
"""Note on a run that the tables cannot tell from one with AdamW, and no fit takes."""
PLAIN = "TF32 without autocast"
Row = dict[str, object]


class Place(NamedTuple):
    """Where a set was measured: the table's chip, its words there, the key of the source, the set."""

    chip_id: str
    chip: str
    source: str
    which: str


def place_of(measured: Sequence[Mapping[str, str]], which: str) -> Place:
    """Where the rows were measured. Raises `SystemExit` where that is no one known card."""
    devices = {row["device"] for row in measured}
    if len(devices) != 1 or not devices <= set(CHIPS):
        sys.exit(f"add_rows: measured on {sorted(devices)}; expected one of {sorted(CHIPS)}.")
    chip_id, chip, source = CHIPS[devices.pop()]
    return Place(chip_id, chip, source if which == "first" else f"{source}_{which}", which)


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a table as texts."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def software(run: Mapping[str, str]) -> str:
    """What ran, by the table's name or by the one asked for."""
    sixteen = run["weights"] == "bf16" and run["compiled"] == "1"
    return f"{run['software']}-bf16" if sixteen else run["software"]


def optimizer(run: Mapping[str, str]) -> str:
    """The run's optimizer in words, where it is not AdamW."""
    return OPTIMIZERS.get(run.get("optimizer", ""), "")


def note(run: Mapping[str, str]) -> str:
    """What sets a run apart from the source's others, or from what the tables can say."""
    lora = f"LoRA of rank {run['lora_rank']}" if run["lora_rank"] != "0" else ""
    return UNTOLD.format(optimizer(run)) if optimizer(run) else NOTES.get(run["run_id"], lora)


def words(run: Mapping[str, str]) -> str:
    """What decides how a run is read: the software, and whether the output head is the embedding."""
    tied = "tied" if run["tied_embeddings"] == "1" else "own output head"
    adapters = "adapters on a BF16 base, " if run["lora_rank"] != "0" else ""
    grouped = "grouped products, " if run["expert_products"] == "grouped" else ""
    plain = f"{PLAIN}, " if run["precision"] == "tf32" else ""
    return f"{adapters}{grouped}{plain}{software(run)}, {tied}"


def spelled(run: Mapping[str, str]) -> str:
    """The run in words for readers: its batch, and what is special about it."""
    passes = int(run["global_batch"]) // int(run["micro_batch"])
    _, _, cut = run["model"].partition(", ")
    said = {
        cut: cut,
        f"{run['micro_batch']} x {int(run['seq_len']):,} tokens": True,
        f"{passes} passes a step": passes > 1,
        "layers recomputed": run["recompute"] == "full",
        f"{_kept(run)} recomputed": run["recompute"] == "selective",
        f"experts' products {_launched(run) or 'grouped'}": run["expert_products"],
        "adapters": run["lora_rank"] != "0",
        "layers' products in eight bits": run["precision"] == "fp8",
        "FP16": run["precision"] == "fp16",
        "TF32": run["precision"] == "tf32",
        optimizer(run): optimizer(run),
        "gradients clipped": run.get("loop") == "trainer",
    }
    return ", ".join(part for part, holds in said.items() if holds)


def _kept(run: Mapping[str, str]) -> str:
    return "all but products" if run["framework"] == "jax" else "every second layer"


def found_at(run: Mapping[str, str]) -> str:
    """Where the run stands in its source: its name there, and what it is in words."""
    return f"{run['run_id']}: {spelled(run)}; {words(run)}"


def _named(run: Mapping[str, str]) -> Row:
    """The run's model as the tables call it."""
    name, identity = NAMES.get(run["model"], (run["model"].partition(", ")[0], run["model_id"]))
    return {"model": name, "model_id": identity or models.find(name) or ""}


def training_rows(
    run: Mapping[str, str], found: Mapping[str, str], config: str, at: Place
) -> Iterator[Row]:
    """The run's rows of `training_measurements`, without their numbers."""
    experts = run["experts"] != "0"
    common: Row = {
        "config_id": config,
        **_named(run),
        "params_b": round(int(found["parameters"]) / 1e9, 4),
        **{name: run[name] for name in ("layers", "hidden", "heads", "kv_heads", "ffn", "vocab")},
        "active_params_b": _active_b(run, found) if experts else "",
        "moe_experts": run["experts"] if experts else "",
        "moe_topk": run["experts_per_token"] if experts else "",
        **{name: run[name] for name in ("seq_len", "global_batch", "micro_batch", "recompute")},
        **{"chip": at.chip, "chip_id": at.chip_id, "n_chips": 1},
        **dict.fromkeys(("tp", "pp", "dp", "cp"), 1),
        "zero_fsdp": "ZeRO-0",
        "precision": run["precision"],
        "format": run["precision"],
        "source": at.source,
        "table_ref": found_at(run),
        "date": found["date"],
        "confirmed": "yes",
        "notes": note(run),
    }
    plain = {"derived": "no", "derivation": ""}
    yield common | plain | {"metric": "step_time", "value": found["step_s"], "unit": "s"}
    turned = {"derived": "yes", "derivation": "GiB x 1.073742"}
    for metric, column in _read(found).items():
        yield common | turned | {"metric": metric, "value": _gb(found[column]), "unit": "GB"}


def _read(found: Mapping[str, str]) -> dict[str, str]:
    """Columns of the readings of memory that there are, by metric: XLA tells what its program needs, no allocator's peak."""
    return {metric: column for metric, column in READINGS.items() if found[column]}


def _active_b(run: Mapping[str, str], found: Mapping[str, str]) -> float:
    """Billions of parameters that a token meets: without the experts that it is not sent to."""
    matrices = 2 + int(run["gated_ffn"])
    expert = matrices * int(run["hidden"]) * int(run["expert_ffn"])
    idle = int(run["layers"]) * (int(run["experts"]) - int(run["experts_per_token"])) * expert
    return round((int(found["parameters"]) - idle) / 1e9, 4)


def _gb(gib: str) -> str:
    return f"{float(gib) * GIB / GB:.4g}"


def memory_rows(
    run: Mapping[str, str], found: Mapping[str, str], config: str, at: Place
) -> Iterator[Row]:
    """The run's rows of `memory_measurements`, without their numbers."""
    lora = run["lora_rank"] != "0"
    said = "" if lora else note(run)
    for metric, column in _read(found).items():
        yield {
            **_named(run),
            **{name: run[name] for name in ("seq_len", "recompute")},
            **{name: run[name] for name in ("global_batch", "micro_batch")},
            "params_b": round(int(found["parameters"]) / 1e9, 4),
            "workload": "finetune" if lora else "pretraining",
            "method": f"LoRA, rank {run['lora_rank']}" if lora else "",
            **{"chip": at.chip, "chip_id": at.chip_id, "n_chips": 1},
            **dict.fromkeys(("tp", "pp", "dp", "cp"), 1),
            "zero_fsdp": "ZeRO-0",
            "precision": run["precision"],
            "metric": metric,
            "value": found[column],
            "unit": "GiB",
            "value_gb": _gb(found[column]),
            "derived": "no",
            "source": at.source,
            "table_ref": found_at(run),
            "date": found["date"],
            "confirmed": "yes",
            "notes": f"linked config_id={config}" + (f"; {said}" if said else ""),
        }


def blind_row(told: Mapping[str, str], found: Mapping[str, str], config: str, at: Place) -> Row:
    """The run's row of `training_blind`."""
    return {
        "config_id": config,
        "source": at.source,
        "measured_s": found["step_s"],
        **{name: told[name] for name in ("predicted_s", "p05_s", "p95_s", "date")},
        "allocated_gb": _gb(told["allocated_gib"]),
    }


def _launched(run: Mapping[str, str]) -> str:
    return LOOP if run["expert_products"] == "loop" else ""


def stack_rows(runs: Iterable[Mapping[str, str]], at: Place) -> Iterator[Row]:
    """Lines of `training_stacks`, one for each kind of run."""
    for run in {_launched(run) + words(run): run for run in runs}.values():
        name = software(run)
        yield {
            "training_source": at.source,
            "row_contains": f"{_launched(run)}; {words(run)}",
            "software": name if _launched(run) else TAKEN.get(name, name),
            **{"flash_attention": 1, "zero_stage": 0, "sequence_parallel": 0, "accumulates": 1},
            "tied_embeddings": run["tied_embeddings"],
            "basis": STACKS[name].replace("under BF16 autocast", f"in {PLAIN}")
            if run["precision"] == "tf32"
            else STACKS[name],
            "source": at.source,
            "confirmed": "yes",
            "autocast": 1 if _cast(run) else "",
        }


def _cast(run: Mapping[str, str]) -> bool:
    whole = run["weights"] == "fp32" and run["framework"] == "pytorch"
    return whole and run["precision"] != "tf32"


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


def source_rows(found: Mapping[str, str], software: Iterable[str], at: Place) -> Iterator[Row]:
    """The new source's line of `sources`."""
    yield {
        "key": at.source,
        "kind": "experiment",
        "title": f"Training steps on one {at.chip.split()[0]}, {at.which} set, predicted first (experiments/training_steps)",
        "publisher": "The Training Moat",
        "published": found["date"][:7],
        "accessed": found["date"][:7],
        "licence": "CC-BY-4.0",
        "notes": f"one {found['device']}, {'; '.join(sorted(set(software)))}; "
        f"predictions in the history of experiments/training_steps/{SETS[at.which][1]}",
    }


def put_aside(at: Place) -> Row:
    """The new source's line of `lock_box`."""
    note = "for the next fit, with which this line goes; what was predicted before anybody had measured it is in training_blind"
    return {"source": at.source, "chosen_by": "found after the last fit", "note": note}


def entered(
    measured: list[dict[str, str]], which: str = "third", data: Path = DATA
) -> dict[Path, str]:
    """Every table of the folder that changes, with its new text."""
    at = place_of(measured, which)
    runs, told = ({row["run_id"]: row for row in read(HERE / name)} for name in SETS[which])
    if which != "first":
        told = {
            row["run_id"]: row
            for row in read(HERE / SETS[which][1])
            if row["chip_id"] == at.chip_id
        }
    good = [row for row in measured if row["status"] == OK]
    configs = {row["run_id"]: f"{at.source}-{place:04d}" for place, row in enumerate(good, 1)}
    each = [(runs[row["run_id"]], row, configs[row["run_id"]]) for row in good]
    tables: dict[str, list[Row]] = {
        "training_measurements": [new for one in each for new in training_rows(*one, at)],
        "memory_measurements": [new for one in each for new in memory_rows(*one, at)],
        "training_blind": [
            blind_row(told[run["run_id"]], found, config, at) for run, found, config in each
        ],
        "training_stacks": list(stack_rows((run for run, _, _ in each), at)),
    }
    if at.source not in {row["key"] for row in read(data / "sources.csv")}:
        ran = (row["software"] for row in good)
        tables |= {"sources": list(source_rows(good[0], ran, at)), "lock_box": [put_aside(at)]}
    return {
        data / f"{name}.csv": appended(data / f"{name}.csv", rows) for name, rows in tables.items()
    }


def main() -> None:
    """Read the measurement, write the tables, say what entered none."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("measured", type=Path, help="steps.csv of run.sh")
    parser.add_argument("--set", choices=sorted(SETS), default="third", help="which runs")
    given = parser.parse_args()
    measured = read(given.measured)
    source = place_of(measured, given.set).source
    if any(row["source"] == source for row in read(DATA / "training_blind.csv")):
        sys.exit(f"add_rows: {source} has rows already; take them out of the tables first.")
    for path, text in entered(measured, given.set).items():
        write_text(path, text)
        print(path)
    for row in measured:
        if row["status"] != OK:
            print(f"{row['run_id']}: {row['status']} {row['notes']}", file=sys.stderr)


if __name__ == "__main__":
    main()

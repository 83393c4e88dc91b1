"""Measures on a GPU what the book otherwise only models: FP8 against BF16, and training against inference.

    python experiments/low_precision/gpu_measure.py --out data/gpu_measurements.csv

Needs PyTorch with a GPU that multiplies FP8 (Hopper, Ada, Blackwell; MI300X through ROCm). Writes one tidy table, a
row per measured number, with the machine named. Parts:

error      relative error of BF16 and FP8 products against their length, for operands around zero and of one sign,
           beside what `numerics.matrix_unit` predicts for the same operands: the falsifiable check of these models
copy       rate of copying memory on the device
matmul     rate of square products in BF16 and FP8, with fast accumulation on and off
step       a training step against an inference pass of the same model: time and peak memory; scaling to FP8 is plain
           PyTorch, no fused kernel

What recipes cost a model in training is the larger experiment's question (`larger.py`).
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

try:
    import torch
except ImportError:
    sys.exit("gpu_measure: PyTorch is missing; install it with `pip install torch==2.13.0`.")

from fp8_model import FNUZ, Model, fp8_product, loss_of, scaled  # noqa: E402

from training_moat.numerics.matrix_unit import dot, matrix_unit  # noqa: E402

COLUMNS = (
    "machine", "part", "operand", "setting", "size", "quantity", "value", "unit", "source", "confirmed",
    "date", "notes",
)  # fmt: skip
SOURCE = "gpu_measurements"
SAMPLED = 16  # rows and columns of a product that are set beside the model
BATCHED = 10  # products launched between two readings of the clock, so that the launches are not what is timed
Row = dict[str, object]


def modelled_unit(device: torch.device, operand: str, fast: bool) -> str | None:
    """The model in `numerics.matrix_unit` of this GPU's accumulation; None where the book has none."""
    hopper = "hopper_bf16" if operand == "bf16" else "hopper_fp8" if fast else "hopper_fp8_promoted"
    if device.type != "cuda":
        return hopper  # only to show that the script runs
    if torch.version.hip:
        return {"bf16": "cdna3_bf16", "fp8": "cdna3_fp8"}[operand] if FNUZ else None
    major, _ = torch.cuda.get_device_capability(device)
    if major == 9:
        return hopper
    return "blackwell_fp8" if major == 10 and operand == "fp8" else None


def seconds(
    work: Callable[[], object], device: torch.device, repeats: int, batched: int = 1
) -> float:
    """Median time of one call, after three to warm up: on a GPU by its own clock, `batched` calls at a time."""
    for _ in range(3):
        work()
    return statistics.median(_once(work, device, batched) for _ in range(repeats)) / batched


def _once(work: Callable[[], object], device: torch.device, calls: int) -> float:
    if device.type != "cuda":
        started = time.perf_counter()
        for _ in range(calls):
            work()
        return time.perf_counter() - started
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    start.record()
    for _ in range(calls):
        work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3  # milliseconds


def matmul(device: torch.device, sizes: list[int], repeats: int) -> Iterator[Row]:
    """Rates of square products in TFLOP/s."""
    for size in sizes:
        a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
        (a8, ua), (b8, ub) = scaled(a), scaled(b)
        kinds = {("bf16", "default"): lambda a=a, b=b: a @ b.t()}
        for fast in (True, False):
            kinds["fp8", "fast" if fast else "precise"] = (
                lambda a=a8, b=b8, ua=ua, ub=ub, fast=fast: fp8_product(a, b, ua, ub, fast)
            )
        for (operand, setting), work in kinds.items():
            rate = 2 * size**3 / seconds(work, device, repeats, BATCHED) / 1e12
            yield {
                "part": "matmul",
                "operand": operand,
                "setting": setting,
                "size": size,
                "quantity": "rate",
                "value": rate,
                "unit": "TFLOP/s",
            }


def copy(device: torch.device, mib: int, repeats: int) -> Iterator[Row]:
    """Rate of copying memory on the device in GB/s, bytes read and bytes written both counted."""
    here = torch.randint(256, (mib * 2**20,), dtype=torch.uint8, device=device)
    there = torch.empty_like(here)
    rate = 2 * here.numel() / seconds(lambda: there.copy_(here), device, repeats, BATCHED) / 1e9
    yield {
        "part": "copy", "operand": "bytes", "setting": "device to device", "size": here.numel(),
        "quantity": "rate", "value": rate, "unit": "GB/s",
    }  # fmt: skip


def error(device: torch.device, lengths: list[int]) -> Iterator[Row]:
    """Errors of products relative to the root mean square of the exact ones; and the model's, for the same operands.

    Operands lie around zero, or are of one sign, where every cut goes the same way.
    """
    for operand in ("fp8", "bf16"):
        for length in lengths:
            for sign in ("centred", "positive"):
                for fast in (True, False) if operand == "fp8" else (False,):
                    yield from one_error(device, length, operand, sign, fast)


def one_error(
    device: torch.device, length: int, operand: str, sign: str, fast: bool
) -> Iterator[Row]:
    """Errors of one kind of product; `SAMPLED` squared sums of it are set beside the model."""
    generator = torch.Generator().manual_seed(length)
    drawn = [torch.randn(SAMPLED, length, generator=generator) for _ in range(2)]
    drawn = [one.abs() for one in drawn] if sign == "positive" else drawn
    kept = [scaled(one)[0] if operand == "fp8" else one.to(torch.bfloat16) for one in drawn]
    a, b = (one.double() for one in kept)
    exact = a @ b.t()
    size = exact.square().mean().sqrt()
    found = sums(device, *kept, fast).cpu().double()
    unit = modelled_unit(device, operand, fast)
    setting = {"fp8": "fast" if fast else "precise", "bf16": "default"}[operand]
    common = {
        "part": "error", "operand": operand, "setting": f"{setting}, {sign}", "size": length, "unit": "1",
    }  # fmt: skip
    kinds = {"measured": found}
    if unit is not None:
        left, right = a.repeat_interleave(SAMPLED, 0).numpy(), b.repeat(SAMPLED, 1).numpy()
        modelled = torch.from_numpy(dot(left, right, matrix_unit(unit))).double()
        kinds["modelled"] = modelled.reshape(SAMPLED, SAMPLED)
        equal = (found == kinds["modelled"]).double().mean().item()
        yield {**common, "quantity": "share_equal_to_the_model", "value": equal, "notes": unit}
    for kind, values in kinds.items():
        off = (values - exact).abs() / size
        note = {"notes": unit} if kind == "modelled" else {}
        rms = off.square().mean().sqrt().item()
        yield {**common, "quantity": f"{kind}_rms_error", "value": rms, **note}
        yield {**common, "quantity": f"{kind}_max_error", "value": off.max().item(), **note}


def sums(device: torch.device, a: torch.Tensor, b: torch.Tensor, fast: bool) -> torch.Tensor:
    """`a` times `b` transposed in FP32, as a corner of a product with more tiles than the chip has cores.

    A small product with long sums would be cut along the sums, and its parts added by other means.
    """
    rows, columns = (4096, 2048) if device.type == "cuda" else (len(a), len(b))
    wide = []
    for side, count in ((a, rows), (b, columns)):
        rest = torch.randn(count - len(side), side.shape[1], device=device).to(side.dtype)
        bytes_ = [part.to(device).view(torch.uint8) for part in (side, rest)]
        wide.append(torch.cat(bytes_).view(side.dtype))
    if a.dtype != torch.bfloat16:
        one = torch.ones((), device=device)
        return fp8_product(*wide, one, one, fast, out=torch.float32)[: len(a), : len(b)]
    if device.type == "cuda":
        product = torch.mm(wide[0], wide[1].t(), out_dtype=torch.float32)
    else:
        product = wide[0].float() @ wide[1].float().t()
    return product[: len(a), : len(b)]


def peak_gib(device: torch.device) -> float:
    """Largest memory allocated since the last reset; not measured off a GPU."""
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else math.nan


def step(
    device: torch.device, width: int, layers: int, context: int, repeats: int
) -> Iterator[Row]:
    """One training step and one inference pass of the same model and batch."""
    vocab, batch = 128, 8
    tokens = torch.randint(vocab, (batch, context), device=device)
    for fp8 in (False, True):
        for setting, prepare in (("inference", inference), ("training", training)):
            work = None  # let go of the model before: its memory is not this one's
            work = prepare(Model(vocab, width, layers, context, fp8).to(device), tokens)
            work()
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            common = {
                "part": "step",
                "operand": "fp8" if fp8 else "bf16",
                "setting": setting,
                "size": batch * context,
            }
            yield {
                **common,
                "quantity": "time",
                "value": seconds(work, device, repeats),
                "unit": "s",
            }
            yield {**common, "quantity": "peak_memory", "value": peak_gib(device), "unit": "GiB"}


def inference(model: Model, tokens: torch.Tensor) -> Callable[[], None]:
    """One pass of a model whose weights are held in BF16, without gradients."""
    model = model.to(torch.bfloat16)

    def work() -> None:
        with torch.no_grad():
            model(tokens)

    return work


def training(model: Model, tokens: torch.Tensor) -> Callable[[], None]:
    """One step with Adam: forward, backward, update; FP32 weights and moments."""
    adam = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def work() -> None:
        adam.zero_grad()
        loss_of(model, tokens, tokens).backward()
        adam.step()

    return work


def parts(small: bool, device: torch.device) -> dict[str, Iterator[Row]]:
    """All parts, in the order in which they are measured."""
    if small:
        sizes = ([128, 1024], 1, 3, [128], (64, 2, 32, 3))
    else:
        sizes = (
            [128, 512, 2048, 4096, 8192, 32768],
            4096,
            20,
            [1024, 2048, 4096, 8192],
            (2048, 8, 2048, 10),
        )
    lengths, mib, repeats, edges, shape = sizes
    return {
        "error": error(device, lengths),
        "copy": copy(device, mib, repeats),
        "matmul": matmul(device, edges, repeats),
        "step": step(device, *shape),
    }  # fmt: skip


def measured(arguments: argparse.Namespace, device: torch.device) -> Iterator[Row]:
    """The rows of all parts; one that fails is told and does not stop the others."""
    for name, rows in parts(arguments.small, device).items():
        started = time.perf_counter()
        try:
            yield from rows
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            print(f"{name} failed: {str(error)[:500]}", file=sys.stderr)
        print(f"{name}: {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)


def main() -> None:
    """Measure and write the table in one piece."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("gpu_measurements.csv"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--small", action="store_true", help="tiny sizes that only show that the script runs"
    )
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("gpu_measure: no GPU is visible to PyTorch; run on a machine that has one.")
    device = torch.device(arguments.device)
    if (
        device.type == "cuda"
        and not torch.version.hip
        and torch.cuda.get_device_capability(device) < (8, 9)
    ):
        sys.exit(
            "gpu_measure: this GPU does not multiply FP8; it takes Ada, Hopper, Blackwell or newer, or MI300X."
        )
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    fixed = {
        "machine": f"one {name}, PyTorch {torch.__version__.split('+')[0]}",
        "source": SOURCE,
        "confirmed": "yes",
        "date": date.today().isoformat(),
    }
    beside = arguments.out.with_name(f"{arguments.out.name}.{os.getpid()}.new")
    with beside.open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        for row in measured(arguments, device):
            if math.isfinite(row["value"]):
                table.writerow(fixed | row | {"value": f"{row['value']:.6g}"})
            print(
                f"{row['part']:9} {row['operand']:5} {row['setting']:18} {row['size']:6} {row['quantity']:26} {row['value']:.4g} {row['unit']}",
                file=sys.stderr,
            )
            file.flush()
    os.replace(beside, arguments.out)
    print(arguments.out)


if __name__ == "__main__":
    main()

"""Times on a GPU one product of each size of a grid, in BF16 and FP8: product_grid.py FILE.csv [--small]

A training step's products differ in size by a thousand; what a small one loses against a large one is what the model calls the
traffic of its operands (`core.layer_step.matmul_seconds`). Operands are taken in turn from as many copies as fill twice the
last-level cache, for in a step they come from memory. The large square stands before, between and after the others: its
rate shows how the clock moved meanwhile.
"""

from __future__ import annotations

import csv
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from kernels import BF16, seconds
from torch.nn import functional as F

ROWS = (512, 1024, 2048, 4096, 8192, 16384)
WIDTHS = (512, 1024, 2048, 4096, 8192, 16384)
COARSE = {"rows": (1024, 4096, 16384), "widths": (512, 1024, 2048, 4096, 8192, 16384)}
"""The part of the grid that is timed in FP8 as well."""
SQUARE = (8192, 8192, 8192)
SQUARE_EVERY = 40
COLD_BYTES = 200e6
MOST_COPIES = 48
FP8 = torch.float8_e4m3fn


def shapes() -> Iterator[tuple[str, int, int, int]]:
    """Format, rows (tokens), inner width and columns of every product, in the order in which they are timed."""
    grids = (("bf16", ROWS, WIDTHS), ("fp8", COARSE["rows"], COARSE["widths"]))
    for form, rows, widths in grids:
        for number, sizes in enumerate(itertools.product(rows, widths, widths)):
            if number % SQUARE_EVERY == 0:
                yield (form, *SQUARE)
            yield (form, *sizes)
        yield (form, *SQUARE)


def product(device: torch.device, form: str, m: int, k: int, n: int) -> Callable[[], object]:
    """Calls one product with the next copy of its operands: tokens by inputs, outputs by inputs."""
    size = 1 if form == "fp8" else 2
    copies = int(min(max(COLD_BYTES / (size * (m * k + k * n)), 1), MOST_COPIES)) + 1
    pairs = []
    for _ in range(copies):
        values, weights = (torch.randn(rows, k, device=device, dtype=BF16) for rows in (m, n))
        pairs.append((values.to(FP8), weights.to(FP8)) if form == "fp8" else (values, weights))
    turn = itertools.cycle(pairs)
    if form != "fp8":
        return lambda: F.linear(*next(turn))
    one = torch.ones((), device=device)

    def call() -> object:
        values, weights = next(turn)
        return torch._scaled_mm(values, weights.t(), one, one, out_dtype=BF16, use_fast_accum=True)

    return call


def main(target: Path, small: bool) -> None:
    """Write a row for each product: seconds of a call, and its rate in TFLOP/s."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    with target.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(
            ("format", "rows", "inner", "columns", "seconds", "tflops", "device", "notes")
        )
        for form, *sizes in shapes():
            m, k, n = (max(size // 32, 16) if small else size for size in sizes)
            try:
                taken = seconds(product(device, form, m, k, n), device)
                found = (f"{taken:.6g}", f"{2.0 * m * k * n / taken / 1e12:.5g}", name, "")
            except Exception as error:
                found = ("", "", name, f"{type(error).__name__}: {error}"[:200].replace("\n", " "))
            table.writerow((form, m, k, n, *found))
            file.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--small" in sys.argv[2:])

"""Times on a GPU the kernels that a training step is made of; called by `steps.py` when the runs are measured.

Products of layers, of grouped experts, permuting of tokens, attention, the optimizer and plain copies, all in BF16 unless
said. A rate counts what the kernel must do: FLOPs of a product, of causal attention the half that is not masked (forward two
products, backward five), bytes read and written once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

COLUMNS = (
    *("kernel_id", "part", "setting", "rows", "inner", "columns", "groups", "seconds", "work"),
    *("rate", "unit", "device", "software", "notes"),
)
READINGS = 3
READING_S = 0.015
"""Seconds of calls between two readings of the clock."""
BF16 = torch.bfloat16


class Kernel(NamedTuple):
    """One kernel to time: `prepare` makes its operands and gives what calls it, `work` counts what a call does."""

    part: str
    setting: str
    sizes: tuple[int, int, int, int]
    work: float
    unit: str
    prepare: Callable[[torch.device], Callable[[], object]]


PRODUCTS = (
    *((8192, 2048, 3072), (8192, 2048, 16384), (8192, 8192, 2048), (8192, 2048, 128256)),
    *((4096, 4096, 6144), (4096, 4096, 28672), (4096, 14336, 4096), (4096, 4096, 128256)),
    *((8192, 896, 1152), (8192, 896, 9728), (8192, 4864, 896), (16384, 768, 3072)),
    *((512, 768, 2304), (8192, 4096, 16), (8192, 8192, 8192), (1024, 4096, 28672)),
)
"""(tokens, inputs, outputs): layers of Llama 3.2 1B, Llama 3.1 8B, Qwen2.5 0.5B and GPT-2, an adapter, a square."""
EXPERTS = {
    "Mixtral 8x7B": (8, 4096, 14336, 2),
    "Qwen3 30B-A3B": (128, 2048, 768, 8),
    "DeepSeek-V3, an eighth of the experts": (32, 7168, 2048, 1),
}
"""Experts, width of the stream, width of an expert, copies of a token."""
EXPERT_TOKENS = (4096, 16384)
PERMUTED = ((8192, 8, 2048), (8192, 2, 4096), (4096, 8, 7168))
"""Tokens, copies of each, width."""
ATTENTION = (
    *((16, 2048, 32, 8, 64), (16, 2048, 32, 8, 128), (4, 8192, 32, 8, 128)),
    *((1, 32768, 32, 8, 128), (16, 1024, 12, 12, 64)),
)
"""Sequences, their length, heads, key-value heads, width of a head."""


def _random(device: torch.device, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, device=device, dtype=BF16)


def products(scale: int) -> Iterator[Kernel]:
    """Products of a layer: forward, and the gradient of its weights."""
    for rows, inner, columns in PRODUCTS:
        m, k, n = (max(size // scale, 16) for size in (rows, inner, columns))
        flops = 2.0 * m * k * n
        for setting, prepare in (("forward", _product), ("weight gradient", _gradient)):
            made = partial(prepare, m=m, k=k, n=n)
            yield Kernel("product", setting, (m, k, n, 1), flops, "TFLOP/s", made)


def _product(device: torch.device, m: int, k: int, n: int) -> Callable[[], object]:
    values, weights = _random(device, m, k), _random(device, n, k)
    return lambda: F.linear(values, weights)


def _gradient(device: torch.device, m: int, k: int, n: int) -> Callable[[], object]:
    values, gradients = _random(device, m, k), _random(device, m, n)
    return lambda: gradients.t() @ values


def shares(rows: int, groups: int, uneven: bool) -> list[int]:
    """Rows of every group, multiples of 16: equal, or falling by rank as 1, 1/sqrt(2), 1/sqrt(3), ..."""
    weights = [1 / (rank + 1) ** 0.5 if uneven else 1.0 for rank in range(groups)]
    found = [int(rows * weight / sum(weights)) // 16 * 16 for weight in weights]
    found[0] += rows - sum(found)
    return found


def grouped(scale: int) -> Iterator[Kernel]:
    """Products of all experts in one kernel, into the experts and out of them, with equal and uneven groups."""
    for experts, hidden, width, copies in EXPERTS.values():
        for tokens in EXPERT_TOKENS:
            for uneven in (False, True):
                rows, h, w = tokens * copies // scale, hidden // scale, width // scale
                name = "uneven" if uneven else "equal"
                for k, n in ((h, 2 * w), (w, h)):
                    sizes, work = (rows, k, n, experts), 2.0 * rows * k * n
                    made = partial(_grouped, rows=rows, k=k, n=n, experts=experts, uneven=uneven)
                    yield Kernel("grouped product", name, sizes, work, "TFLOP/s", made)


def _grouped(
    device: torch.device, rows: int, k: int, n: int, experts: int, uneven: bool
) -> Callable[[], object]:
    values, weights = _random(device, rows, k), _random(device, experts, n, k)
    counts = torch.tensor(shares(rows, experts, uneven), device=device)
    ends = counts.cumsum(0).to(torch.int32)
    product = getattr(F, "grouped_mm", None) or torch._grouped_mm
    return lambda: product(values, weights.transpose(-2, -1), offs=ends)


def permuting(scale: int) -> Iterator[Kernel]:
    """Copying tokens into the experts' order, and adding what comes back."""
    for tokens, copies, hidden in PERMUTED:
        t, h = tokens // scale, hidden // scale
        moved = 2.0 * t * copies * h
        # A row is read and written; what is added to is read as well.
        for setting, times, prepare in (("gather", 2, _gather), ("add back", 3, _add_back)):
            made = partial(prepare, tokens=t, copies=copies, hidden=h)
            yield Kernel("permute", setting, (t, copies, h, 1), times * moved, "GB/s", made)


def _order(device: torch.device, tokens: int, copies: int) -> torch.Tensor:
    return torch.randperm(tokens * copies, device=device) // copies


def _gather(device: torch.device, tokens: int, copies: int, hidden: int) -> Callable[[], object]:
    values, order = _random(device, tokens, hidden), _order(device, tokens, copies)
    return lambda: values.index_select(0, order)


def _add_back(device: torch.device, tokens: int, copies: int, hidden: int) -> Callable[[], object]:
    moved, order = _random(device, tokens * copies, hidden), _order(device, tokens, copies)
    sums = torch.zeros(tokens, hidden, device=device, dtype=BF16)
    return lambda: sums.index_add_(0, order, moved)


def attention(scale: int) -> Iterator[Kernel]:
    """Causal attention as PyTorch chooses its kernel, and FlashAttention's and cuDNN's by name."""
    backends = {
        "default": None,
        "flash": SDPBackend.FLASH_ATTENTION,
        "cudnn": SDPBackend.CUDNN_ATTENTION,
    }
    for sequences, length, heads, kv_heads, width in ATTENTION:
        s = length // scale
        forward = 2.0 * sequences * heads * s * s * width
        for name, backend in backends.items():
            if name != "default" and (length, width) != (8192, 128):
                continue
            for backward in (False, True):
                yield Kernel(
                    "attention",
                    f"{name}, {'forward and backward' if backward else 'forward'}",
                    (sequences, s, heads * width, heads // kv_heads),
                    forward * (3.5 if backward else 1.0),
                    "TFLOP/s",
                    lambda at, a=(sequences, s, heads, kv_heads, width), b=backend, w=backward: (
                        _attention(at, *a, b, w)
                    ),
                )


def _attention(
    device: torch.device,
    sequences: int,
    length: int,
    heads: int,
    kv_heads: int,
    width: int,
    backend: SDPBackend | None,
    backward: bool,
) -> Callable[[], object]:
    query = _random(device, sequences, heads, length, width).requires_grad_(backward)
    key, value = (
        _random(device, sequences, kv_heads, length, width).requires_grad_(backward)
        for _ in range(2)
    )
    upstream = torch.randn_like(query)

    def call() -> None:
        with torch.set_grad_enabled(backward):
            out = F.scaled_dot_product_attention(
                query, key, value, is_causal=True, enable_gqa=heads != kv_heads
            )
            if backward:
                torch.autograd.grad(out, (query, key, value), upstream)

    def chosen() -> None:
        with sdpa_kernel(backend):
            call()

    return call if backend is None else chosen


def streams(scale: int) -> Iterator[Kernel]:
    """AdamW's fused step in FP32 and BF16, a plain copy, and a sum of two tensors."""
    count = 500_000_000 // scale**3
    for kind, size in ((torch.float32, 4), (BF16, 2)):
        name = "fp32" if size == 4 else "bf16"
        yield Kernel(
            "optimizer",
            f"fused AdamW, {name}",
            (count, 1, 1, 1),
            7.0 * size * count,
            "GB/s",
            lambda at, d=kind: _adamw(at, count, d),
        )
    yield Kernel(
        "stream", "copy", (count, 1, 1, 1), 4.0 * count, "GB/s", lambda at: _copy(at, count)
    )
    yield Kernel("stream", "add", (count, 1, 1, 1), 6.0 * count, "GB/s", lambda at: _add(at, count))


def _adamw(device: torch.device, count: int, kind: torch.dtype) -> Callable[[], object]:
    weights = [torch.zeros(count // 16, device=device, dtype=kind) for _ in range(16)]
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    return torch.optim.AdamW(weights, lr=1e-5, fused=True).step


def _copy(device: torch.device, count: int) -> Callable[[], object]:
    source, target = (torch.zeros(count, device=device, dtype=BF16) for _ in range(2))
    return lambda: target.copy_(source)


def _add(device: torch.device, count: int) -> Callable[[], object]:
    one, two, out = (torch.zeros(count, device=device, dtype=BF16) for _ in range(3))
    return lambda: torch.add(one, two, out=out)


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Median seconds of a call, many between two readings of the clock."""
    for _ in range(2):
        call()
    once = _reading(call, device, 1)
    calls = max(1, min(200, int(READING_S / max(once, 1e-6))))
    return statistics.median(_reading(call, device, calls) / calls for _ in range(READINGS))


def _reading(call: Callable[[], object], device: torch.device, calls: int) -> float:
    if device.type != "cuda":
        began = time.perf_counter()
        for _ in range(calls):
            call()
        return time.perf_counter() - began
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    for _ in range(calls):
        call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


PARTS = (products, grouped, permuting, attention, streams)
"""What makes the kernels of the first set."""


def measure(
    table: Any,
    parts: Iterable[Callable[[int], Iterator[Kernel]]],
    device: torch.device,
    small: bool,
    until: float,
) -> None:
    """Time every kernel of the parts that the table lacks until the time is up, a row each; `small`: an eighth of every
    size."""
    scale = 8 if small else 1
    made_by = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        "software": f"PyTorch {torch.__version__}",
    }
    for kernel in (one for part in parts for one in part(scale)):
        sizes = dict(zip(("rows", "inner", "columns", "groups"), kernel.sizes))
        key = f"{kernel.part}, {kernel.setting}, {'x'.join(map(str, kernel.sizes))}"
        if key in table.known or time.time() > until - 1:
            continue
        row = {"kernel_id": key, "part": kernel.part, "setting": kernel.setting} | sizes | made_by
        try:
            taken = seconds(kernel.prepare(device), device)
        except Exception as error:
            table.add(row | {"notes": f"{type(error).__name__}: {error}"[:300].replace("\n", " ")})
            continue
        rate = kernel.work / taken / (1e12 if kernel.unit == "TFLOP/s" else 1e9)
        found = {"seconds": f"{taken:.6g}", "work": f"{kernel.work:.6g}", "rate": f"{rate:.5g}"}
        table.add(row | found | {"unit": kernel.unit})

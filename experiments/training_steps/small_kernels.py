"""The kernels of the second set: what depends on a tensor's size. Called by `steps.py`; `kernels.py` times them.

Chains of single operations and norms over 2 MB to 1 GB, one by one and compiled, tell whether the chip's cache serves what
was just written; the same over changing tensors (`cold`) cannot be served from it. Then losses over large vocabularies,
AdamW's fused step over few and many weights, products with few rows, and products in eight bits. A rate counts what must be
moved: each input and output once, in its own format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle

import torch
from kernels import BF16, Kernel, _gradient, _product, _random
from torch.nn import functional as F

STREAM_MB = (2, 8, 32, 128, 512, 1024)
"""Sizes of one tensor of the chains."""
WIDTH = 2048
"""Values that a norm runs over."""
COLD_MB = 512
"""Sum of one operand's copies that are more than the cache holds."""
VOCABULARIES = ((8192, 32_000), (8192, 128_256), (4096, 262_144))
"""Tokens, words."""
ADAM = ((1_000_000, 1), (8_000_000, 8), (64_000_000, 16), (64_000_000, 256), (500_000_000, 128))
"""Weights, tensors that they lie in."""
ROWS, WIDTHS = (512, 1024, 2048, 4096, 8192), (768, 1024, 2048, 4096)
EIGHT_BITS = (4096, 8192)
"""Sides of the square products in eight bits, with four times as many rows at most."""
Prepare = Callable[[torch.device], Callable[[], object]]


def _gated(one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
    return F.silu(one) * two


def _rms_norm(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """As transformers writes it: in FP32, one operation at a time."""
    wide = values.to(torch.float32)
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
    return weight * wide.to(values.dtype)


def streams(scale: int) -> Iterator[Kernel]:
    """Additions, gated units and norms over tensors of growing size."""
    gated, norm = (torch.compile(one, dynamic=True) for one in (_gated, _rms_norm))
    for mega in STREAM_MB:
        rows = max(mega * 1_000_000 // (2 * WIDTH * scale**2), 16)
        one = 2.0 * rows * WIDTH
        made: dict[str, tuple[float, Prepare]] = {
            "add": (3 * one, partial(_two, rows=rows, call=torch.add)),
            "add, cold": (3 * one, partial(_cold, rows=rows, copies=COLD_MB // mega)),
            "gated unit, one by one": (3 * one, partial(_two, rows=rows, call=_gated)),
            "gated unit, compiled": (3 * one, partial(_two, rows=rows, call=gated)),
            "norm, one by one": (2 * one, partial(_norm, rows=rows, call=_rms_norm)),
            "norm, compiled": (2 * one, partial(_norm, rows=rows, call=norm)),
            "norm, PyTorch's": (2 * one, partial(_norm, rows=rows, call=_own_norm)),
        }
        for setting, (moved, prepare) in made.items():
            if "cold" not in setting or mega < COLD_MB:
                yield Kernel("stream", setting, (rows, WIDTH, 1, 1), moved, "GB/s", prepare)


def _own_norm(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return F.rms_norm(values, (WIDTH,), weight, 1e-6)


def _two(
    device: torch.device, rows: int, call: Callable[..., torch.Tensor]
) -> Callable[[], object]:
    one, two = _random(device, rows, WIDTH), _random(device, rows, WIDTH)
    return lambda: call(one, two)


def _norm(
    device: torch.device, rows: int, call: Callable[..., torch.Tensor]
) -> Callable[[], object]:
    values, weight = _random(device, rows, WIDTH), _random(device, WIDTH)
    return lambda: call(values, weight)


def _cold(device: torch.device, rows: int, copies: int) -> Callable[[], object]:
    sets = cycle([[_random(device, rows, WIDTH) for _ in range(3)] for _ in range(copies)])

    def call() -> None:
        one, two, out = next(sets)
        torch.add(one, two, out=out)

    return call


def _loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits.float(), targets)


def losses(scale: int) -> Iterator[Kernel]:
    """Cross-entropies of BF16 logits with their gradient, one operation at a time and compiled."""
    for name, call in (("one by one", _loss), ("compiled", torch.compile(_loss))):
        for tokens, words in VOCABULARIES:
            sizes = tokens // scale, words // scale, 1, 1
            moved, prepare = 4.0 * sizes[0] * sizes[1], partial(_entropy, sizes=sizes, call=call)
            yield Kernel("loss", f"forward and backward, {name}", sizes, moved, "GB/s", prepare)


def _entropy(
    device: torch.device, sizes: tuple[int, int, int, int], call: Callable[..., torch.Tensor]
) -> Callable[[], object]:
    logits = _random(device, *sizes[:2]).requires_grad_(True)
    targets = torch.randint(sizes[1], sizes[:1], device=device)

    def both() -> object:
        with torch.enable_grad():
            return torch.autograd.grad(call(logits, targets), logits)

    return both


def optimizers(scale: int) -> Iterator[Kernel]:
    """AdamW's fused step in FP32: weight, gradient and two averages read, three of them written."""
    for count, pieces in ADAM:
        weights = count // scale**2
        sizes, prepare = (weights, 1, 1, pieces), partial(_adamw, count=weights, pieces=pieces)
        yield Kernel("optimizer", "fused AdamW, fp32", sizes, 28.0 * weights, "GB/s", prepare)


def _adamw(device: torch.device, count: int, pieces: int) -> Callable[[], object]:
    weights = [torch.zeros(count // pieces, device=device) for _ in range(pieces)]
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    return torch.optim.AdamW(weights, lr=1e-5, fused=True).step


def products(scale: int) -> Iterator[Kernel]:
    """Square layers over few rows: forward, and the gradient of the weights."""
    for rows in ROWS:
        for width in WIDTHS:
            m, k = max(rows // scale, 16), max(width // scale, 16)
            for setting, prepare in (("forward", _product), ("weight gradient", _gradient)):
                made = partial(prepare, m=m, k=k, n=k)
                flops = 2.0 * m * k * k
                yield Kernel("product", setting, (m, k, k, 1), flops, "TFLOP/s", made)


def eight_bits(scale: int) -> Iterator[Kernel]:
    """Square layers in E4M3: the product alone, with full sums and with the units' short ones."""
    for side in EIGHT_BITS:
        m, k = 8192 // scale, side // scale
        for fast in (False, True):
            name = "eight bits, short sums" if fast else "eight bits, full sums"
            made = partial(_eight, m=m, k=k, fast=fast)
            yield Kernel("product", name, (m, k, k, 1), 2.0 * m * k * k, "TFLOP/s", made)


def _eight(device: torch.device, m: int, k: int, fast: bool) -> Callable[[], object]:
    values, weights = (_random(device, size, k).to(torch.float8_e4m3fn) for size in (m, k))
    one = torch.ones((), device=device)
    return lambda: torch._scaled_mm(
        values, weights.t(), scale_a=one, scale_b=one, out_dtype=BF16, use_fast_accum=fast
    )


PARTS = (streams, products, optimizers, losses, eight_bits)
"""What makes the kernels of the second set."""

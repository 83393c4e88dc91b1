"""Linear layers whose three products run in eight bits, with one scale a tensor made anew at every use.

Inputs and weights are rounded to E4M3, gradients to E5M2, each with the scale that takes its largest value to the format's
(Micikevicius et al. 2022, "FP8 formats for deep learning", arXiv:2209.05433); sums and results are what `torch._scaled_mm`
makes them, in BF16. Compiled, the rounding is fused as the compiler sees fit. Weights keep their own format.
"""

from __future__ import annotations

from typing import Any

import torch

FORWARD, BACKWARD = torch.float8_e4m3fn, torch.float8_e5m2
SMALLEST = 1e-12
"""Largest value of a tensor that counts as none."""


def _rounded(values: torch.Tensor, kind: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """The values in eight bits, and the factor that brings them back."""
    most = torch.finfo(kind).max
    largest = values.abs().amax().float().clamp(min=SMALLEST)
    scaled = (values.float() * (most / largest)).clamp(-most, most)
    return scaled.to(kind), largest / most


def _product(
    left: tuple[torch.Tensor, torch.Tensor], right: tuple[torch.Tensor, torch.Tensor], fast: bool
) -> torch.Tensor:
    """left @ right.t() in BF16, both stored row by row along what is summed, as Hopper's units need it."""
    return torch._scaled_mm(
        left[0],
        right[0].t(),
        scale_a=left[1],
        scale_b=right[1],
        out_dtype=torch.bfloat16,
        use_fast_accum=fast,
    )


class _Linear(torch.autograd.Function):
    """A layer's product and the two of its backward pass; only the forward one sums in the units' own short sums."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        rows = values.reshape(-1, values.shape[-1])
        ctx.save_for_backward(rows, weight)
        out = _product(_rounded(rows, FORWARD), _rounded(weight, FORWARD), fast=True)
        return out.reshape(*values.shape[:-1], weight.shape[0])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rows, weight = ctx.saved_tensors
        upstream, scale = _rounded(gradient.reshape(-1, gradient.shape[-1]), BACKWARD)
        held, held_scale = _rounded(weight, FORWARD)
        seen, seen_scale = _rounded(rows, FORWARD)
        down = _product((upstream, scale), (held.t().contiguous(), held_scale), fast=False)
        own = _product(
            (upstream.t().contiguous(), scale), (seen.t().contiguous(), seen_scale), fast=False
        )
        shape = *gradient.shape[:-1], weight.shape[1]
        return down.reshape(shape).to(rows.dtype), own.to(weight.dtype)


class Linear(torch.nn.Module):
    """In place of a linear layer without a bias, with its weight."""

    def __init__(self, layer: torch.nn.Linear) -> None:
        super().__init__()
        if layer.bias is not None:
            raise ValueError("a layer with a bias; expected one without")
        self.weight = layer.weight

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(..., inputs) to (..., outputs), in BF16."""
        return _Linear.apply(values.to(torch.bfloat16), self.weight)


def convert(module: torch.nn.Module) -> None:
    """Put the eight-bit layers in place of all linear ones inside the module."""
    for name, child in module.named_children():
        if isinstance(child, torch.nn.Linear):
            setattr(module, name, Linear(child))
        else:
            convert(child)

"""The arithmetic of a recipe in PyTorch, for several runs side by side: what each operand becomes, and the products.

Operands are held as codes that BF16 (or FP16) represents exactly; the matrix units multiply these and add in FP32, and a
scale that no 16-bit number holds is taken out of the result before it is rounded. The product is therefore that of
`numpy_arithmetic` up to the order of the additions. With `units` the FP8 codes go through the GPU's
FP8 matrix units instead, fast accumulation forward and precise accumulation backward as in Transformer Engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
import torch_rounding as rounding
from numpy_arithmetic import AMAX_HISTORY
from torch import Tensor

from training_moat.core.formats import SCALED_FORMATS, element, scaled
from training_moat.numerics.recipes import DELAYED, MICROSCALED, NONE, Recipe

HELD = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
FP8 = {"e4m3fn": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}
FUSED = {"on": False}
"""Whether the elementwise parts are compiled; set by the program after it has compared both forms."""

WIDE = {"on": False}
"""Whether `torch.bmm` gives FP32 results of 16-bit operands here; without, they are multiplied in FP32."""


def fused(function: Callable) -> Callable:
    """The function compiled for any length of its arguments while `FUSED` is on, else as it is.

    The parts of a network held in another type than BF16 serve one arm alone, which is not worth the compiling.
    """
    compiled = torch.compile(function, dynamic=True)

    def call(first, *rest):
        worth = first.dtype == torch.bfloat16 or not torch.is_grad_enabled()
        return (compiled if FUSED["on"] and worth else function)(first, *rest)

    return call


def wide_product(a: Tensor, b: Tensor) -> Tensor:
    """Product of 16-bit operands in FP32, as the matrix units have added it."""
    if a.is_cuda and WIDE["on"]:
        return torch.bmm(a, b, out_dtype=torch.float32)
    return torch.bmm(a.float(), b.float())


@cache
def per_tensor(name: str, saturate: bool, units: bool) -> Callable:
    """Quantise (runs, 1, numbers) with one scale a run that maps this use's amax, or the past ones' where there are
    any, onto `top`; the rest is (runs, 1, 1)."""
    fmt = element(name)
    kind = FP8[name] if units else torch.bfloat16

    def quantise(x: Tensor, amax: Tensor, past: Tensor, top: Tensor) -> tuple[Tensor, Tensor]:
        scale = rounding.tensor_scale(torch.where(past > 0, past, amax), top)
        codes = rounding.nearest(x.float() * scale, fmt, saturate)
        return codes.to(kind), 1.0 / scale

    return fused(quantise)


@cache
def blocks(name: str, axis: int, scale_up: bool, random: bool) -> Callable:
    """Quantise blocks along the rows (axis 1) of (runs, rows, columns), or along the numbers (axis 2) of (runs, 1, numbers).

    `whole` is (runs, 1, 1, 1); draws come from the key where `random`.
    """
    fmt = scaled(name)

    def quantise(x: Tensor, whole: Tensor, key: Tensor) -> Tensor:
        draws = rounding.evenly(x.numel(), key).view(x.shape) if random else None
        cut = x.float().unflatten(axis, (-1, fmt.block))
        own = None if draws is None else draws.unflatten(axis, (-1, fmt.block))
        numbers = rounding.microscaled(cut, axis + 1, whole, fmt, scale_up, own)
        return numbers.view(x.shape).to(torch.bfloat16)

    return fused(quantise)


@dataclass
class Operand:
    """Codes (runs, rows, columns) and the factor (runs, 1, 1) that turns them into numbers; None for one."""

    codes: Tensor
    undo: Tensor | None = None

    @property
    def turned(self) -> Operand:
        """Transposed."""
        return Operand(self.codes.transpose(1, 2), self.undo)


class Arithmetic:
    """Quantises operands as a recipe says, for `runs` runs side by side; keeps what depends on earlier steps.

    Everything that changes from step to step is a tensor that is changed in place, so that a step can be replayed.
    """

    def __init__(self, recipe: Recipe, runs: int, device: torch.device, units: bool = False):
        self.recipe, self.runs, self.units, self.device = recipe, runs, units, device
        self.held = HELD[recipe.held]
        self.rotation = torch.zeros(recipe.hadamard, recipe.hadamard, device=device)
        self.key = torch.zeros(1, dtype=torch.int32, device=device)
        self._sites: dict[str, int] = {}
        self._draw = 0
        self._tops: dict[float, Tensor] = {}
        self.history: dict[str, Tensor] = {}
        self._none = torch.zeros(runs, 1, 1, device=device)
        self._one = torch.ones(runs, 1, 1, device=device, dtype=torch.float64)

    def reset(self, seed: int, rotation: Tensor | None) -> None:
        """Forget everything that earlier steps left; draws and rotation are those of `seed`."""
        self.key.fill_(seed * 7919)
        if rotation is not None:
            self.rotation.copy_(rotation)
        for past in self.history.values():
            past.zero_()

    def next_step(self) -> None:
        """Move on to the draws of the next step."""
        self.key += 1_000_003
        self._draw = 0

    def draw_key(self) -> Tensor:
        """A key for the next array of draws within this step."""
        self._draw += 1
        return rounding.hashed(1, self.key + self._draw * 97_003)

    def operand(self, x: Tensor, site: str, axis: int, backward: bool = False) -> Operand:
        """The operand as the matrix unit reads it; `axis` (1 or 2) is the one that is summed over."""
        recipe = self.recipe
        name = recipe.backward if backward else recipe.forward
        if name in HELD:  # numbers of the held format, or master weights rounded to it
            return Operand(x.to(HELD[name]))
        if name in SCALED_FORMATS:
            return self._in_blocks(x, name, axis, backward and recipe.stochastic_gradients)
        return self._per_tensor(x, name, site, backward)

    def _per_tensor(self, x: Tensor, name: str, site: str, backward: bool) -> Operand:
        fmt = element(name)
        top = (not backward and self.recipe.scale_top_forward) or fmt.max_finite
        if top not in self._tops:
            self._tops[top] = torch.full((self.runs, 1, 1), float(top), device=self.device)
        amax = torch.linalg.vector_norm(x, float("inf"), dim=(1, 2), keepdim=True).float()
        past = self._past(site, amax) if self.recipe.scaling == DELAYED else self._none
        if self.recipe.scaling == NONE:
            raise NotImplementedError("FP8 without a scale is no arm of this experiment")
        quantise = per_tensor(name, self.recipe.saturate, self.units)
        codes, undo = quantise(x.reshape(self.runs, 1, -1), amax, past, self._tops[top])
        return Operand(codes.view(x.shape), undo)

    def _past(self, site: str, amax: Tensor) -> Tensor:
        """Largest magnitude of the site's last uses; records this one."""
        if site not in self.history:
            self.history[site] = torch.zeros(
                self.runs, AMAX_HISTORY, 1, device=self.device, dtype=torch.float32
            )
        history = self.history[site]
        past = history.amax(1, keepdim=True)
        history.copy_(torch.cat([history[:, 1:], amax], 1))
        return past

    def _in_blocks(self, x: Tensor, name: str, axis: int, random: bool) -> Operand:
        fmt = scaled(name)
        runs, whole = len(x), self._one
        if fmt.scale != "e8m0":
            amax = torch.linalg.vector_norm(x, float("inf"), dim=(1, 2), keepdim=True)
            whole = rounding.whole_scale(amax, fmt)
        numbers = x if axis == 1 else x.reshape(runs, 1, -1)
        key = self.draw_key() if random else self.key
        quantise = blocks(name, axis, self.recipe.scale_up, random)
        codes = quantise(numbers, whole.view(runs, 1, 1, 1), key).view(x.shape)
        return Operand(codes, None if fmt.scale == "e8m0" else whole.float())

    def rotate(self, x: Tensor) -> Tensor:
        """Spread outliers over groups of tokens; both operands of a product turn alike, so the product stays."""
        if not self.recipe.hadamard:
            return x
        runs, rows, columns = x.shape
        groups = x.float().view(runs * rows // len(self.rotation), len(self.rotation), columns)
        return torch.matmul(self.rotation, groups).view(runs, rows, columns)

    def product(self, a: Operand, b: Operand, fast: bool = False) -> Tensor:
        """(runs, m, k) times (runs, k, n), added in FP32 (on the units as they add), rounded to the held format."""
        if a.codes.dtype.itemsize == 1:
            return self._on_units(a, b, fast)
        undo = b.undo if a.undo is None else a.undo if b.undo is None else a.undo * b.undo
        if undo is None and a.codes.is_cuda:
            return torch.bmm(a.codes, b.codes)
        wide = wide_product(a.codes, b.codes)
        return (wide if undo is None else wide * undo).to(self.held)

    def _on_units(self, a: Operand, b: Operand, fast: bool) -> Tensor:
        left, right = _row_by_row(a.codes), _row_by_row(b.codes.transpose(1, 2))
        # each run's factor at an address that is a multiple of 16 bytes
        one, other = (side.undo.view(-1, 1).repeat(1, 4) for side in (a, b))
        ones = [
            torch._scaled_mm(
                left[run], right[run].t(), scale_a=one[run, 0], scale_b=other[run, 0],
                out_dtype=self.held, use_fast_accum=fast,
            )
            for run in range(self.runs)
        ]  # fmt: skip
        return torch.stack(ones)


def _row_by_row(codes: Tensor) -> Tensor:
    """The codes with their last axis contiguous, as the FP8 units want the left operand and the turned right one."""
    return codes.view(torch.uint8).contiguous().view(codes.dtype)


class Linear(torch.autograd.Function):
    """A linear layer whose three products run as the recipe says; `numpy_arithmetic.Arithmetic.linear`."""

    @staticmethod
    def forward(ctx, inputs: Tensor, weights: Tensor, arithmetic: Arithmetic, site: str) -> Tensor:
        """Held inputs (runs, tokens, in) times FP32 weights (runs, in, out)."""
        x = arithmetic.operand(inputs, f"{site}.x", axis=2)
        w = arithmetic.operand(weights, f"{site}.w", axis=1)
        ctx.arithmetic, ctx.site = arithmetic, site
        if arithmetic.recipe.scaling == MICROSCALED:
            ctx.save_for_backward(inputs, weights)
        else:  # one scale per tensor: the same operands serve all three products
            ctx.x_undo, ctx.w_undo = x.undo, w.undo
            ctx.save_for_backward(x.codes, w.codes)
        return arithmetic.product(x, w, fast=True)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        """Gradients of the inputs and of the weights; the latter in FP32, where Adam takes them."""
        arithmetic, site = ctx.arithmetic, ctx.site
        gradient = gradient.contiguous()
        g = arithmetic.operand(gradient, f"{site}.g", axis=2, backward=True)
        if arithmetic.recipe.scaling == MICROSCALED:
            inputs, weights = ctx.saved_tensors
            w = arithmetic.operand(weights, f"{site}.w", axis=2)
            x = arithmetic.operand(arithmetic.rotate(inputs), f"{site}.x", axis=1)
            turned = arithmetic.rotate(gradient)
            g_turned = arithmetic.operand(turned, f"{site}.g", axis=1, backward=True)
        else:
            x_codes, w_codes = ctx.saved_tensors
            x, w, g_turned = Operand(x_codes, ctx.x_undo), Operand(w_codes, ctx.w_undo), g
        d_inputs = arithmetic.product(g, w.turned)
        return d_inputs, arithmetic.product(x.turned, g_turned).float(), None, None


def compared(device: torch.device) -> float:
    """Largest share of numbers in which a compiled quantiser differs from the plain one."""
    torch.manual_seed(0)
    x = torch.randn(5, 64, 96, device=device) * torch.logspace(-3, 3, 96, device=device)
    amax = x.abs().amax((1, 2), keepdim=True)
    key = torch.full((1,), 77, dtype=torch.int32, device=device)
    kinds = [("e4m3fn", 448.0, 0, False), ("e5m2fnuz", 57344.0, 2, False)]
    if device.type == "cuda":
        kinds += [("e4m3fn", 448.0, 0, True), ("e5m2", 57344.0, 0, True)]
    cases = [
        (per_tensor(name, True, units), (x.view(5, 1, -1), amax, past * amax, 0 * amax + top))
        for name, top, past, units in kinds
    ]
    for name, axis, random in (("mxfp8_e4m3", 1, False), ("mxfp4", 2, True), ("nvfp4", 1, True)):
        whole = rounding.whole_scale(amax, scaled(name)).view(5, 1, 1, 1)
        numbers = x if axis == 1 else x.view(5, 1, -1)
        cases.append((blocks(name, axis, True, random), (numbers, whole, key)))
    worst = 0.0
    for function, arguments in cases:
        with torch.no_grad():
            plain, compiled = both_forms(lambda f=function, a=arguments: f(*a))
        worst = max(worst, (plain != compiled).float().mean().item())
    return worst


def both_forms(work: Callable) -> list[Tensor]:
    """The (first) result of `work` as it is and compiled."""
    results = []
    for FUSED["on"] in (False, True):
        found = work()
        results.append((found[0] if isinstance(found, tuple) else found).float())
    return results

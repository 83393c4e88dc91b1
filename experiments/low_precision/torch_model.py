"""Training a network of `torch_networks` in PyTorch, several runs side by side: their state and one step of it.

Runs differ in their learning rate alone: they share the text, its order and the first weights. Side by side they fill a
GPU that one of them would leave idle. The backward pass is PyTorch's; tensors between operations have the held type, so
gradients are rounded where `numpy_network` rounds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy_arithmetic import hadamard
from numpy_loop import (
    BETA1,
    BETA2,
    CLIP_NORM,
    DYNAMIC_GROWTH_STEPS,
    DYNAMIC_START,
    EPSILON,
    scheduled,
)
from numpy_network import Parameters, initialise
from torch import Tensor
from torch.nn import functional as F
from torch_arithmetic import Arithmetic, both_forms, fused
from torch_networks import logits_of, parts
from torch_rounding import dither, stochastic

from training_moat.core.formats import element
from training_moat.numerics.design import Shape
from training_moat.numerics.recipes import Recipe

_BF16 = element("bf16")


@fused
def adam(
    weight: Tensor, mean: Tensor, square: Tensor, gradient: Tensor,
    factor: Tensor, rate: Tensor, first: Tensor, second: Tensor, use: Tensor,
) -> None:  # fmt: skip
    """Update (runs, numbers) in place: weights, both moments; the rest is (runs, 1), `use` false for a step given up."""
    gradient = torch.where(use, gradient * factor, 0.0)
    new_mean = mean + (gradient - mean) * float(1 - BETA1)
    new_square = square + (gradient * gradient - square) * float(1 - BETA2)
    change = new_mean / first * rate / (torch.sqrt(new_square / second) + float(EPSILON))
    weight.copy_(torch.where(use, weight - change, weight))
    mean.copy_(torch.where(use, new_mean, mean))
    square.copy_(torch.where(use, new_square, square))


@fused
def kept_at_random(weight: Tensor, key: Tensor) -> Tensor:
    """FP32 weights rounded stochastically to BF16."""
    return stochastic(weight, _BF16, dither(weight.numel(), key).view(weight.shape))


@lru_cache(maxsize=1)
def first_weights(shape: Shape, seed: int) -> Parameters:
    """Those of the NumPy network."""
    return initialise(shape, seed)


class Runs:
    """Runs of one recipe side by side: everything a step needs and changes, in tensors that keep their place."""

    def __init__(
        self, recipe: Recipe, shape: Shape, rates: Sequence[float], steps: int, device: torch.device,
        units: bool = False,
    ) -> None:  # fmt: skip
        self.recipe, self.shape, self.device, self.steps = recipe, shape, device, steps
        self.count = len(rates)
        self.arithmetic = Arithmetic(recipe, self.count, device, units)
        sizes = shape.tensors()
        self.weights = {
            n: torch.zeros(self.count, *size, device=device) for n, size in sizes.items()
        }
        self.means, self.squares = (
            {name: torch.zeros_like(one) for name, one in self.weights.items()} for _ in range(2)
        )
        plan = [[scheduled(rate, step, steps) for rate in rates] for step in range(steps)]
        self.rates = torch.tensor(plan, device=device, dtype=torch.float32)
        self.losses = torch.zeros(steps, self.count, device=device)
        self.at = torch.zeros(1, dtype=torch.int64, device=device)
        numbers = {"device": device, "dtype": torch.float32}
        self.taken, self.scale, self.clean, self.skipped = (
            torch.zeros(self.count, **numbers) for _ in range(4)
        )
        self.text = torch.zeros(1)

    def reset(self, seed: int, text: np.ndarray) -> None:
        """Start anew from a seed, on the text of every step (steps, sequences, context + 1)."""
        self.place(first_weights(self.shape, seed))
        for one in (*self.means.values(), *self.squares.values()):
            one.zero_()
        size, rotation = self.recipe.hadamard, None
        if size:
            drawn = hadamard(size, np.random.default_rng([seed, 1]))
            rotation = torch.from_numpy(drawn).to(self.device)
        self.arithmetic.reset(seed, rotation)
        for counter in (self.losses, self.at, self.taken, self.clean, self.skipped):
            counter.zero_()
        dynamic = self.recipe.loss_scale == "dynamic"
        self.scale.fill_(DYNAMIC_START if dynamic else float(self.recipe.loss_scale))
        fresh = torch.from_numpy(text.astype(np.int64)).to(self.device)
        if self.text.shape == fresh.shape:
            self.text.copy_(fresh)
        else:
            self.text = fresh

    def place(self, first: Parameters) -> None:
        """The same first weights in every run, as the recipe keeps weights."""
        for name, weight in self.weights.items():
            weight.copy_(torch.from_numpy(first[name]).to(self.device).expand_as(weight))
            if self.recipe.weights == "bf16":
                weight.copy_(self._kept(weight))

    def _kept(self, weight: Tensor) -> Tensor:
        if not self.recipe.stochastic_weights:
            return weight.to(torch.bfloat16).float()
        return kept_at_random(weight.view(self.count, -1), self.arithmetic.draw_key()).view_as(
            weight
        )

    def losses_of(self, weights: dict[str, Tensor], tokens: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of every run in nats per token, through the recipe's own forward pass."""
        logits = logits_of(self.shape, weights, tokens, self.arithmetic)
        each = F.cross_entropy(
            logits.flatten(0, 1), targets.reshape(-1).repeat(self.count), reduction="none"
        )
        return each.view(self.count, -1).mean(1)

    def gradients(self, tokens: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Losses of the runs and their gradients, times the loss scale."""
        leaves = {name: one.detach().requires_grad_() for name, one in self.weights.items()}
        losses = self.losses_of(leaves, tokens, targets)
        found = torch.autograd.grad((losses * self.scale).sum(), list(leaves.values()))
        return losses.detach(), dict(zip(leaves, found, strict=True))

    def step(self) -> None:
        """One training step of every run; changes tensors in place and reads nothing back."""
        self.arithmetic.next_step()
        window = self.text.index_select(0, self.at)[0]
        losses, gradients = self.gradients(window[:, :-1], window[:, 1:])
        with torch.no_grad():
            self.losses.index_copy_(0, self.at, losses[None])
            self._update(gradients)
            self.at += 1

    def _update(self, gradients: dict[str, Tensor]) -> None:
        flat = {name: one.float().reshape(self.count, -1) for name, one in gradients.items()}
        squares = [torch.linalg.vector_norm(one, dim=1) for one in flat.values()]
        norm_ = torch.linalg.vector_norm(torch.stack(squares), dim=0) / self.scale
        use = torch.isfinite(norm_)
        if self.recipe.held != "fp16":  # only FP16 recipes look for overflow: here the run is lost
            use = torch.ones_like(use)
        self.taken += use
        factor = (CLIP_NORM / (norm_ + 1e-6)).clamp(max=1.0) / self.scale
        rate = self.rates.index_select(0, self.at)[0]
        first, second = (1 - float(beta) ** self.taken for beta in (BETA1, BETA2))
        columns = [
            one[:, None]
            for one in (factor, rate, first.clamp(min=1e-3), second.clamp(min=1e-3), use)
        ]
        for name, gradient in flat.items():
            own = [
                part[name].view(self.count, -1) for part in (self.weights, self.means, self.squares)
            ]
            adam(*own, gradient, *columns)
            if self.recipe.weights == "bf16":
                self.weights[name].copy_(self._kept(self.weights[name]))
        self._rescale(use)

    def _rescale(self, use: Tensor) -> None:
        """Halve the loss scale after an overflow, double it after a run of clean steps; a constant stays."""
        self.skipped += ~use
        if self.recipe.loss_scale != "dynamic":
            return
        self.clean.copy_(torch.where(use, self.clean + 1, 0.0))
        grown = self.clean == DYNAMIC_GROWTH_STEPS
        self.scale.copy_(
            torch.where(use, torch.where(grown, 2 * self.scale, self.scale), self.scale / 2)
        )
        self.clean.copy_(torch.where(grown, 0.0, self.clean))

    def validation(self, tokens: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Held-out loss of every run."""
        both = [
            torch.from_numpy(part.astype(np.int64)).to(self.device) for part in (tokens, targets)
        ]
        with torch.no_grad():
            return self.losses_of(self.weights, *both).cpu().numpy()


def far_apart(shape: Shape, device: torch.device) -> float:
    """Largest relative difference between the compiled and the plain form of a network's parts that are no quantisers."""
    torch.manual_seed(1)
    x = torch.randn(5, 32, 64, device=device).bfloat16().requires_grad_()
    gain = torch.ones(5, 1, 64, device=device, requires_grad=True)
    bias = torch.zeros(5, 1, 64, device=device, requires_grad=True)
    apart = []
    for work in parts(shape, x, gain, bias):
        pull = torch.randn_like(work(), dtype=torch.float32)  # of squares a norm takes out the rest
        plain, compiled = both_forms(
            lambda work=work, pull=pull: torch.autograd.grad((work() * pull).sum(), x)
        )
        apart.append((plain - compiled).abs().max() / plain.abs().max())

    def updated() -> Tensor:
        own = [x.detach().float().abs().flatten(1).clone() for _ in range(3)]
        one = torch.ones(5, 1, device=device)
        with torch.no_grad():
            adam(*own, x.detach().float().flatten(1), one, 0.01 * one, one, one, one > 0)
            return kept_at_random(own[0], torch.ones(1, dtype=torch.int32, device=device))

    plain, compiled = both_forms(updated)
    return max(*map(float, apart), float((plain - compiled).abs().mean()))

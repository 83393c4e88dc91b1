"""One training run of the small model under one recipe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from corpus import Corpus
from numpy_arithmetic import Arithmetic
from numpy_network import Network, Parameters, initialise

from training_moat.numerics.design import Shape
from training_moat.numerics.recipes import Recipe
from training_moat.numerics.rounding import all_finite

BETA1, BETA2, EPSILON = np.float32(0.9), np.float32(0.95), np.float32(1e-8)
CLIP_NORM = 1.0
WARMUP_SHARE = 0.1
FINAL_RATE_SHARE = 0.1  # linear decay down to this share of the peak
SEQUENCES = 8
DYNAMIC_START, DYNAMIC_GROWTH_STEPS = (
    2.0**16,
    50,
)  # PyTorch's GradScaler starts at 2^16; its 2000 steps exceed a run
DIVERGED_NATS = 1.0  # a run that ends this far above its start has diverged


@dataclass(frozen=True)
class Outcome:
    """What a run ended with; losses in nats per character."""

    initial_loss: float
    train_loss: float  # mean of the last tenth of the steps
    val_loss: float
    skipped_steps: int  # steps given up because a gradient overflowed
    diverged: bool  # a loss or weight stopped being a number, or the loss rose instead of falling


class LossScale:
    """A constant or dynamic factor that lifts gradients into the format's range (arXiv 1710.03740, section 3.2)."""

    def __init__(self, setting: float | str) -> None:
        self.dynamic = setting == "dynamic"
        self.value = DYNAMIC_START if self.dynamic else float(setting)
        self._clean_steps = 0

    def update(self, overflow: bool) -> None:
        """Halve after an overflow, double after a run of clean steps; a constant stays."""
        if not self.dynamic:
            return
        self._clean_steps = 0 if overflow else self._clean_steps + 1
        if overflow:
            self.value /= 2
        elif self._clean_steps == DYNAMIC_GROWTH_STEPS:
            self.value, self._clean_steps = self.value * 2, 0


def scheduled(peak_rate: float, step: int, steps: int) -> float:
    """Learning rate at a step counted from zero: a linear rise, then a linear decay."""
    warmup = max(1, round(WARMUP_SHARE * steps))
    if step < warmup:
        return peak_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak_rate * (1 - (1 - FINAL_RATE_SHARE) * progress)


class Adam:
    """Adam with clipping and a linear schedule; moments in FP32, weights kept as the recipe says."""

    def __init__(self, parameters: Parameters, peak_rate: float, steps: int) -> None:
        self._parameters = parameters
        self._mean = np.zeros_like(parameters.vector)
        self._square = np.zeros_like(parameters.vector)
        self._peak_rate, self._steps, self._taken = peak_rate, steps, 0

    def rate(self, step: int) -> float:
        """Learning rate at a step counted from zero."""
        return scheduled(self._peak_rate, step, self._steps)

    def update(self, step: int, gradient: np.ndarray, arithmetic: Arithmetic) -> None:
        """Apply one gradient."""
        self._taken += 1
        norm = float(np.sqrt(np.dot(gradient, gradient)))
        gradient = gradient * np.float32(min(1.0, CLIP_NORM / (norm + 1e-6)))
        square = gradient * gradient
        for moment, new, beta in ((self._mean, gradient, BETA1), (self._square, square, BETA2)):
            new -= moment  # in place from here on: the moments' averages move a share towards the new values
            new *= 1 - beta
            moment += new
        np.divide(self._square, 1 - BETA2**self._taken, out=square)
        np.sqrt(square, out=square)
        square += EPSILON
        change = np.divide(self._mean, 1 - BETA1**self._taken, out=gradient)
        change *= np.float32(self.rate(step))
        change /= square
        self._parameters.vector[:] = arithmetic.keep_weights(
            np.subtract(self._parameters.vector, change, out=change)
        )


def train(
    recipe: Recipe, log2_learning_rate: float, seed: int, steps: int, corpus: Corpus
) -> Outcome:
    """Train from scratch; the seed alone fixes the initial weights and the order of the text for every recipe."""
    shape = Shape(corpus.vocab)
    arithmetic = Arithmetic(recipe, seed)
    parameters, gradients = initialise(shape, seed), Parameters(shape)
    parameters.vector[:] = arithmetic.keep_weights(parameters.vector)
    network = Network(shape, arithmetic)
    optimizer = Adam(parameters, 2.0**log2_learning_rate, steps)
    loss_scale = LossScale(recipe.loss_scale)
    order = np.random.default_rng([seed, 2])
    losses, skipped = [], 0
    with np.errstate(all="ignore"):  # overflow and NaN are results here
        for step in range(steps):
            tokens, targets = corpus.batch(order, SEQUENCES, shape.context)
            losses.append(
                network.gradients(parameters, tokens, targets, gradients, loss_scale.value)
            )
            gradient = gradients.vector / np.float32(loss_scale.value)
            overflow = not all_finite(gradient)
            if (
                overflow and recipe.held != "fp16"
            ):  # only FP16 recipes look for overflow: here the run is lost
                return _outcome(losses, np.nan, skipped)
            loss_scale.update(overflow)
            if overflow:
                skipped += 1
            else:
                optimizer.update(step, gradient, arithmetic)
        val_loss = network.loss(parameters, *corpus.validation(shape.context))
    return _outcome(losses, val_loss, skipped)


def _outcome(losses: list[float], val_loss: float, skipped: int) -> Outcome:
    last = float(np.mean(losses[-max(1, len(losses) // 10) :]))
    diverged = (
        not np.isfinite(val_loss) or not np.isfinite(last) or val_loss > losses[0] + DIVERGED_NATS
    )
    return Outcome(losses[0], last, float(val_loss), skipped, bool(diverged))

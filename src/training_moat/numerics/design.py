"""What the low-precision experiment runs, and the tests it is judged by: both fixed before a run.

Question: how much of a training set-up that was tuned on one accelerator's number formats survives on another's?
Every run trains the same small model on the same text; a seed fixes weights and order for all recipes alike, so
recipes are compared within a seed.

transfer   the best learning rate of each recipe (a parabola in log2 of the rate, least squares over the grid, mean
           curve over seeds) against that of mixed-precision BF16; what a rate tuned on another recipe costs, tuned on
           all seeds but one and read on the one left out
low_rate   BF16 weights updated with and without stochastic rounding, against FP32 weights, at rates far below the
           optimum, such as the end of a long run has
range      a constant factor on the loss, from 2^-16 to 2^24: which factors a recipe bears. Averaging the loss over
           2^k times as many tokens multiplies every gradient by 2^-k, so the axis is also one of batch size
ported     Hopper's scaling constant of 448 kept on hardware whose largest number is 240; NVFP4 with gradients rounded
           to nearest, where the published recipe rounds them stochastically

Hypotheses (thresholds in `Thresholds`; intervals hold 90%, so that "inside the margin" is a test of equivalence at 5%;
a verdict is open where neither the claim nor its opposite is shown):
H1  The best learning rate of every recipe lies within half an octave of BF16's.
H2  A rate tuned on any of these recipes costs any other less than 0.02 nats.
H3  At their own best rates four bits cost more loss than sixteen, and eight bits less than 0.03 nats more.
H4  FP16 bears a bounded window of constant loss scales; BF16 and scaled FP8 bear every factor tried; FP8 without a
    scale loses some that FP16 bears.
H5  At low rates BF16 weights rounded to nearest lose more than 0.1 nats to FP32 weights; rounded stochastically they
    lose less than 0.03.
H6  The ported constant without saturation ends every run; with saturation it costs less than 0.05 nats.
H7  NVFP4 with gradients rounded to nearest is worse than with stochastic rounding.

History. The first form of this analysis fitted every seed by itself, so that one unlucky seed could leave a recipe
without an optimum, and judged H3, H4 and H6 by point estimates ("eight bits cost more than sixteen", "FP8 without a
scale bears fewer factors than FP16"). On seeds 1 to 4 and 11 to 14 three of its seven verdicts disagreed. The form
above was fixed after those two sets, now stored together, and tested on seeds 21 to 24, which were run afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

from training_moat.numerics.recipes import MICROSCALED, RECIPES

TRANSFER_RECIPES = (
    "fp32", "bf16_mixed", "fp16_mixed", "bf16_weights_stochastic", "fp8_delayed", "fp8_current", "fp8_fnuz",
    "mxfp8", "nvfp4", "mxfp4",
)  # fmt: skip
LOW_RATE_RECIPES = ("fp32", "bf16_weights_stochastic", "bf16_weights_nearest")
RANGE_RECIPES = ("bf16_mixed", "fp16_mixed", "fp8_current", "fp8_unscaled")
PORTED_RECIPES = ("fp8_fnuz_ported", "fp8_fnuz_ported_nan", "nvfp4_nearest")
REFERENCE_LOG2_RATE = -8.0  # grid centre, found with seeds that the experiment does not use
PILOT_SEEDS = (901,)


@dataclass(frozen=True)
class Thresholds:
    """Margins of the hypotheses."""

    shift_octaves: float = 0.5
    transfer_nats: float = 0.02
    eight_bits_nats: float = 0.03
    range_nats: float = 0.05
    nearest_loses_nats: float = 0.1
    stochastic_loses_nats: float = 0.03
    ported_nats: float = 0.05
    confidence: float = 0.9


@dataclass(frozen=True)
class Run:
    """One training run of the plan."""

    study: str
    recipe: str
    seed: int
    log2_learning_rate: float
    log2_loss_scale: float | None  # None: as the recipe has it
    steps: int

    @property
    def key(self) -> tuple:
        """What tells this run from all others."""
        return (self.study, self.recipe, self.seed, self.log2_learning_rate, self.log2_loss_scale, self.steps)


@dataclass(frozen=True)
class Design:
    """Seeds, grids and length of an experiment."""

    seeds: tuple[int, ...] = (1, 2, 3, 4)
    steps: int = 200
    transfer_recipes: tuple[str, ...] = TRANSFER_RECIPES
    log2_rates: tuple[float, ...] = (-9.5, -8.75, -8.0, -7.25, -6.5)
    low_log2_rates: tuple[float, ...] = (-16.0, -14.0, -12.0)
    log2_loss_scales: tuple[float, ...] = (-16, -12, -8, -4, 0, 4, 8, 12, 16, 20, 24)
    range_seeds: int = 2  # a window is wide against the spread of seeds: two suffice

    def runs(self) -> list[Run]:
        """Every run of the plan, the longest first."""
        plan = []
        for seed in self.seeds:
            plan += [
                Run("transfer", name, seed, rate, None, self.steps)
                for name in self.transfer_recipes
                for rate in self.log2_rates
            ]
            plan += [
                Run("low_rate", name, seed, rate, None, self.steps)
                for name in LOW_RATE_RECIPES
                for rate in self.low_log2_rates
            ]
            plan += [Run("ported", name, seed, REFERENCE_LOG2_RATE, None, self.steps) for name in PORTED_RECIPES]
        for seed in self.seeds[: self.range_seeds]:
            plan += [
                Run("range", name, seed, REFERENCE_LOG2_RATE, scale, self.steps)
                for name in RANGE_RECIPES
                for scale in self.log2_loss_scales
            ]
        return sorted(plan, key=lambda run: RECIPES[run.recipe].scaling != MICROSCALED)


FULL = Design()
QUICK = Design(
    seeds=(1, 2),
    steps=80,
    transfer_recipes=("fp32", "bf16_mixed", "fp8_fnuz", "mxfp4"),
    log2_rates=(-9.0, -8.0, -7.0),
    low_log2_rates=(-13.0,),
    log2_loss_scales=(-16, -8, 0, 12, 20),
    range_seeds=1,
)

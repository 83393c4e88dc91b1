"""Inference against training: one model, or one lab over a year.

A model is trained once at 6 FLOP per parameter and token, and serves every token at 2 FLOP per
parameter. Everything that makes the real answer differ from that quotient is a field of
`Lifecycle`: what counts as training (`DEFINITIONS`), in which unit it is counted (`UNITS`), which
tokens are really computed, how well the chips are used, what an hour of each costs.

All functions are linear enough to take NumPy arrays field by field, so a hundred thousand draws
go through in one call.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from training_moat.core.elementwise import Number, all_true, exp, log, maximum, where
from training_moat.core.errors import InputError, require_known
from training_moat.core.units import SECONDS_PER_HOUR

DEFINITIONS = ("final_run", "all_training", "all_rnd")
"""What counts as training: the pre-training run alone; with post-training; with all R&D compute."""

UNITS = ("flop", "chip_hours", "dollars")
"""What is counted: arithmetic, time on chips, or money for that time."""

DAYS_PER_YEAR = 365.25


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """What one model costs to make and to serve. Every field is a number or an array of draws.

    active_params: parameters used per token (all of them in a dense model).
    training_tokens: tokens of the pre-training run.
    served_tokens: tokens counted by the provider over the model's life: input, output, thinking.
    life_days: days over which they are served.
    cache_share: share of the counted tokens read back from a stored KV cache, not computed.
    test_time_multiplier: tokens computed per token counted (hidden thinking, parallel attempts).
    post_training_multiplier: pre-training plus post-training, in units of pre-training; >= 1.
    rollout_share: share of post-training time spent generating samples, which is inference work.
    rnd_multiplier: all R&D compute, post-training included, in units of pre-training; >= 1. Where
        post-training alone is larger, that counts.
    custom_share: share of all training done by others for their own models, who would otherwise
        have used this one: training rises, the demand for tokens does not.
    training_mfu, inference_mfu: model FLOP/s reached over the peak, same peak format for both.
    training_peak_flops, inference_peak_flops: peak FLOP/s of a chip of each fleet.
    training_usd_per_chip_hour, inference_usd_per_chip_hour: price of an hour of each.
    """

    active_params: Number
    training_tokens: Number
    served_tokens: Number
    life_days: Number = DAYS_PER_YEAR / 2
    cache_share: Number = 0.0
    test_time_multiplier: Number = 1.0
    post_training_multiplier: Number = 1.0
    rollout_share: Number = 0.0
    rnd_multiplier: Number = 1.0
    custom_share: Number = 0.0
    training_mfu: Number = 1.0
    inference_mfu: Number = 1.0
    training_peak_flops: Number = 1e15
    inference_peak_flops: Number = 1e15
    training_usd_per_chip_hour: Number = 1.0
    inference_usd_per_chip_hour: Number = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_range(field.name, getattr(self, field.name))


_POSITIVE = {
    "active_params",
    "training_tokens",
    "life_days",
    "training_peak_flops",
    "inference_peak_flops",
}
_SHARES = {"cache_share", "rollout_share", "custom_share"}
_AT_LEAST_ONE = {"post_training_multiplier", "rnd_multiplier"}
_UTILISATION = {"training_mfu", "inference_mfu"}


def _check_range(name: str, value: Number) -> None:
    if name in _SHARES:
        fine, expected = (value >= 0) & (value <= 1), "a share between 0 and 1"
        if name == "custom_share":
            fine, expected = fine & (value < 1), "a share from 0 to below 1"
    elif name in _UTILISATION:
        fine, expected = (value > 0) & (value <= 1), "a utilisation above 0 and at most 1"
    elif name in _AT_LEAST_ONE:
        fine, expected = value >= 1, "at least 1"
    elif name in _POSITIVE:
        fine, expected = value > 0, "above 0"
    else:
        fine, expected = value >= 0, "not negative"
    if not all_true(fine):
        raise InputError(f"lifecycle: {name} must be {expected}, got {_worst(value)}")


def _worst(value: Number) -> str:
    low = value.min() if hasattr(value, "min") else value
    high = value.max() if hasattr(value, "max") else value
    return f"{low:g}" if low == high else f"values from {low:g} to {high:g}"


def training_flop(active_params: Number, training_tokens: Number) -> Number:
    """FLOP of a pre-training run: 6 per parameter and token (Kaplan et al. 2020, section 2.1;
    Hoffmann et al. 2022, appendix F). Attention scores are left out, as in both papers."""
    return 6.0 * active_params * training_tokens


def forward_flop_per_token(active_params: Number) -> Number:
    """FLOP to compute one token: two per parameter (Kaplan et al. 2020, equation 2.2). Attention over the context is left
    out, as in `training_flop`; at GPT-3's full context it adds under 3%."""
    return 2.0 * active_params


def finetune_flop(active_params: Number, tokens: Number, frozen_base: bool = False) -> Number:
    """FLOP of a fine-tune. With a frozen base (LoRA, Hu et al. 2021) the gradients of the weights
    are not computed: forward 2N and backward through the activations 2N, so 4 instead of 6."""
    return (4.0 if frozen_base else 6.0) * active_params * tokens


def annual_growth(first: Number, last: Number, days: Number) -> Number:
    """Factor per year that leads from `first` to `last` in `days`."""
    return exp(log(last / first) * DAYS_PER_YEAR / days)


def in_unit(
    flop: Number,
    unit: str,
    mfu: Number = 1.0,
    peak_flops: Number = 1.0,
    usd_per_chip_hour: Number = 1.0,
) -> Number:
    """Express FLOP in a unit of `UNITS`: as they are, as chip-hours at `mfu` of `peak_flops`, or
    as the price of those hours."""
    require_known("unit", unit, UNITS, "lifecycle")
    if unit == "flop":
        return flop
    chip_hours = flop / (mfu * peak_flops * SECONDS_PER_HOUR)
    return chip_hours if unit == "chip_hours" else chip_hours * usd_per_chip_hour


def training_cost(life: Lifecycle, definition: str, unit: str) -> Number:
    """Cost of making the model under a definition of `DEFINITIONS`, in a unit of `UNITS`.

    The multipliers of post-training and R&D are measured in spending; the same factor is applied
    to FLOP, which takes the research fleet to be as well used as the final run.
    """
    require_known("definition", definition, DEFINITIONS, "lifecycle")
    flop = training_flop(life.active_params, life.training_tokens) / (1.0 - life.custom_share)
    if definition == "all_training":
        flop = flop * life.post_training_multiplier
    if definition == "all_rnd":
        flop = flop * maximum(life.rnd_multiplier, life.post_training_multiplier)
    return in_unit(
        flop, unit, life.training_mfu, life.training_peak_flops, life.training_usd_per_chip_hour
    )


def inference_cost(life: Lifecycle, unit: str) -> Number:
    """Cost of computing every token of the model's life, cache reads left out, in a unit."""
    computed = life.served_tokens * life.test_time_multiplier * (1.0 - life.cache_share)
    return in_unit(
        computed * forward_flop_per_token(life.active_params),
        unit,
        life.inference_mfu,
        life.inference_peak_flops,
        life.inference_usd_per_chip_hour,
    )


def part_of(ratio: Number) -> Number:
    """Share of a part in itself and the rest, of the ratio of the part to the rest."""
    return ratio / (1 + ratio)


def ratio_of(part: Number) -> Number:
    """Ratio of a part to the rest, of its share in both."""
    return part / (1 - part)


def inference_ratio(life: Lifecycle, definition: str, unit: str) -> Number:
    """Inference over training for one model: the number the article puts at ten."""
    return inference_cost(life, unit) / training_cost(life, definition, unit)


def rollout_cost(life: Lifecycle, definition: str, unit: str) -> Number:
    """The part of training that generates samples for reinforcement learning: training money that
    runs inference kernels. R&D is taken to have the mix of the released model; zero for a
    definition that stops at pre-training."""
    if definition == "final_run":
        return 0.0 * training_cost(life, definition, unit)
    post = 1.0 - 1.0 / life.post_training_multiplier
    return training_cost(life, definition, unit) * post * life.rollout_share


def inference_shaped_ratio(life: Lifecycle, definition: str, unit: str) -> Number:
    """Work shaped like inference (serving and rollouts) over the rest of training: what a vendor
    of inference silicon can address against what only a training chip can do."""
    rollouts = rollout_cost(life, definition, unit)
    rest = training_cost(life, definition, unit) - rollouts
    return (inference_cost(life, unit) + rollouts) / rest


def break_even_days(life: Lifecycle, definition: str, unit: str) -> Number:
    """Days of serving at the model's average volume after which inference has cost as much as
    training; infinite for a model that serves nothing."""
    ratio = inference_ratio(life, definition, unit)
    safe = where(ratio > 0, ratio, 1.0)
    return where(ratio > 0, life.life_days / safe, float("inf"))


def tokens_for_ratio(life: Lifecycle, ratio: Number, definition: str, unit: str) -> Number:
    """Tokens the model must serve in its life for inference to be `ratio` times training."""
    one_token = replace(life, served_tokens=1.0)
    return ratio / inference_ratio(one_token, definition, unit)

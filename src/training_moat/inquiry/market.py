"""Is inference the larger market, and ten times as large? The lifecycle model under uncertainty.

A `Case` is what the market chapter asks: a definition of training, a unit, and the uncertain inputs
of data/assumptions.csv, some perhaps moved by the analyst. Its answers are a distribution of the
ratio of inference to training, a probability of ten to one, and what would have to change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from training_moat.catalog import tables
from training_moat.core import lifecycle
from training_moat.core.errors import InputError, unknown
from training_moat.core.units import TERA
from training_moat.inquiry import uncertainty
from training_moat.inquiry.uncertainty import Draws, Probability, Summary, Uncertain

TEN = 10.0
"""The article's ratio: inference ten times training."""

DAYS_PER_MONTH = lifecycle.DAYS_PER_YEAR / 12

FIELDS = {
    "served_tokens_t": ("served_tokens", 1e12),
    "life_months": ("life_days", DAYS_PER_MONTH),
    "training_tokens_t": ("training_tokens", 1e12),
    "active_params_b": ("active_params", 1e9),
    "cache_share": ("cache_share", 1.0),
    "post_training_multiplier": ("post_training_multiplier", 1.0),
    "rollout_share": ("rollout_share", 1.0),
    "rnd_multiplier": ("rnd_multiplier", 1.0),
    "mfu_training": ("training_mfu", 1.0),
    "mfu_inference": ("inference_mfu", 1.0),
    "custom_share": ("custom_share", 1.0),
    "training_usd_per_chip_hour": ("training_usd_per_chip_hour", 1.0),
    "serving_usd_per_chip_hour": ("inference_usd_per_chip_hour", 1.0),
}
"""Uncertain input to field of the lifecycle model and factor of its unit."""

REFERENCE_CHIP = "h100-sxm"
"""Both fleets are priced and utilised as this chip, at its dense BF16 peak."""

DEFINITION_WORDS = {
    "final_run": "the pre-training run alone",
    "all_training": "pre-training and post-training",
    "all_rnd": "all R&D compute",
}
UNIT_WORDS = {"flop": "FLOP", "chip_hours": "chip-hours", "dollars": "dollars"}


def assumptions() -> pd.DataFrame:
    """The table of uncertain inputs, indexed by name."""
    return tables.load("assumptions").set_index("name", drop=False)


def assumed(name: str, frame: pd.DataFrame | None = None) -> Uncertain:
    """One uncertain input of data/assumptions.csv."""
    frame = assumptions() if frame is None else frame
    if name not in frame.index:
        raise unknown("assumption", name, frame.index, "data/assumptions.csv")
    return uncertainty.of_row(frame.loc[name])


def inputs(
    medians: Mapping[str, float] | None = None, frame: pd.DataFrame | None = None
) -> list[Uncertain]:
    """The inputs of the market model. `medians` moves the named ones to another median and keeps
    their relative spread."""
    medians = dict(medians or {})
    for name in medians:
        if name not in FIELDS:
            raise unknown("market input", name, FIELDS)
    frame = assumptions() if frame is None else frame
    found = [assumed(name, frame) for name in FIELDS]
    return [item.centred(medians[item.name]) if item.name in medians else item for item in found]


def life_of(draws: Draws) -> lifecycle.Lifecycle:
    """The lifecycle model filled with draws (or plain numbers) of the market inputs."""
    chips = tables.load("chips").set_index("id")
    peak = float(chips.loc[REFERENCE_CHIP, "bf16_tflops"]) * TERA
    values = {
        field: draws[name] * factor for name, (field, factor) in FIELDS.items() if name in draws
    }
    return lifecycle.Lifecycle(**values, training_peak_flops=peak, inference_peak_flops=peak)


@dataclass(frozen=True, slots=True)
class Answer:
    """The ratio of inference to training, as a distribution, and the chance that it reaches ten."""

    definition: str
    unit: str
    ratio: Summary
    ten: Probability
    larger: Probability

    def sentence(self) -> str:
        """The chapter's answer in words, computed."""
        size = "the larger market" if self.ratio.median > 1 else "the smaller market"
        return (
            f"Counted in {UNIT_WORDS[self.unit]} against {DEFINITION_WORDS[self.definition]}, inference is "
            f"**{figure(self.ratio.median)} times** training (90% range {figure(self.ratio.p05)} to "
            f"{figure(self.ratio.p95)}): in the middle of the range {size}. The chance that it is larger "
            f"at all is {self.larger.percent()}, the chance of ten times {self.ten.percent()}."
        )


def figure(value: float) -> str:
    """A ratio for a sentence: two significant digits, no exponent."""
    return f"{float(f'{value:.2g}'):,.10g}"


@dataclass(frozen=True)
class Case:
    """A market question: what counts as training, in which unit, with which inputs."""

    definition: str = "all_rnd"
    unit: str = "dollars"
    medians: Mapping[str, float] | None = None
    draws: int = 100_000
    seed: int = 0
    frame: pd.DataFrame | None = None

    @classmethod
    def of(cls, variables: Mapping[str, object]) -> Case:
        """The case of a chapter's checked parameters, picked by name from its variables; market inputs
        become medians."""
        medians = {name: float(variables[name]) for name in FIELDS if name in variables}
        settings = {
            name: variables[name]
            for name in ("definition", "unit", "draws", "seed")
            if name in variables
        }
        return cls(**settings, medians=medians)

    def __post_init__(self) -> None:
        if self.definition not in lifecycle.DEFINITIONS:
            raise unknown("definition", self.definition, lifecycle.DEFINITIONS, "market")
        if self.unit not in lifecycle.UNITS:
            raise unknown("unit", self.unit, lifecycle.UNITS, "market")

    @cached_property
    def inputs(self) -> list[Uncertain]:
        """The uncertain inputs of this case."""
        return inputs(self.medians, self.frame)

    @cached_property
    def central(self) -> dict[str, float]:
        """Every input at its median."""
        return {item.name: float(item.median) for item in self.inputs}

    @cached_property
    def drawn(self) -> dict[str, np.ndarray]:
        """The joint draws of all inputs."""
        return uncertainty.sample(self.inputs, self.draws, self.seed)

    def ratio(self, draws: Draws) -> np.ndarray:
        """Inference over training for every draw."""
        return lifecycle.inference_ratio(life_of(draws), self.definition, self.unit)

    def counted(self, definition: str, unit: str) -> Case:
        """The same inputs under another definition and unit."""
        return replace(self, definition=definition, unit=unit)

    def answer(self) -> Answer:
        """The distribution of the ratio and the chances of one and ten."""
        above = [
            uncertainty.probability_above(self.ratio, self.inputs, level, self.draws, self.seed)
            for level in (TEN, 1.0)
        ]
        return Answer(
            self.definition, self.unit, uncertainty.summary(self.ratio(self.drawn)), *above
        )


def every_count(case: Case) -> pd.DataFrame:
    """The same inputs under each definition and unit: the answer is mostly a matter of counting.

    Columns: definition, unit, p05, median, p95, probability_ten, probability_larger.
    """
    rows = []
    for definition in lifecycle.DEFINITIONS:
        for unit in lifecycle.UNITS:
            found = case.counted(definition, unit).answer()
            rows.append(
                {
                    "definition": DEFINITION_WORDS[definition],
                    "unit": UNIT_WORDS[unit],
                    "p05": found.ratio.p05,
                    "median": found.ratio.median,
                    "p95": found.ratio.p95,
                    "probability_ten": found.ten.value,
                    "probability_larger": found.larger.value,
                }
            )
    return pd.DataFrame(rows)


def tornado(case: Case) -> pd.DataFrame:
    """How far each input alone moves the ratio; `title` names the input for a reader."""
    return titled(uncertainty.tornado(case.ratio, case.inputs), case)


def causes(case: Case, draws: int = 2048) -> pd.DataFrame:
    """Sobol indices of the logarithm of the ratio: which ignorance makes the range so wide."""
    return titled(uncertainty.sobol_indices(case.ratio, case.inputs, draws, case.seed), case)


def titled(table: pd.DataFrame, case: Case) -> pd.DataFrame:
    """Add each input's title for readers."""
    titles = (assumptions() if case.frame is None else case.frame)["title"]
    return table.assign(title=table["name"].map(titles))


def break_even(case: Case) -> pd.DataFrame:
    """Days of serving until inference has cost as much as training, per definition in the case's unit.

    Columns: definition, p05, median, p95 (days), within_life (probability that the model lives so long).
    """
    life = life_of(case.drawn)
    rows = []
    for definition in lifecycle.DEFINITIONS:
        days = lifecycle.break_even_days(life, definition, case.unit)
        found = uncertainty.summary(days)
        rows.append(
            {
                "definition": DEFINITION_WORDS[definition],
                "p05": found.p05,
                "median": found.median,
                "p95": found.p95,
                "within_life": float(np.mean(days <= life.life_days)),
            }
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True, slots=True)
class TenTimes:
    """What must be true for a ratio of ten: tokens served per token trained on."""

    today: float
    needed: Summary
    probability: Probability

    def sentence(self) -> str:
        """The condition in words, computed."""
        return (
            f"For ten to one a model must serve about **{figure(self.needed.median)} tokens for every token it "
            f"was trained on** (90% range {figure(self.needed.p05)} to {figure(self.needed.p95)} over the "
            f"ranges of the other inputs). The central case serves {figure(self.today)}. The chance that a model "
            f"drawn from our ranges gets there is {self.probability.percent()}."
        )


def ten_times(case: Case, ratio: float = TEN) -> TenTimes:
    """Tokens served per training token that make inference `ratio` times training."""
    if ratio <= 0:
        raise InputError(f"market: the ratio to reach must be above 0, got {ratio:g}")
    life = life_of(case.drawn)
    needed = (
        lifecycle.tokens_for_ratio(life, ratio, case.definition, case.unit) / life.training_tokens
    )
    centre = case.central
    today = centre["served_tokens_t"] / centre["training_tokens_t"]
    chance = uncertainty.probability_above(case.ratio, case.inputs, ratio, case.draws, case.seed)
    return TenTimes(today, uncertainty.summary(needed), chance)


def ten_times_surface(
    case: Case,
    tokens_per_training_token: tuple[float, ...] = (1, 3, 6, 10, 30, 100, 300, 1000),
    rnd_multipliers: tuple[float, ...] = (1, 2, 4, 7, 11),
) -> pd.DataFrame:
    """Ratio in the case's unit, with all R&D counted, over how much a model serves and how much
    research stands behind it; other inputs at their medians.

    Columns: tokens_per_training_token, rnd_multiplier, ratio, label (the ratio in words).
    """
    served, research = (
        grid.ravel()
        for grid in np.meshgrid(
            np.array(tokens_per_training_token, dtype=float), np.array(rnd_multipliers, dtype=float)
        )
    )
    draws = {name: np.full(served.shape, value) for name, value in case.central.items()}
    draws["served_tokens_t"] = served * draws["training_tokens_t"]
    draws["rnd_multiplier"] = research
    ratio = case.counted("all_rnd", case.unit).ratio(draws)
    return pd.DataFrame(
        {
            "tokens_per_training_token": served,
            "rnd_multiplier": research,
            "ratio": ratio,
            "label": [figure(value) for value in ratio],
        }
    )


def what_ifs(case: Case, growth_per_year: float) -> pd.DataFrame:
    """The distribution of the ratio if one thing about the world were different.

    growth_per_year: factor by which the daily volume grows while the model serves, in one of the worlds.
    Columns: change, p05, median, p95, probability_ten.
    """
    table = assumptions() if case.frame is None else case.frame
    test_time = float(assumed("test_time_multiplier", table).median)
    custom = assumed("custom_share", table)
    base = life_of(case.drawn)
    worlds = {
        "As assumed": base,
        f"{test_time:g} tokens computed per token": replace(base, test_time_multiplier=test_time),
        "Nothing is read from a cache": replace(base, cache_share=0.0),
        "Serving as busy as training": replace(base, inference_mfu=base.training_mfu),
        "Retrained every two months": lifecycle.retrained(
            base, np.minimum(base.life_days, 2 * DAYS_PER_MONTH)
        ),
        f"Volume grows {figure(growth_per_year)}-fold a year": replace(
            base,
            served_tokens=lifecycle.served_tokens_over(
                base.served_tokens / base.life_days, base.life_days, growth_per_year
            ),
        ),
        "No custom models": replace(base, custom_share=0.0),
        f"{custom.p95:.0%} of training is custom": replace(base, custom_share=custom.p95),
    }
    rows = []
    for change, life in worlds.items():
        ratio = lifecycle.inference_ratio(life, case.definition, case.unit)
        found = uncertainty.summary(ratio)
        rows.append(
            {
                "change": change,
                "p05": found.p05,
                "median": found.median,
                "p95": found.p95,
                "probability_ten": float(np.mean(ratio >= TEN)),
            }
        )
    return pd.DataFrame(rows)


def model_sizes(case: Case) -> pd.DataFrame:
    """A lab that serves most tokens from small models trained on the same data.

    Columns: family, ratio. Inputs at their medians; the family's tokens are the case's.
    """
    flagship = life_of(case.central)
    families = {
        "One model serves everything": lifecycle.family(flagship, [1.0], [1.0]),
        "Half the tokens from a model a quarter the size": lifecycle.family(
            flagship, [1.0, 0.25], [0.5, 0.5]
        ),
        "Nine tenths of the tokens from a model a tenth the size": lifecycle.family(
            flagship, [1.0, 0.1], [0.1, 0.9]
        ),
    }
    return pd.DataFrame(
        [
            {
                "family": name,
                "ratio": float(lifecycle.generation_ratio(models, case.definition, case.unit)),
            }
            for name, models in families.items()
        ]
    )


@dataclass(frozen=True, slots=True)
class VendorShare:
    """Share of all work that is shaped like inference: serving, and serving with RL rollouts."""

    serving: Summary
    with_rollouts: Summary

    def sentence(self) -> str:
        """What a chip vendor may conclude, computed."""
        serving = (
            f"Of all the work counted here, serving is **{self.serving.median:.0%}** (90% range "
            f"{self.serving.p05:.0%} to {self.serving.p95:.0%})."
        )
        if self.with_rollouts.median <= self.serving.median:
            return f"{serving} A pre-training run generates no samples, so no part of training has the shape of inference."
        return (
            f"{serving} Add the samples that reinforcement learning generates, and "
            f"{self.with_rollouts.median:.0%} ({self.with_rollouts.p05:.0%} to {self.with_rollouts.p95:.0%}) runs "
            f"inference kernels. The rest needs a chip that trains."
        )


def vendor_share(case: Case) -> VendorShare:
    """What an inference chip can address, with and without the rollouts inside training."""
    life = life_of(case.drawn)
    ratio = lifecycle.inference_ratio(life, case.definition, case.unit)
    shaped = lifecycle.inference_shaped_ratio(life, case.definition, case.unit)
    return VendorShare(
        uncertainty.summary(ratio / (1 + ratio)), uncertainty.summary(shaped / (1 + shaped))
    )


def vendor_parts(case: Case) -> pd.DataFrame:
    """Serving, rollouts and the rest of training as shares of all work, inputs at their medians, per
    definition. Columns: count, work, share."""
    life = life_of(case.central)
    rows = []
    for definition, words in DEFINITION_WORDS.items():
        serving, training = (
            lifecycle.inference_cost(life, case.unit),
            lifecycle.training_cost(life, definition, case.unit),
        )
        rollouts = lifecycle.rollout_cost(life, definition, case.unit)
        parts = {
            "serving": serving,
            "rollouts for reinforcement learning": rollouts,
            "other training": training - rollouts,
        }
        rows += [
            {"count": f"Against {words}", "work": work, "share": float(cost / (serving + training))}
            for work, cost in parts.items()
        ]
    return pd.DataFrame(rows)

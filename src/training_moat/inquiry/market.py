"""One lab's serving over its own training: the lifecycle model under uncertainty.

A `Case` is a lab, a meaning of training, a unit and the uncertain inputs. Everything the lab has told is
its own (`LABS`): its tokens stand over its own runs, never over another's. What it has not told comes from
the ranges of data/assumptions.csv. A reader may set any input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from training_moat.catalog import tables
from training_moat.core import lifecycle
from training_moat.core.errors import require_known
from training_moat.inquiry import chip_stock, market_evidence, uncertainty
from training_moat.inquiry.uncertainty import Draws, Percentiles, Probability, Uncertain

TEN = 10.0
"""The article's ratio: inference ten times training."""

DAYS_PER_MONTH = lifecycle.DAYS_PER_YEAR / 12
MONTHS = 12.0

FIELDS = {
    "served_tokens_t": ("served_tokens", 1e12),
    "life_months": ("life_days", DAYS_PER_MONTH),
    "final_run_flop": ("training_tokens", 1.0),
    "active_params_b": ("active_params", 1e9),
    "cache_share": ("cache_share", 1.0),
    "post_training_multiplier": ("post_training_multiplier", 1.0),
    "rollout_share": ("rollout_share", 1.0),
    "rnd_multiplier": ("rnd_multiplier", 1.0),
    "mfu_training": ("training_mfu", 1.0),
    "mfu_inference": ("inference_mfu", 1.0),
    "training_usd_per_chip_hour": ("training_usd_per_chip_hour", 1.0),
    "serving_usd_per_chip_hour": ("inference_usd_per_chip_hour", 1.0),
}
"""Uncertain input to field of the lifecycle model and factor of its unit."""
FLOP_TITLE = "FLOP of the final runs"

DEFINITION_WORDS = {
    "final_run": "the final runs alone",
    "all_training": "final runs and post-training",
    "all_rnd": "all R&D compute",
}
UNIT_WORDS = {"flop": "FLOP", "chip_hours": "chip-hours", "dollars": "dollars"}
LABS = {
    "deepseek": "DeepSeek, V3 and R1",
    "openai": "OpenAI in 2025",
    "world": "all labs of the world in 2025",
}
"""Labs with tokens and training runs of their own."""
OPENAI_API, CHATGPT = "T22", "chatgpt_tokens_t_per_day"
"""OpenAI's tokens: the row of tokens_served for its API, and the assumed range for ChatGPT."""
YEAR = 2025


def assumptions() -> pd.DataFrame:
    """The table of uncertain inputs, indexed by name."""
    return tables.load("assumptions").set_index("name", drop=False)


def assumed(name: str) -> Uncertain:
    """One uncertain input of data/assumptions.csv."""
    frame = assumptions()
    require_known("assumption", name, frame.index, "data/assumptions.csv")
    return uncertainty.of_row(frame.loc[name])


def own(lab: str) -> dict[str, Uncertain]:
    """What a lab of `LABS` has told about itself, as inputs (a known number has no range)."""
    require_known("lab", lab, LABS, "market")
    if lab == "deepseek":
        return _deepseek()
    if lab == "world":
        tokens = chip_stock.tokens_of(YEAR)
        low, middle, high = tokens, tokens, tokens
        flop = chip_stock.known_runs(YEAR)
    else:
        served = tables.load("tokens_served").set_index("row_id")["tokens_per_day"]
        chat = assumed(CHATGPT)
        api = float(served[OPENAI_API])
        low, middle, high = (
            (api + 1e12 * end) * lifecycle.DAYS_PER_YEAR
            for end in (chat.p05, chat.median, chat.p95)
        )
        flop = market_evidence.runs_of("OpenAI", YEAR)
    known = [
        Uncertain("served_tokens_t", low / 1e12, middle / 1e12, high / 1e12, "trillion tokens"),
        _known("life_months", MONTHS, "months"),
        _known("final_run_flop", flop, "FLOP"),
    ]
    if lab == "openai":
        share = tables.load("market_splits").set_index("row_id").loc["S19", "training_share"]
        known.append(_known("rnd_multiplier", 1.0 / float(share), "times"))
    return {item.name: item for item in known}


def _known(name: str, value: float, unit: str) -> Uncertain:
    return Uncertain(name, value, value, value, unit)


def _deepseek() -> dict[str, Uncertain]:
    day = market_evidence.deepseek()
    served_t = day.tokens_per_day * lifecycle.DAYS_PER_YEAR / 1e12
    known = [
        _known("served_tokens_t", served_t, "trillion tokens"),
        _known("life_months", MONTHS, "months"),
        _known("final_run_flop", day.training_flop, "FLOP"),
        _known("active_params_b", day.active_params / 1e9, "billion parameters"),
        _known("cache_share", 1 - day.computed_tokens_per_day / day.tokens_per_day, "share"),
        _known("mfu_training", day.training_mfu, "share"),
        _known("mfu_inference", day.inference_mfu, "share"),
    ]
    return {item.name: item for item in known}


def inputs(lab: str, medians: Mapping[str, float | None] | None = None) -> list[Uncertain]:
    """The inputs of a lab: its own where it told them, else the assumed ranges. `medians` moves the named
    ones to another median and keeps their relative spread."""
    told = own(lab)
    found = [told[name] if name in told else assumed(name) for name in FIELDS]
    return uncertainty.centred(found, medians, "market input")


def life_of(draws: Draws) -> lifecycle.Lifecycle:
    """The lifecycle model filled with draws (or plain numbers) of the market inputs. The final runs are
    given as FLOP; the model takes them as the tokens that make that FLOP at 6 a parameter."""
    peak = chip_stock.bf16_peak()
    values = {
        field: draws[name] * factor for name, (field, factor) in FIELDS.items() if name in draws
    }
    values["training_tokens"] = draws["final_run_flop"] / (6.0 * values["active_params"])
    return lifecycle.Lifecycle(**values, training_peak_flops=peak, inference_peak_flops=peak)


@dataclass(frozen=True, slots=True)
class Answer:
    """The ratio of inference to training and inference's share, and the chances of ten and of one."""

    ratio: Percentiles
    share: Percentiles
    ten: Probability
    larger: Probability


@dataclass(frozen=True)
class Case:
    """A question about one lab: what counts as training, in which unit, with which inputs."""

    lab: str = "openai"
    definition: str = "all_rnd"
    unit: str = "dollars"
    medians: Mapping[str, float | None] | None = None
    draws: int = 20_000
    seed: int = 0

    @classmethod
    def of(cls, variables: Mapping[str, Any]) -> Case:
        """The case of a chapter's checked parameters, picked by name from its variables; inputs that are
        not None become medians."""
        medians = {name: variables.get(name) for name in FIELDS}
        names = ("lab", "definition", "unit", "draws", "seed")
        return cls(
            **{name: variables[name] for name in names if name in variables}, medians=medians
        )

    def __post_init__(self) -> None:
        require_known("definition", self.definition, lifecycle.DEFINITIONS, "market")
        require_known("unit", self.unit, lifecycle.UNITS, "market")

    @cached_property
    def inputs(self) -> list[Uncertain]:
        """The uncertain inputs of this case."""
        return inputs(self.lab, self.medians)

    @cached_property
    def drawn(self) -> dict[str, np.ndarray]:
        """The joint draws of all inputs, which are independent but for what a lab told of itself."""
        return uncertainty.sample(self.inputs, self.draws, self.seed)

    @cached_property
    def lives(self) -> list[lifecycle.Lifecycle]:
        """The lifecycle model under the draws, then under each of the replicates that tell a chance."""
        split = uncertainty.replicates(self.inputs, self.draws, self.seed)
        return [life_of(draws) for draws in (self.drawn, *split)]

    def ratio(self, draws: Draws) -> np.ndarray:
        """Inference over training for every draw."""
        return lifecycle.inference_ratio(life_of(draws), self.definition, self.unit)

    def counted(self, definition: str, unit: str) -> Case:
        """The same inputs, and draws where they are there, under another definition and unit."""
        other = replace(self, definition=definition, unit=unit)
        shared = ("inputs", "drawn", "lives")
        vars(other).update({name: vars(self)[name] for name in shared if name in vars(self)})
        return other

    def answer(self) -> Answer:
        """The distribution of the ratio and the chances of one and ten."""
        ratio, *split = (
            lifecycle.inference_ratio(life, self.definition, self.unit) for life in self.lives
        )
        above = [uncertainty.chance(split, level) for level in (TEN, 1.0)]
        return Answer(
            uncertainty.percentiles(ratio),
            uncertainty.percentiles(lifecycle.part_of(ratio)),
            *above,
        )


def every_count(case: Case) -> pd.DataFrame:
    """The same lab under each definition and unit.

    Columns: definition, unit, p05, median, p95 (shares of inference), ratio (median), probability_ten,
    probability_larger.
    """
    rows = []
    for definition in lifecycle.DEFINITIONS:
        for unit in lifecycle.UNITS:
            case = case.counted(definition, unit)  # with the draws of the one before
            found = case.answer()
            rows.append({
                "definition": DEFINITION_WORDS[definition], "unit": UNIT_WORDS[unit], **found.share._asdict(),
                "ratio": found.ratio.median, "probability_ten": found.ten.value,
                "probability_larger": found.larger.value,
            })  # fmt: skip
    return pd.DataFrame(rows)


def tornado(case: Case) -> pd.DataFrame:
    """How far each input alone moves inference's share; `title` names the input for a reader."""

    def share(draws: Draws) -> np.ndarray:
        return lifecycle.part_of(case.ratio(draws))

    return titled(uncertainty.tornado(share, case.inputs))


def causes(case: Case) -> pd.DataFrame:
    """Sobol indices of the logarithm of the ratio: which ignorance makes the range so wide."""
    return titled(uncertainty.sobol_indices(case.ratio, case.inputs, 1024, case.seed))


def titled(table: pd.DataFrame) -> pd.DataFrame:
    """Add each input's title for readers."""
    return table.assign(title=table["name"].map(assumptions()["title"]).fillna(FLOP_TITLE))


def break_even(case: Case) -> pd.DataFrame:
    """Days of serving until inference has cost as much as training, per definition in the case's unit.

    Columns: definition, p05, median, p95 (days), within_life (chance that the service lasts so long).
    """
    life = life_of(case.drawn)
    rows = []
    for definition in lifecycle.DEFINITIONS:
        days = lifecycle.break_even_days(life, definition, case.unit)
        within = {"within_life": np.mean(days <= life.life_days)}
        row = {"definition": DEFINITION_WORDS[definition]} | within
        rows.append(row | uncertainty.percentiles(days)._asdict())
    return pd.DataFrame(rows)


def tokens_for_ten(case: Case) -> Percentiles:
    """Tokens a day that the lab must serve, research unchanged, for inference to be ten times
    training, over those it serves today (1 is today's volume)."""
    life = life_of(case.drawn)
    needed = lifecycle.tokens_for_ratio(life, TEN, case.definition, case.unit)
    return uncertainty.percentiles(needed / np.maximum(life.served_tokens, 1.0))


def rollouts(case: Case) -> tuple[Percentiles, Percentiles]:
    """Share of all work that an inference chip can do: serving alone, and with the samples that
    reinforcement learning generates inside training."""
    life = life_of(case.drawn)
    plain = lifecycle.inference_ratio(life, case.definition, case.unit)
    shaped = lifecycle.inference_shaped_ratio(life, case.definition, case.unit)
    alone, with_samples = lifecycle.part_of(plain), lifecycle.part_of(shaped)
    return uncertainty.percentiles(alone), uncertainty.percentiles(with_samples)

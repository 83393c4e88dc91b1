"""What a whole training run takes: days, chip-hours, dollars."""

from __future__ import annotations

from typing import Any

from training_moat.core.units import BILLION, SECONDS_PER_DAY, SECONDS_PER_HOUR
from training_moat.predict import training_constants
from training_moat.predict.training_constants import Constants
from training_moat.predict.training_plans import Costs


def usual_goodput(constants: Constants | None = None) -> float:
    """The share of a run's hours that its steps take, where nothing is known of the run: the middle of the published whole
    runs beside the model's step times (`calibrate.goodput`)."""
    return (constants or training_constants.load()).generic("goodput")


def run_costs(
    asked: Costs | None, chips: float, tokens_per_s: float, step_s: float, constants: Constants
) -> tuple[dict[str, Any], list[str]]:
    """(fields of the answer, notes) for a run of which tokens or a price are stated; nothing for others.

    Goodput is the share of a run's time in steps that count: the rest goes into restarts, evaluation, saving. The
    default is the middle of published runs whose whole hours are known (table training_costs).
    """
    if asked is None:
        return {}, []
    price = asked.price_usd_per_chip_hour
    if asked.tokens_b is None:
        if price is None:
            return {}, []
        cost = step_s * chips * price / SECONDS_PER_HOUR
        return {"cost_usd": cost}, ["tokens_b not given; cost_usd is one step's"]
    notes = []
    goodput = asked.goodput
    if goodput is None:
        goodput = usual_goodput(constants)
        low, high = constants.interval("whole_run", "hours_")
        notes.append(
            f"goodput of {goodput:.2f} assumed, the middle of published whole runs; another owner's"
            f" hours may be {low:.2f} to {high:.2f} times these"
        )
    seconds = asked.tokens_b * BILLION / tokens_per_s / goodput
    hours = seconds * chips / SECONDS_PER_HOUR
    found = {"run_days": seconds / SECONDS_PER_DAY, "chip_hours": hours, "goodput": goodput}
    if price is not None:
        found["cost_usd"] = hours * price
    return found, notes

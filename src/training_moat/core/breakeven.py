"""When does it pay to move training to another chip? A decision in one formula.

A buyer spends S a year on training with the incumbent. A challenger promises the work of one dollar for 1/a dollars
(a: advantage in performance per dollar once its software is mature). The move takes a port of T years, during which
the old spending goes on; then the advantage is realised by degrees, e(t) = 1 - (1 - e0) exp(-t / tau), until the
horizon H ends (a chip's life, or the next generation). It costs a port of C dollars and delays the product by D years,
each worth v times the yearly spend. With probability p the move fails: the buyer returns to the incumbent, has
wasted w years' worth of spend and lost another F years. With X = H - T the expected gain is

    (1 - p) S (X - K / a) - C - S v (D + p F) - p w S,      K = integral of dt / e(t) from 0 to X
                                                              = tau ln((exp(X / tau) - (1 - e0)) / e0)

and the break-even advantage the a for which it is zero. Formulas of this project; the exponential approach is the
common learning-curve assumption (Wright 1936, in time instead of volume).
"""

from __future__ import annotations

from dataclasses import dataclass

from training_moat.core.elementwise import Number, all_true, exp, log, maximum, where
from training_moat.core.errors import InputError

IMPOSSIBLE = float("inf")
"""Break-even advantage where no advantage is enough."""


@dataclass(frozen=True)
class Move:
    """A move of training to another chip; every field a number or an array of draws."""

    yearly_spend_usd: Number
    horizon_years: Number
    port_years: Number
    port_cost_usd: Number
    delay_years: Number
    delay_value: Number  # worth of a year's delay, in years of spend
    failure_probability: Number
    failure_delay_years: Number
    failure_waste_years: Number  # spend lost in a failed attempt, in years of spend
    start_share: Number  # share of the mature performance on the first day after the port
    learning_years: Number  # time constant of the approach to mature performance

    def __post_init__(self) -> None:
        for name in ("yearly_spend_usd", "horizon_years", "learning_years"):
            _require(getattr(self, name) > 0, name, "above 0")
        for name in (
            "port_years",
            "port_cost_usd",
            "delay_years",
            "delay_value",
            "failure_delay_years",
            "failure_waste_years",
        ):
            _require(getattr(self, name) >= 0, name, "of at least 0")
        _require(
            (self.failure_probability >= 0) & (self.failure_probability < 1),
            "failure_probability",
            "from 0 to below 1",
        )
        _require(
            (self.start_share > 0) & (self.start_share <= 1), "start_share", "above 0 and at most 1"
        )


def _require(holds: Number, name: str, expected: str) -> None:
    if not all_true(holds):
        raise InputError(f"{name}: expected a number {expected}.")


def years_of_use(move: Move) -> Number:
    """Years between the end of the port and the horizon; zero when the port outlasts it."""
    return maximum(move.horizon_years - move.port_years, 0.0)


def learning_factor(move: Move) -> Number:
    """Years of the incumbent's spend that an advantage of one would cost over the years of use: K above, at least X."""
    missing = 1.0 - move.start_share
    years = years_of_use(move)
    return move.learning_years * (
        years / move.learning_years
        + log(1.0 - missing * exp(-years / move.learning_years))
        - log(move.start_share)
    )


def fixed_cost_years(move: Move) -> dict[str, Number]:
    """What the move costs whatever the advantage, in years of the incumbent's spend, by cause."""
    p = move.failure_probability
    return {
        "port": move.port_cost_usd / move.yearly_spend_usd,
        "delay": move.delay_value * move.delay_years,
        "failure": p * (move.delay_value * move.failure_delay_years + move.failure_waste_years),
    }


def breakeven_advantage(move: Move) -> Number:
    """Advantage in mature performance per dollar at which the move pays for itself; infinite if none does."""
    burden = sum(fixed_cost_years(move).values()) / (1.0 - move.failure_probability)
    room = years_of_use(move) - burden
    return where(room > 0, learning_factor(move) / where(room > 0, room, 1.0), IMPOSSIBLE)


def paper_advantage(breakeven: Number, realised_share: Number) -> Number:
    """Advantage a data sheet must show for a break-even in use, when `realised_share` of it arrives at the buyer."""
    return breakeven / realised_share

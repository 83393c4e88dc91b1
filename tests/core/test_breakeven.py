"""The switching decision against hand-worked cases and a numerical integral."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

from training_moat.core import breakeven
from training_moat.core.errors import InputError

PLAIN = breakeven.Move(
    yearly_spend_usd=1e9, horizon_years=2.0, port_years=0.0, port_cost_usd=0.0, delay_years=0.75, delay_value=1.0,
    failure_probability=0.0, failure_delay_years=0.0, failure_waste_years=0.0, start_share=1.0, learning_years=0.5,
)  # fmt: skip

moves = st.builds(
    breakeven.Move,
    yearly_spend_usd=st.floats(1e6, 1e11), horizon_years=st.floats(0.5, 6), port_years=st.floats(0, 3),
    port_cost_usd=st.floats(0, 1e9), delay_years=st.floats(0, 2), delay_value=st.floats(0, 4),
    failure_probability=st.floats(0, 0.9), failure_delay_years=st.floats(0, 1), failure_waste_years=st.floats(0, 0.5),
    start_share=st.floats(0.05, 1), learning_years=st.floats(0.05, 3),
)  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), [(0.3, 2 / (2 - 0.225)), (1.0, 1.6), (2.0, 4.0)])
def test_a_nine_month_slip_over_two_years(value, expected):
    """2 (1 - 1/s) = 0.75 v: s = 1.13, 1.6 and 4 for v = 0.3, 1 and 2."""
    move = dataclasses.replace(PLAIN, delay_value=value)
    assert breakeven.breakeven_advantage(move) == pytest.approx(expected)


def test_nothing_to_pay_means_any_advantage_pays():
    assert breakeven.breakeven_advantage(
        dataclasses.replace(PLAIN, delay_value=0.0)
    ) == pytest.approx(1.0)


def test_no_advantage_is_enough_when_the_port_outlasts_the_horizon():
    assert breakeven.breakeven_advantage(dataclasses.replace(PLAIN, port_years=2.5)) == math.inf
    assert breakeven.years_of_use(dataclasses.replace(PLAIN, port_years=2.5)) == 0.0


@given(moves)
def test_learning_factor_is_the_integral_it_stands_for(move):
    years = breakeven.years_of_use(move)
    expected, _ = integrate.quad(
        lambda t: 1 / (1 - (1 - move.start_share) * math.exp(-t / move.learning_years)),
        0,
        years,
        limit=200,
    )
    assert breakeven.learning_factor(move) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def gain_usd(move, advantage):
    """Expected gain of the move over the horizon at an advantage in performance per dollar."""
    used = breakeven.years_of_use(move) - breakeven.learning_factor(move) / advantage
    fixed = sum(breakeven.fixed_cost_years(move).values())
    return move.yearly_spend_usd * ((1.0 - move.failure_probability) * used - fixed)


@given(moves)
def test_gain_is_zero_at_break_even(move):
    advantage = breakeven.breakeven_advantage(move)
    if math.isinf(advantage):
        assert gain_usd(move, 1e12) <= 1e-6 * move.yearly_spend_usd
    else:
        assert abs(gain_usd(move, advantage)) <= 1e-6 * move.yearly_spend_usd
        assert gain_usd(move, advantage * 1.1) > gain_usd(move, advantage * 0.9)


@given(
    moves,
    st.sampled_from(
        [
            "port_years",
            "port_cost_usd",
            "delay_years",
            "delay_value",
            "failure_delay_years",
            "failure_waste_years",
        ]
    ),
)
def test_every_cost_raises_the_bar(move, name):
    worse = dataclasses.replace(move, **{name: getattr(move, name) * 1.5 + 0.01})
    assert breakeven.breakeven_advantage(worse) >= breakeven.breakeven_advantage(move) * (1 - 1e-9)


@given(moves)
def test_risk_raises_and_size_lowers_the_bar(move):
    riskier = dataclasses.replace(
        move, failure_probability=min(0.95, move.failure_probability + 0.04)
    )
    larger = dataclasses.replace(move, yearly_spend_usd=move.yearly_spend_usd * 10)
    base = breakeven.breakeven_advantage(move)
    assert breakeven.breakeven_advantage(riskier) >= base * (1 - 1e-9)
    assert breakeven.breakeven_advantage(larger) <= base * (1 + 1e-9)


def test_arrays_give_what_numbers_give():
    delays = np.array([0.0, 0.75, 3.0])
    together = breakeven.breakeven_advantage(dataclasses.replace(PLAIN, delay_years=delays))
    assert list(together) == [
        breakeven.breakeven_advantage(dataclasses.replace(PLAIN, delay_years=float(d)))
        for d in delays
    ]


def test_paper_advantage():
    assert breakeven.paper_advantage(1.3, 0.65) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("failure_probability", 1.0),
        ("start_share", 0.0),
        ("delay_years", -1.0),
        ("yearly_spend_usd", 0.0),
    ],
)
def test_impossible_inputs_are_refused(name, value):
    with pytest.raises(InputError, match=name):
        dataclasses.replace(PLAIN, **{name: value})
    with pytest.raises(InputError, match=name):
        dataclasses.replace(PLAIN, **{name: np.array([value, 0.5])})

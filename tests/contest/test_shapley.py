"""Shapley values: the three axioms, on games drawn at random."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training_moat.contest import shapley
from training_moat.core.errors import InputError

PLAYERS = 5
GAMES = arrays(float, 1 << PLAYERS, elements=st.floats(-100, 100))


@given(GAMES)
def test_values_add_up_to_what_all_are_worth(worth):
    assert np.sum(shapley.values(worth)) == pytest.approx(worth[-1] - worth[0], abs=1e-9)


@given(GAMES, st.integers(0, PLAYERS - 1))
def test_a_player_who_changes_nothing_gets_nothing(worth, player):
    masks = np.arange(len(worth))
    indifferent = worth[masks & ~(1 << player)]
    assert shapley.values(indifferent)[player] == pytest.approx(0.0, abs=1e-9)


@given(GAMES)
def test_equal_players_get_equal_shares(worth):
    masks = np.arange(len(worth))
    swapped = (masks & ~3) | (masks & 1) << 1 | (masks & 2) >> 1
    first, second = shapley.values((worth + worth[swapped]) / 2)[:2]
    assert first == pytest.approx(second, abs=1e-9)


def test_a_known_game():
    """Gloves: one left (player 0), two right; a pair is worth one. The left glove gets two thirds (Shapley 1953)."""
    worth = [1.0 if mask & 1 and mask & 6 else 0.0 for mask in range(8)]
    assert shapley.values(np.array(worth)) == pytest.approx([2 / 3, 1 / 6, 1 / 6])


def test_draws_are_split_one_by_one():
    games = np.random.default_rng(0).normal(size=(7, 16))
    assert shapley.values(games)[3] == pytest.approx(shapley.values(games[3]))


def test_a_list_that_is_no_game_is_refused():
    with pytest.raises(InputError, match="2\\^n coalitions"):
        shapley.values(np.zeros(6))

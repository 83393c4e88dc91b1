r"""Exact Shapley values of a game with few players, over all coalitions.

$$\varphi_i = \sum_{S \subseteq N \setminus i} \frac{|S|! \, (n-|S|-1)!}{n!} \bigl( v(S \cup i) - v(S) \bigr)$$

(Shapley 1953). The values add up to the worth of all players together; a player who never changes the worth gets zero;
players who change it alike get the same.
"""

from __future__ import annotations

from math import factorial

import numpy as np

from training_moat.core.errors import InputError


def players_of(count: int) -> int:
    """Number of players of a game with `count` coalitions; InputError where that is no power of two."""
    players = int(count).bit_length() - 1
    if count != 1 << players:
        raise InputError(f"a game has 2^n coalitions; got {count}")
    return players


def values(worth: np.ndarray) -> np.ndarray:
    """Shapley value of every player, players in the last axis.

    `worth[..., mask]` is what the coalition is worth whose members are the bits set in `mask`; leading axes are draws.
    """
    worth = np.asarray(worth, float)
    players = players_of(worth.shape[-1])
    masks = np.arange(worth.shape[-1])
    size = np.array([int(mask).bit_count() for mask in masks])
    share = np.array(
        [
            factorial(one) * factorial(players - one - 1) / factorial(players)
            for one in range(players)
        ]
    )
    found = []
    for player in range(players):
        without = masks[(masks >> player) & 1 == 0]
        gained = worth[..., without | (1 << player)] - worth[..., without]
        found.append(gained @ share[size[without]])
    return np.stack(found, axis=-1)

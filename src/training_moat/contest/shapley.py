r"""Exact Shapley values of a game with few players, over all coalitions.

$$\varphi_i = \sum_{S \subseteq N \setminus i} \frac{|S|! \, (n-|S|-1)!}{n!} \bigl( v(S \cup i) - v(S) \bigr)$$

(Shapley 1953). The values add up to the worth of all players together; a player who never changes the worth gets zero;
players who change it alike get the same.
"""

from __future__ import annotations

from functools import lru_cache
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
    return worth @ _weights(players_of(worth.shape[-1]))


@lru_cache(maxsize=4)
def _weights(players: int) -> np.ndarray:
    """Weight of every coalition's worth in every player's value: the sum above, gathered by coalition."""
    masks = np.arange(1 << players)
    size = np.array([int(mask).bit_count() for mask in masks])
    orders = factorial(players)
    share = np.array(
        [factorial(one) * factorial(players - one - 1) / orders for one in range(players)]
    )
    found = np.zeros((len(masks), players))
    for player in range(players):
        inside = (masks >> player) & 1 == 1
        found[inside, player] = share[size[inside] - 1]
        found[~inside, player] = -share[size[~inside]]
    return found

"""Scrambled Sobol points, the bits of `scipy.stats.qmc.Sobol`, without the second that SciPy's statistics take to import.

Point i of a sequence is the exclusive or of those direction numbers whose bits are set in the Gray code of i (Antonov and
Saleev 1979), with the direction numbers of Joe and Kuo (2008, new-joe-kuo-6). They are scrambled by random lower
triangular matrices and a random shift (Matousek 1998; Owen 1998).
"""

from __future__ import annotations

import numpy as np

BITS = 30
_POWERS = np.uint32(1) << np.arange(BITS, dtype=np.uint32)
_INITIAL = (
    *((1, ()), (3, (1,)), (7, (1, 3)), (11, (1, 3, 1)), (13, (1, 1, 1)), (19, (1, 1, 3, 3))),
    *((25, (1, 3, 5, 13)), (37, (1, 1, 5, 5, 17)), (41, (1, 1, 5, 5, 5)), (47, (1, 1, 7, 11, 19))),
    *((55, (1, 1, 5, 1, 1)), (59, (1, 1, 1, 3, 11)), (61, (1, 3, 5, 5, 31))),
    *((67, (1, 3, 3, 9, 7, 49)), (91, (1, 1, 1, 15, 21, 21)), (97, (1, 3, 1, 13, 27, 49))),
    *((103, (1, 1, 1, 15, 7, 5)), (109, (1, 3, 1, 15, 13, 25)), (115, (1, 1, 5, 5, 19, 61))),
    *((131, (1, 3, 7, 11, 23, 15, 103)), (137, (1, 3, 7, 13, 13, 15, 69))),
    *((143, (1, 1, 3, 13, 7, 35, 63)), (145, (1, 3, 5, 9, 1, 25, 53))),
    *((157, (1, 3, 1, 13, 9, 35, 107)), (167, (1, 3, 1, 5, 27, 61, 31))),
)
"""Of each dimension its primitive polynomial over two, as a number whose bits are the coefficients, and the first odd
numbers of its sequence."""
MOST = len(_INITIAL)
"""Dimensions up to which the direction numbers are known here."""


def _directions(dimensions: int) -> np.ndarray:
    """Direction numbers, one row a dimension, the first with the highest bit (Bratley and Fox 1988)."""
    found = np.ones((dimensions, BITS), np.uint32)
    for row, (polynomial, first) in zip(found[1:], _INITIAL[1:], strict=False):
        degree = len(first)
        row[:degree] = first
        for place in range(degree, BITS):
            row[place] = row[place - degree]
            for back in range(1, degree + 1):
                if polynomial >> (degree - back) & 1:
                    row[place] ^= row[place - back] << back
    return found * _POWERS[::-1]


def points(dimensions: int, doublings: int, seed: int) -> np.ndarray:
    """The first 2^`doublings` points of a scrambled sequence in the unit cube, one a row; of more than `MOST` dimensions
    SciPy's own."""
    if dimensions > MOST:
        from scipy.stats import qmc

        rng = np.random.default_rng(seed)
        return qmc.Sobol(dimensions, scramble=True, rng=rng).random_base2(doublings)
    (rng,) = np.random.default_rng(seed).spawn(1)
    shift = rng.integers(2, size=(dimensions, BITS), dtype=np.uint32) @ _POWERS
    matrices = np.tril(rng.integers(2, size=(dimensions, BITS, BITS), dtype=np.uint32))
    matrices[:, np.arange(BITS), np.arange(BITS)] = 1
    bits = _directions(dimensions)[:, None] >> np.arange(BITS, dtype=np.uint32)[::-1, None] & 1
    directions = np.moveaxis(matrices @ bits & 1, 1, 2) @ _POWERS[::-1]
    found = shift[:, None]
    for turn in range(doublings):
        found = np.hstack([found, found[:, ::-1] ^ directions[:, turn, None]])
    return found.T * 0.5**BITS

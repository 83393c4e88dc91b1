r"""Scrambled points of the Sobol sequence, those of `scipy.stats.qmc.Sobol` bit by bit, without the second that SciPy's
statistics take to import.

Point n is the exclusive or of the direction numbers at the bits of n's Gray code (Bratley and Fox 1988). Direction numbers:
Joe and Kuo 2008, table new-joe-kuo-6.21201. Scrambling: a random lower triangular matrix of bits and a random shift for
each dimension (Matousek 1998).
"""

from __future__ import annotations

from functools import cache

import numpy as np

BITS = 30
"""Binary places of a point."""

# fmt: off
DIRECTIONS: tuple[tuple[int, tuple[int, ...]], ...] = (
    (3, (1,)), (7, (1, 3)), (11, (1, 3, 1)), (13, (1, 1, 1)), (19, (1, 1, 3, 3)),
    (25, (1, 3, 5, 13)), (37, (1, 1, 5, 5, 17)), (41, (1, 1, 5, 5, 5)), (47, (1, 1, 7, 11, 19)),
    (55, (1, 1, 5, 1, 1)), (59, (1, 1, 1, 3, 11)), (61, (1, 3, 5, 5, 31)),
    (67, (1, 3, 3, 9, 7, 49)), (91, (1, 1, 1, 15, 21, 21)), (97, (1, 3, 1, 13, 27, 49)),
    (103, (1, 1, 1, 15, 7, 5)), (109, (1, 3, 1, 15, 13, 25)), (115, (1, 1, 5, 5, 19, 61)),
    (131, (1, 3, 7, 11, 23, 15, 103)), (137, (1, 3, 7, 13, 13, 15, 69)),
    (143, (1, 1, 3, 13, 7, 35, 63)), (145, (1, 3, 5, 9, 1, 25, 53)),
    (157, (1, 3, 1, 13, 9, 35, 107)), (167, (1, 3, 1, 5, 27, 61, 31)),
    (171, (1, 1, 5, 11, 19, 41, 61)), (185, (1, 3, 5, 3, 3, 13, 69)),
    (191, (1, 1, 7, 13, 1, 19, 1)), (193, (1, 3, 7, 5, 13, 19, 59)),
    (203, (1, 1, 3, 9, 25, 29, 41)), (211, (1, 3, 5, 13, 23, 1, 55)),
    (213, (1, 3, 7, 3, 13, 59, 17)),
)
# fmt: on
"""Of each dimension after the first its primitive polynomial, as bits, and its first direction numbers."""

DIMENSIONS = 1 + len(DIRECTIONS)
"""Dimensions of the table."""


def scrambled(dimensions: int, power: int, seed: int) -> np.ndarray:
    """The first 2^`power` points in [0, 1), one row each."""
    if dimensions > DIMENSIONS:
        from scipy.stats import qmc  # has the numbers of 21,201 dimensions

        sequence = qmc.Sobol(d=dimensions, scramble=True, rng=np.random.default_rng(seed))
        return sequence.random_base2(power)
    random = np.random.default_rng(seed).spawn(1)[0]  # as SciPy takes it from a generator
    shift = random.integers(2, size=(dimensions, BITS), dtype=np.uint32)
    mixing = np.tril(random.integers(2, size=(dimensions, BITS, BITS), dtype=np.uint32))
    mixing[:, range(BITS), range(BITS)] = 1
    numbers = mixing @ _directions(dimensions) % 2
    places = 2 ** np.arange(BITS, dtype=np.uint32)
    steps = (numbers * places[::-1, None]).sum(axis=1, dtype=np.uint32)
    points = np.empty((2**power, dimensions), np.uint32)
    points[0] = shift @ places
    for bit in range(power):  # a Gray code runs back through what it has, with one bit more
        points[1 << bit : 2 << bit] = points[: 1 << bit][::-1] ^ steps[:, bit]
    return points * 2.0**-BITS


@cache
def _directions(dimensions: int) -> np.ndarray:
    """Direction numbers as bits, the highest first: (dimension, bit, number)."""
    found = np.ones((dimensions, BITS), dtype=np.int64)
    for row, (polynomial, first) in enumerate(DIRECTIONS[: dimensions - 1], 1):
        degree = len(first)
        found[row, :degree] = first
        for column in range(degree, BITS):
            value = found[row, column - degree]
            for back in range(1, degree + 1):
                if polynomial >> (degree - back) & 1:
                    value ^= found[row, column - back] << back
            found[row, column] = value
    found <<= np.arange(BITS)[::-1]
    return (found[:, None, :] >> np.arange(BITS)[::-1, None] & 1).astype(np.uint32)

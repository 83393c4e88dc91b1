"""The layouts that a search tries (`planning.layouts`), one by one."""

from collections.abc import Sequence

import numpy as np

from training_moat.predict.planning import DEGREES, LAYOUT, LEVEL, VIRTUAL


def written_out(layouts: np.ndarray, levels: Sequence[int] = ()) -> np.ndarray:
    """One a column, each with every degree of its set and every one of the `levels` of recomputation, if any."""
    place, degree = np.nonzero(DEGREES[layouts[-1].astype(int)])
    found = layouts[:-1, place]
    np.copyto(found[VIRTUAL], degree, where=degree > 0)
    if levels:
        found = np.repeat(found, len(levels), axis=1)
        found[LEVEL] = np.tile(levels, len(place))
    return found


def named(layouts: np.ndarray, levels: Sequence[int] = ()) -> list[dict[str, int]]:
    """Layouts `written_out`, one by one."""
    columns = written_out(layouts, levels).T
    return [dict(zip(LAYOUT, map(int, column), strict=True)) for column in columns]

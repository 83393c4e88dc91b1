"""Repeated measurements of one piece of work: median and spread of its CPU time.

CPU time (of this process, or of a child's) and not wall time is what rates are computed from: it is what one
undisturbed thread needs, and other programs on the machine change it little.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Rate:
    """How often per CPU second, over the repeats: the median, the slowest and the fastest."""

    per_second: float
    slowest: float
    fastest: float
    repeats: int

    def __str__(self) -> str:
        return (
            f"{self.per_second:,.3g}"
            if self.per_second < 1000
            else f"{round_to(self.per_second, 3):,.0f}"
        )

    @property
    def spread(self) -> str:
        """Slowest and fastest repeat relative to the median."""
        return (
            f"{self.slowest / self.per_second - 1:+.0%} {self.fastest / self.per_second - 1:+.0%}"
        )


def round_to(value: float, digits: int) -> float:
    """`value` rounded to that many significant digits."""
    return float(f"{value:.{digits}g}")


def rate(count: int, cpu_seconds: list[float]) -> Rate:
    """The rate of `count` pieces of work done once per repeat in `cpu_seconds`."""
    each = [count / max(seconds, 1e-9) for seconds in cpu_seconds]
    return Rate(median(each), min(each), max(each), len(each))


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds that this process spends on one call of `work`."""
    start = time.process_time()
    work()
    return time.process_time() - start

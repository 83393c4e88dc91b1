"""What a printed range may be."""

from __future__ import annotations

MONTE_CARLO, POSTERIOR = "Monte Carlo, 5 to 95%", "posterior, 5 to 95%"
OF_A_SHARE, OF_INTERVALS = "interval of a share, 90%", "ends of 90% intervals"
OF_CASES, MOST_CASES, OF_SOURCES = "range of cases", "5 to 95% of cases", "range of sources"
KINDS = (MONTE_CARLO, POSTERIOR, OF_A_SHARE, OF_INTERVALS, OF_CASES, MOST_CASES, OF_SOURCES)
"""All of them."""

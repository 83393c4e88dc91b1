"""How tokens fall on experts: how many are met at all, and how many meet at the fullest place.

Every argument may be an array.
"""

from __future__ import annotations

from training_moat.core.elementwise import Number, exp, log, maximum, minimum, power, sqrt
from training_moat.core.workload import Transformer


def touched_experts(model: Transformer, tokens: Number) -> Number:
    """Experts of a layer that at least one of `tokens` tokens is routed to, routing taken as uniform."""
    share = minimum(model.experts_per_token / maximum(model.experts, 1), 1.0)
    return model.experts * (1 - power(1 - share, tokens))


def fullest(mean: Number, places: Number, largest: Number) -> Number:
    """Expected count at the fullest of `places` places among which things fall by chance, `mean` at each and no more than
    `largest` at one.

    The mean and as many standard deviations as the largest of so many normal draws lies off, sqrt(2 ln places) (David and
    Nagaraja 2003, section 10.5); where things are few, the chance that there is one at all.
    """
    deviation = sqrt(mean * maximum(1 - mean / maximum(largest, 1e-9), 0.0))
    reach = mean + deviation * sqrt(2 * log(maximum(places, 1)))
    most = maximum(minimum(mean * places, reach), 1 - exp(-mean * places))
    return minimum(maximum(most, mean), largest)

"""What is expected of the training model's constants before any run is looked at, and in which order they are fitted."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from training_moat.predict.attainable import measured_families
from training_moat.predict.training_constants import Constants

Key = tuple[str, str, str]
"""(level, key, name) of a constant, such as ("family", "nvidia-hopper", "attention")."""


class Prior(NamedTuple):
    """What is expected of a generic constant: median, standard deviation of its logarithm, and why; whether it is a `share`,
    which cannot exceed one; the stage of the fit that sets it: the first, or one whose rows alone feel it."""

    median: float
    width: float
    why: str
    share: bool = False
    stage: int = 1


GENERIC_PRIORS = {
    "matmul_16": Prior(0.95, 0.05, "share of what a large product reaches by itself (table matmul_maxima) that a training run sustains", share=True),
    "matmul_8": Prior(0.92, 0.07, "the same; FP8 products are limited by power sooner than BF16 ones", share=True),
    "matmul_8mx": Prior(0.88, 0.10, "the same; block scales cost a little more", share=True),
    "matmul_4": Prior(0.80, 0.15, "as above, twice", share=True),
    "attention": Prior(0.55, 0.20, "FlashAttention-2 on A100: 50 to 73% of peak forward, up to 63% backward (Dao 2023, section 4.1)"),
    "attention_ported": Prior(0.50, 0.20, "FlashAttention-2 on Hopper against kernels written for it: 35 of 75% of peak forward, less apart backward (Shah et al. 2024)"),
    "memory": Prior(0.80, 0.15, "STREAM-like kernels reach 80 to 92% of HBM peak", share=True),
    "reread": Prior(1.0, 0.30, "tiles of a product fetch their operands more than once; ragged edges waste the rest"),
    "expert": Prior(0.90, 0.10, "grouped products against one product of the same FLOPs; what small ones lose is counted apart", share=True, stage=3),
    "expert_narrow": Prior(0.85, 0.15, "experts' products in 8 bits and fewer: each expert's rows are cast, scaled and padded by themselves", share=True, stage=3),
    "expert_biased": Prior(0.80, 0.30, "biases of grouped products are added expert by expert, their gradients summed likewise", share=True, stage=3),
    "expert_call_seconds": Prior(5e-5, 1.0, "half a dozen launches for each local expert", stage=3),
    "layer_seconds": Prior(2e-5, 1.0, "a dozen kernel launches of a few microseconds"),
    "expert_yearly": Prior(1.15, 0.10, "experts' kernels improve: one source halved its step in half a year, others hardly moved", stage=3),
    "expert_layer_seconds": Prior(5e-4, 1.0, "routing and its host synchronisation", stage=3),
    "peer_seconds": Prior(1.5e-5, 1.0, "an exchange of 128 tokens over EFA: 155 to 397 us beyond its bytes for 8 to 24 members on other machines (README of UCCL-EP, low-latency kernels on p6-b200)", stage=3),
    "step_seconds": Prior(5e-3, 1.0, "data loading, logging, gradient norm"),
    "scaleup": Prior(1.0, 0.30, "collectives inside a step against those timed alone"),
    "scaleup_torus": Prior(1.0, 0.30, "the same on rings and tori, whose rings XLA keeps busy", stage=2),
    "scaleout": Prior(1.0, 0.30, "the same over the cluster network"),
    "straggling": Prior(0.01, 0.70, "slow-down per doubling of the replicas"),
    "other_stack": Prior(0.70, 0.30, "speed of a stack's own kernels against the best stack's, where it is another"),
    "ported": Prior(0.70, 0.30, "PyTorch's own stack where it is a port: public PyTorch on MI300X against Nvidia's (SemiAnalysis 2024)", stage=2),
    "exposed_data": Prior(0.50, 0.50, "share of data-parallel traffic not hidden", share=True),
    "exposed_tensor": Prior(0.50, 0.50, "share of tensor-parallel traffic not hidden", share=True),
    "exposed_expert": Prior(0.60, 0.50, "share of expert exchange not hidden; above one where an exchange takes longer than its bytes", stage=3),
    "exposed_scheduled": Prior(0.30, 0.50, "the same where the schedule runs one micro-batch's exchange beside another's computing: half of what shows otherwise", share=True, stage=3),
    "uneven": Prior(0.30, 0.50, "how much fuller than the mean the fullest chip is where the router decides: steps 9 to 24% longer than with balance forced (Megatron MoE Model Zoo, Qwen3-235B-A22B on 256 H100)", stage=3),
}  # fmt: skip
"""Priors of the generic constants."""

FACTOR_WIDTHS = {
    ("family", "matmul"): 0.06,
    ("family", "attention"): 0.30,
    ("family", "memory"): 0.10,
    ("chip", "matmul"): 0.05,
    ("stack", "kernels"): 0.30,
    ("stack", "matmul"): 0.08,
    ("stack", "expert"): 0.20,
    ("software", "kernels"): 0.15,
    ("software", "matmul"): 0.02,
    ("software", "expert"): 0.12,
}
"""Prior standard deviation of the logarithm of each kind of factor (prior median one). A name's factor stands about its
class's (partial pooling: Gelman and Hill 2007, chapter 12)."""
UNMEASURED_FAMILY = 0.35
"""The same for a family's matmul factor where nobody measured its large products by themselves: about the scatter of the
factors that were found for such families."""
THIN_STACK = 3
"""Sources below which a class of stacks has no factor of its own: its names stand about `other`."""
SHARES = tuple(name for name, one in GENERIC_PRIORS.items() if one.share)
"""Generic constants that cannot exceed one."""


MIDDLE_RELEASE = 2025.5
"""The middle of all releases, for runs without a date."""
EXPECTED_OUTSIDE = {
    "expert_year": MIDDLE_RELEASE,
    "reserve_bytes": 0.0,
    "reserve_bytes_fused": 0.0,
    "reserve_share": 0.0,
}
"""Constants that have no prior, where no run has been looked at: the middle of the releases, and nothing kept in memory
beside what a plan says."""


def medians() -> dict[Key, float]:
    """The generic constants' expected values."""
    keys = [("generic", "all", name) for name in GENERIC_PRIORS]
    return {key: float(np.exp(prior(key)[0])) for key in keys}


def expected() -> Constants:
    """All constants as expected before any run is looked at."""
    outside = {("generic", "all", name): value for name, value in EXPECTED_OUTSIDE.items()}
    return Constants(medians() | outside)


def prior(key: Key) -> tuple[float, float]:
    """(logarithm of the median, standard deviation of the logarithm) expected of a constant."""
    level, _, name = key
    if level == "generic":
        return math.log(GENERIC_PRIORS[name].median), GENERIC_PRIORS[name].width
    if (level, name) == ("family", "matmul") and key[1] not in measured_families():
        return 0.0, UNMEASURED_FAMILY
    return 0.0, FACTOR_WIDTHS[level, name]

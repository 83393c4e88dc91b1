"""What is expected of the training model's constants before any run is looked at, and in which order they are fitted."""

from __future__ import annotations

import math

from training_moat.predict.attainable import measured_families

Key = tuple[str, str, str]
"""(level, key, name) of a constant, such as ("family", "nvidia-hopper", "attention")."""

GENERIC_PRIORS: dict[str, tuple[float, float, str]] = {
    "matmul_16": (0.95, 0.05, "share of what a large product reaches by itself (table matmul_maxima) that a training run sustains"),
    "matmul_8": (0.92, 0.07, "the same; FP8 products are limited by power sooner than BF16 ones"),
    "matmul_8mx": (0.88, 0.10, "the same; block scales cost a little more"),
    "matmul_4": (0.80, 0.15, "as above, twice"),
    "attention": (0.55, 0.20, "FlashAttention-2 on A100: 50 to 73% of peak forward, up to 63% backward (Dao 2023, section 4.1)"),
    "attention_ported": (0.50, 0.20, "FlashAttention-2 on Hopper against kernels written for it: 35 of 75% of peak forward, less apart backward (Shah et al. 2024)"),
    "memory": (0.80, 0.15, "STREAM-like kernels reach 80 to 92% of HBM peak"),
    "reread": (1.0, 0.30, "tiles of a product fetch their operands more than once; ragged edges waste the rest"),
    "expert": (0.90, 0.10, "grouped products against one product of the same FLOPs; what small ones lose is counted apart"),
    "expert_narrow": (0.85, 0.15, "experts' products in 8 bits and fewer: each expert's rows are cast, scaled and padded by themselves"),
    "expert_biased": (0.80, 0.30, "biases of grouped products are added expert by expert, their gradients summed likewise"),
    "expert_call_seconds": (5e-5, 1.0, "half a dozen launches for each local expert"),
    "layer_seconds": (2e-5, 1.0, "a dozen kernel launches of a few microseconds"),
    "expert_yearly": (1.15, 0.10, "experts' kernels improve: one source halved its step in half a year, others hardly moved"),
    "expert_layer_seconds": (5e-4, 1.0, "routing and its host synchronisation"),
    "peer_seconds": (1.5e-5, 1.0, "an exchange of 128 tokens over EFA: 155 to 397 us beyond its bytes for 8 to 24 members on other machines (README of UCCL-EP, low-latency kernels on p6-b200)"),
    "step_seconds": (5e-3, 1.0, "data loading, logging, gradient norm"),
    "scaleup": (1.0, 0.30, "collectives inside a step against those timed alone"),
    "scaleup_torus": (1.0, 0.30, "the same on rings and tori, whose rings XLA keeps busy"),
    "scaleout": (1.0, 0.30, "the same over the cluster network"),
    "straggling": (0.01, 0.70, "slow-down per doubling of the replicas"),
    "other_stack": (0.70, 0.30, "speed of a stack's own kernels against the best stack's, where it is another"),
    "ported": (0.70, 0.30, "PyTorch's own stack where it is a port: public PyTorch on MI300X against Nvidia's (SemiAnalysis 2024)"),
    "exposed_data": (0.50, 0.50, "share of data-parallel traffic not hidden"),
    "exposed_tensor": (0.50, 0.50, "share of tensor-parallel traffic not hidden"),
    "exposed_expert": (0.60, 0.50, "share of expert exchange not hidden; above one where chips wait for the fullest experts"),
}  # fmt: skip
"""Prior median, prior standard deviation of its logarithm, and why."""

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
SHARES = (
    "memory",
    "expert",
    "expert_narrow",
    "expert_biased",
    "matmul_16",
    "matmul_8",
    "matmul_8mx",
    "matmul_4",
    "exposed_data",
    "exposed_tensor",
)
"""Generic constants that cannot exceed one."""
STAGE_OF_CONSTANT = {
    "ported": 2,
    "scaleup_torus": 2,
    "expert": 3,
    "expert_narrow": 3,
    "expert_biased": 3,
    "expert_layer_seconds": 3,
    "expert_call_seconds": 3,
    "expert_yearly": 3,
    "exposed_expert": 3,
    "peer_seconds": 3,
}
"""Generic constants that are set later than in the first stage: those that only its rows feel."""


def prior(key: Key) -> tuple[float, float]:
    """(logarithm of the median, standard deviation of the logarithm) expected of a constant."""
    level, _, name = key
    if level == "generic":
        median, width, _ = GENERIC_PRIORS[name]
        return math.log(median), width
    if (level, name) == ("family", "matmul") and key[1] not in measured_families():
        return 0.0, UNMEASURED_FAMILY
    return 0.0, FACTOR_WIDTHS[level, name]

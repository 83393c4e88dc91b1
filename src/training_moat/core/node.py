"""A chip in its cluster as training sees it, and the measured constants of the chip and its software.

All fields may be arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

from training_moat.core.elementwise import Number
from training_moat.core.fabrics import Fabric

LOGIT_BYTES, FUSED_LOGIT_BYTES = 24.0, 10.0
"""Traffic per logit: product out, FP32 copy, softmax in and out, gradient in and out; where softmax and loss are one kernel,
the product out, read forward and backward, the gradient out and in, all in 16 bits."""

HOST_SHARE = 0.8
"""Of a host's memory or its link, the share that transfers sustain: as of PCI Express."""
HOST_BYTES_PER_S = 25e9
"""Sustained rate between a chip and its host, and of the host's own pass over offloaded states, per chip: four fifths of
the 31.5 GB/s and direction of 16 lanes of PCI Express 4.0 (PCI-SIG 2017), where nothing better is known."""


@dataclass(frozen=True)
class Node:
    """One chip inside its cluster, as training sees it.

    `peak_flops` is the dense peak of the matmul format, `wide_peak_flops` of the 16-bit format that attention
    and the vocabulary layer keep; `value_bytes` the matmul format's bytes per value. `scaleup` joins
    `scaleup.domain_chips` chips, `scaleout` the rest. `weight_bytes_per_s`: where weights stream from a slower tier than
    the one that keeps activations (wafers, RDUs), its rate; else zero. `near_bytes`: what that fast tier holds; weights
    that take no more than half of it stay there.
    """

    peak_flops: Number
    wide_peak_flops: Number
    value_bytes: Number
    memory_bytes_per_s: Number
    scaleup: Fabric
    scaleout: Fabric
    host_bytes_per_s: Number = HOST_BYTES_PER_S
    weight_bytes_per_s: Number = 0.0
    near_bytes: Number = 0.0


@dataclass(frozen=True)
class Efficiency:
    """The measured constants of a chip and its software.

    `matmul` and `attention`: share of peak a very large matmul and fused attention reach. `memory`: share of the data
    sheet's memory bandwidth that streams sustain. `attention_unit`: width of a matrix unit, which heads may not fill (zero:
    not known, taken as filled). `ramp`: inner width of a 16-bit product that computes as long as its result's fixed work
    takes (filling the units, writing the tile out). `elementwise`: traffic of a layer's norms, residuals and activation
    functions over the least that `layer_step.elementwise_bytes` counts. `expert`: share of the dense matmul rate that
    grouped expert matmuls keep, `expert_biased`: share of that which is left where they carry biases; `uneven`: how much
    more than the mean the fullest chip's experts get. `overlap_data`, `overlap_tensor`, `overlap_expert`: share of those
    collectives that hides behind computation, `overlap_scheduled` of an exchange that the schedule runs beside another
    micro-batch. `layer_seconds`: fixed cost per layer and pass (gaps between kernels), and `expert_layer_seconds` and
    `expert_call_seconds` what routing and each local expert add to it. `tensor_layer_seconds`: what the host takes for a
    layer and pass whose operations it issues one by one on tensors that are split over chips. `graphed`: share of the fixed
    cost of a layer and of its routing that graphs of single modules leave out. `step_seconds`: fixed cost per step. `software`: how fast the stack's own kernels (norms, casts, unfused attention) are against the reference
    stack, `matmul_software` how well it uses the vendor's matmuls and `expert_software` how fast its expert layers are.
    `peer_seconds`: what an expert exchange waits for each member in another domain, where messages go through the host.
    `straggling`: slow-down per doubling of the data-parallel replicas. `bubble`: what the pipeline's schedule leaves of the
    bubble of one forward, one backward. `logit_bytes`: the loss's traffic per logit.
    """

    matmul: Number
    attention: Number
    memory: Number
    ramp: Number = 0.0
    elementwise: Number = 1.0
    expert: Number = 1.0
    expert_biased: Number = 1.0
    uneven: Number = 0.0
    overlap_data: Number = 0.9
    overlap_tensor: Number = 0.0
    overlap_expert: Number = 0.0
    overlap_scheduled: Number = 0.0
    layer_seconds: Number = 0.0
    expert_layer_seconds: Number = 0.0
    expert_call_seconds: Number = 0.0
    tensor_layer_seconds: Number = 0.0
    graphed: Number = 0.0
    expert_software: Number = 1.0
    peer_seconds: Number = 0.0
    step_seconds: Number = 0.0
    software: Number = 1.0
    matmul_software: Number = 1.0
    straggling: Number = 0.0
    bubble: Number = 1.0
    logit_bytes: Number = LOGIT_BYTES
    attention_unit: Number = 0.0

"""What an optimizer keeps of every weight it trains, in bytes, and when its gradients stand beside the activations."""

from __future__ import annotations

from training_moat.core.elementwise import Number, maximum, some, where
from training_moat.core.plan import Plan

WEIGHT_BYTES = 2.0
"""A weight as it is held and gathered: 16 bits."""
MASTER_BYTES = 4.0
NF4_BYTES = (4 + 0.127) / 8
"""A frozen weight in four bits with its constants, themselves quantized (Dettmers et al. 2023, section 3)."""
NF4_PLAIN_BYTES = (4 + 32 / 64) / 8
"""The same with a constant of 32 bits for every block of 64 weights (same section), which bitsandbytes keeps unless told to
quantize it (`bnb_4bit_use_double_quant`)."""

OPTIMIZER_BYTES = {
    "sgd": 8.0,
    "adam": 12.0,
    "adamw": 12.0,
    "nadam": 12.0,
    "adam8bit": 6.0,
    "adam4bit": 4.0 + 2 * (4 / 8 + 4 / 128),
    "adafactor": 4.0,
    "lion": 8.0,
    "muon": 8.0,
}
"""Bytes of optimizer state per weight, FP32 master copy included: momentum for SGD, Lion (Chen et al. 2023) and Muon (Jordan
et al. 2024), two moments for Adam (Kingma and Ba 2015) and NAdam (Dozat 2016), one byte a moment for 8-bit Adam
(Dettmers et al. 2022), four bits and an FP32 scale for each 128 of them for 4-bit Adam (Li et al. 2023; torchao,
low_bit_optim), factored moments, negligible, for Adafactor (Shazeer and Stern 2018)."""

ORTHOGONAL = ("muon",)
"""Optimizers that make the step of every matrix orthogonal, by products of its momentum (`orthogonal_steps`)."""
FACTORED = ("adafactor",)
"""Optimizers whose second moments are kept by rows and columns."""
FACTORED_VALUES = 17.0
"""Values read and written for a weight in the operations of PyTorch's Adafactor, of the weights' own width (torch/optim,
_adafactor.py: two norms of the gradient and one of the weight; the moments' product, divided, bounded and rooted; the
product with the gradient, its norm, and the sum with the weight)."""
NARROW_MOMENTS = ("adam8bit", "adam4bit")
"""Optimizers whose moments take as many bytes whatever type the weights have."""


def optimizer_bytes(optimizer: str | Number, master_weights: bool = True) -> Number:
    """Bytes of state per trained weight of an optimizer by name (or as given, in bytes), the FP32 copy of the weights
    included unless `master_weights` is false: in pure 16-bit training the moments have the weights' own type (PyTorch,
    optim/adamw.py: `torch.zeros_like` of the parameter), and those of 8-bit and 4-bit Adam have their own width."""
    if not isinstance(optimizer, str):
        return optimizer
    whole = OPTIMIZER_BYTES[optimizer]
    if master_weights:
        return whole
    moments = whole - MASTER_BYTES
    return moments if optimizer in NARROW_MOMENTS else moments * WEIGHT_BYTES / MASTER_BYTES


def gradients_at_peak(
    made: Number, activations: Number, plan: Plan, torch_native: Number
) -> Number:
    """Of all gradients that a step has `made`, the bytes that stand at its peak: all, where they have buffers of their own or
    add up over several passes. PyTorch's optimizers (`torch_native`, 0 or 1) let them go after each step (`zero_grad`,
    `set_to_none`), so that there are none when the activations are most; gradients come as those go, layer by layer, and
    the peak is the larger of the two."""
    if not some(torch_native):
        return made
    anew = (torch_native > 0) & (plan.micro_batches <= 1)
    return where(anew, maximum(made - activations, 0.0), made)

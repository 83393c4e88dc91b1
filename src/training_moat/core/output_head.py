"""What the output head leaves in memory: logits, their gradients, and what the caller of a model holds of its answer."""

from __future__ import annotations

from training_moat.core.elementwise import Number, maximum, some, where
from training_moat.core.plan import Plan, stage_layers
from training_moat.core.workload import Transformer, kv_values_per_token

BY_WIDTH = 1
"""A number of `loss_chunks` that says: as many as make the logits of one as large as the hidden states of all tokens."""


def logit_bytes(
    model: Transformer,
    plan: Plan,
    eager: Number = 0,
    torch_native: Number = 0,
    loss_chunks: Number = 0,
    in_place: Number = 0,
) -> Number:
    """Logits of one micro-batch, or of one of its `loss_chunks` where head and loss take these one after another, each with
    its gradient (Liger, fused_linear_cross_entropy.py, of whose chunks there are as many as the vocabulary is wider than
    the hidden states: `BY_WIDTH`; torchtitan, `ChunkedCELoss`): the 16-bit product and its FP32 copy, over which stacks
    with fused kernels write the gradient (Megatron-Core's and FlashAttention's fused cross entropy); older ones keep that
    apart, in FP32, and stacks that run operation by operation (`eager`) its 16-bit cast as well: 12 bytes, as transformers'
    loss holds the softmax, its gradient and that of the logits in FP32. Where the vocabulary is split, PyTorch's own loss
    (`torch_native`) takes the exponentials apart, in FP32 (torch.distributed.tensor.parallel, loss.py). Where loss and
    gradient are one kernel that writes over the 16-bit product (`in_place`: llm.c, fused_classifier.cuh), that is all.
    """
    tokens = plan.micro_tokens
    apart = where((plan.flash_attention <= 0) | (eager > 0), 4, 0)
    split = (eager > 0) & (torch_native > 0) & (plan.tp > 1)
    width = 6 + apart + where(eager > 0, 2, 0) + where(split, 4, 0)
    if some(in_place):
        width = where(in_place > 0, 2, width)
    whole = width * tokens * model.vocab / plan.tp
    if not some(loss_chunks):
        return whole
    parts = where(loss_chunks == BY_WIDTH, model.vocab / model.hidden, loss_chunks)
    return whole / maximum(parts, 1)


def kept_output_bytes(model: Transformer, plan: Plan) -> Number:
    """What the caller of one of Hugging Face's models holds while the backward pass runs: the logits, in FP32 (transformers
    4.28 to 4.44), and of recomputed layers keys and values in 16 bits, which it gets unless it says not to (`use_cache`;
    llama-cookbook, pull request 165). One micro-batch, one stage."""
    tokens = plan.micro_tokens
    share = plan.recomputed_layers * stage_layers(model, plan) / model.layers / plan.tp
    logits = 4.0 * tokens * model.vocab / plan.tp
    return 2.0 * tokens * kv_values_per_token(model) * share + logits

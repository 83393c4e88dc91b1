"""What Muon adds to a step: products that make every matrix's momentum orthogonal before it is subtracted.

Jordan et al. 2024 ("Muon: An optimizer for hidden layers in neural networks"): per round of the Newton-Schulz iteration
$X \\leftarrow aX + (bA + cA^2)X$ with $A = XX^T$, in 16 bits, on the matrices inside layers alone.
"""

from __future__ import annotations

from training_moat.core.elementwise import Number, maximum, minimum, some, where
from training_moat.core.memory import own_share
from training_moat.core.node import Efficiency, Node
from training_moat.core.plan import Plan, stage_layers
from training_moat.core.workload import Transformer

ROUNDS = 5
"""Rounds of the iteration (Jordan et al. 2024; PyTorch, `torch.optim.Muon`: `ns_steps`)."""


def matrix_flops(rows: Number, columns: Number) -> Number:
    r"""FLOPs that one matrix takes: per round $2(2nm^2 + m^3)$, with m its smaller side and n the larger (ibid., "Runtime
    analysis")."""
    small, large = minimum(rows, columns), maximum(rows, columns)
    return ROUNDS * 2 * (2 * large * small**2 + small**3)


def _attention_flops(model: Transformer) -> Number:
    """Of one layer's attention: queries, keys, values and output, or the factors of latent ones."""
    h, heads = model.hidden, model.heads
    queries, values = heads * model.query_key_dim, heads * model.value_dim
    output = matrix_flops(values, h)
    kept = model.kv_heads
    plain = matrix_flops(h, queries) + matrix_flops(h, kept * model.query_key_dim)
    plain = plain + matrix_flops(h, kept * model.value_dim)
    if not some(model.kv_lora_rank):
        return plain + output
    q, kv = model.q_lora_rank, model.kv_lora_rank
    factored = matrix_flops(h, q) + matrix_flops(q, queries)
    latent = where(q > 0, factored, matrix_flops(h, queries))
    latent = latent + matrix_flops(h, kv + model.qk_rope_head_dim)
    latent = latent + matrix_flops(kv, heads * (model.qk_nope_head_dim + model.value_dim))
    return where(kv > 0, latent, plain) + output


def flops_per_stage(model: Transformer, plan: Plan) -> tuple[Number, Number]:
    """FLOPs of one stage's matrices on one chip of those that tensor parallelism cuts them over, dense and expert ones."""
    matrices, routed = 2 + model.gated_ffn, model.moe_share
    dense = (1 - routed) * matrix_flops(model.hidden, model.ffn)
    shared = routed * matrix_flops(model.hidden, model.shared_experts * model.expert_ffn)
    whole = _attention_flops(model) + matrices * (dense + shared)
    experts = routed * model.experts * matrices * matrix_flops(model.hidden, model.expert_ffn)
    layers = stage_layers(model, plan)
    return layers * whole / plan.tp, layers * experts / plan.expert_chips


def orthogonal_seconds(model: Transformer, plan: Plan, node: Node, eff: Efficiency) -> Number:
    """Seconds of a step in which the chip makes the step's matrices orthogonal: its share of them where replicas share the
    optimizer out, none of adapters and none where the host steps. What Python takes to launch the products is not counted,
    nor what it takes to bring the parts of a matrix together."""
    if not some(plan.orthogonal):
        return 0.0
    own = own_share(plan, flops_per_stage(model, plan), 1)
    here = (plan.orthogonal > 0) & (plan.offload < 1) & (plan.lora_rank <= 0) & (plan.streamed <= 0)
    return where(here, own / (node.wide_peak_flops * eff.matmul), 0.0)

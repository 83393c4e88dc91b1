"""What low-rank adapters and frozen weights of few bits add to a layer's time in a training step."""

from __future__ import annotations

from training_moat.core.adapters import adapter_pass_bytes, lora_params
from training_moat.core.elementwise import Number, some, where
from training_moat.core.node import Efficiency, Node
from training_moat.core.optimizer_states import WEIGHT_BYTES
from training_moat.core.plan import Plan
from training_moat.core.workload import Transformer, expert_params_total, layered_params


def widening_seconds(model: Transformer, plan: Plan, node: Node, eff: Efficiency) -> Number:
    """One pass's writing out in 16 bits of one layer's frozen weights, which are kept in fewer (Dettmers et al. 2023, section
    3; bitsandbytes, `MatMul4Bit`): they are read and written once for every product."""
    if not some(WEIGHT_BYTES - plan.base_bytes):
        return 0.0
    experts = expert_params_total(model) / plan.expert_chips
    weights = (layered_params(model) / plan.tp + experts) / model.layers
    moved = (plan.base_bytes + WEIGHT_BYTES) * weights
    narrow = (plan.lora_rank > 0) & (plan.base_bytes < WEIGHT_BYTES)
    return where(narrow, moved / (node.memory_bytes_per_s * eff.memory), 0.0)


def adapter_seconds(
    model: Transformer, plan: Plan, node: Node, eff: Efficiency
) -> tuple[Number, Number]:
    """One layer's low-rank adapters, forward, backward and again where the layer is recomputed: (their products, the traffic of
    what goes through them: `adapter_pass_bytes`), nothing where there are none."""
    if not some(plan.lora_rank):
        return 0.0, 0.0
    tokens, again = plan.micro_tokens, plan.recomputed_layers
    weights = lora_params(model, plan.lora_rank, plan.lora_targets) / model.layers / plan.tp
    products = (6 + 2 * again) * tokens * weights / (node.peak_flops * eff.matmul)
    forward, backward = adapter_pass_bytes(model, plan.lora_targets, plan.adapter_bytes)
    passed = tokens * ((1 + again) * forward + backward) / model.layers / plan.tp
    traffic = passed / (node.memory_bytes_per_s * eff.memory)
    adapted = plan.lora_rank > 0
    return where(adapted, products, 0.0), where(adapted, traffic, 0.0)

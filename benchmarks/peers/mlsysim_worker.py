"""mlsysim on our cases, with its defaults.

`DistributedModel` on its own DGX A100 nodes and HDR InfiniBand, efficiency 0.5 (its default, inside the 0.40 to
0.55 its README gives for Megatron-LM), the interleaving and micro-batches of the run, full recomputation where the
run had it. A model is described as its registry describes GPT-3: two FLOPs per parameter and token. Its own plan
search is `ParallelismOptimizer`, asked once with and once without recomputation.
"""

from functools import lru_cache

import mlsysim
from mlsysim.core.units import Q_
from mlsysim.models.types import TransformerWorkload
from mlsysim.solvers import DistributedModel, ParallelismOptimizer
from mlsysim.systems.types import Fleet
from worker import serve

SOLVER, OPTIMIZER = DistributedModel(), ParallelismOptimizer()


@lru_cache(maxsize=64)
def fleet(chips: int) -> Fleet:
    if chips % 8:
        raise ValueError(f"{chips} chips are no whole DGX A100 nodes")
    systems = mlsysim.Systems
    return Fleet(
        name="run",
        node=systems.Nodes.DGX_A100,
        count=chips // 8,
        fabric=systems.Fabrics.InfiniBand_HDR,
    )


@lru_cache(maxsize=64)
def model(params: float, layers: int, hidden: int, heads: int) -> TransformerWorkload:
    return TransformerWorkload(
        name="model",
        architecture="Transformer",
        parameters=Q_(params, "param"),
        inference_flops=Q_(2 * params, "flop"),
        layers=layers,
        hidden_dim=hidden,
        heads=heads,
    )


def shape(case: dict) -> TransformerWorkload:
    return model(*(case[key] for key in ("params", "layers", "hidden", "heads")))


def predict(case: dict) -> tuple[float, bool]:
    result = SOLVER.solve(
        shape(case),
        fleet(case["chips"]),
        batch_size=case["global_batch"],
        tp_size=case["tp"],
        pp_size=case["pp"],
        v_stages=case["virtual_stages"],
        microbatch_count=case["global_batch"] // (case["dp"] * case["micro_batch"]),
        zero_stage=case["zero_stage"],
        activation_recomputation=case["recompute"] == 2,
        seq_len=case["seq_len"],
    )
    return result.step_latency_total.m_as("s"), bool(result.node_profile.feasible)


def search(case: dict) -> dict:
    found, plans, refusals = [], 0, []
    for recompute in (False, True):
        try:
            result = OPTIMIZER.solve(
                shape(case),
                fleet(case["chips"]),
                batch_size=case["global_batch"],
                seq_len=case["seq_len"],
                activation_recomputation=recompute,
            )
        except ValueError as error:
            refusals.append(str(error))
            continue
        plans += result.total_searched
        found.append(
            {
                **result.best_config,
                "recompute": 2 * recompute,
                "seconds": result.best_step_time.m_as("s"),
            }
        )
    if not found:
        return {"error": refusals[0]}
    return {"plans": plans, "best": min(found, key=lambda plan: plan["seconds"])}


if __name__ == "__main__":
    serve("mlsysim", predict, search)

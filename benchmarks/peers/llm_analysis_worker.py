"""llm-analysis on our cases, set as its README advises.

Flops efficiency 0.5 ("literature reports up to 0.5 for large scale model training"), memory efficiency 0.9, its own
description of the A100 SXM 80 GB, 16-bit weights and activations, the recomputation of the run, sequence parallelism
where the run had it, and its ZeRO stage. The step time is its `latency_per_iter`.
"""

from functools import lru_cache

from llm_analysis.analysis import ActivationRecomputation, DSZeRO, LLMAnalysis, logger
from llm_analysis.config import (
    ModelConfig,
    ParallelismConfig,
    get_dtype_config_by_name,
    get_gpu_config_by_name,
)
from worker import serve

logger.setLevel("CRITICAL")
GPU, DTYPE = get_gpu_config_by_name("a100-sxm-80gb"), get_dtype_config_by_name("w16a16e16")


@lru_cache(maxsize=64)
def model(layers: int, hidden: int, heads: int, ffn: int, vocab: int, seq_len: int) -> ModelConfig:
    return ModelConfig(
        "model", layers, heads, hidden, vocab, max_seq_len=seq_len, ffn_embed_dim=ffn
    )


def predict(case: dict) -> tuple[float, bool]:
    parallel = ParallelismConfig(
        tp_size=case["tp"],
        pp_size=case["pp"],
        dp_size=case["dp"],
        sp_size=case["tp"] if case["sequence_parallel"] else 1,
    )
    shape = model(*(case[key] for key in ("layers", "hidden", "heads", "ffn", "vocab", "seq_len")))
    analysis = LLMAnalysis(
        shape, GPU, DTYPE, parallel, flops_efficiency=0.5, hbm_memory_efficiency=0.9
    )
    summary = analysis.training(
        batch_size_per_gpu=case["micro_batch"],
        global_batch_size=case["global_batch"],
        seq_len=case["seq_len"],
        activation_recomputation=ActivationRecomputation(case["recompute"]),
        ds_zero=DSZeRO(case["zero_stage"]),
        flash_attn=bool(case["flash_attention"]),
    )
    return summary["latency_per_iter"], summary["memory_left_per_gpu"] >= 0


if __name__ == "__main__":
    serve("llm-analysis", predict)

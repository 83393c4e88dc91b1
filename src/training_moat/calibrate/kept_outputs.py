"""How much of a layer is done again where the outputs of some of its products are kept or offloaded."""

from __future__ import annotations

import pandas as pd

OFFLOADED_PROJECTIONS = "qkv_proj_offloaded"
"""MaxText's policy that keeps, on the host, what the projections of queries, keys and values gave, and nothing else
(`save_and_offload_only_these_names` in layers/decoders.py)."""
KEPT_PROJECTIONS = "full but projections"
"""The same with attention's output projection (AXLearn's `RematRegexSavePatterns.NATIVE_ATTENTION`)."""


def redone_share(frame: pd.DataFrame) -> pd.Series:
    """Share of what full recomputation does again that runs of a `recompute` do: one where no output is kept.

    Multiply-adds a token of a dense layer: its projections, the causal half of its scores and their use, and the products of
    its feed-forward block, of which the backward pass needs the last one's output no more. Columns: recompute, hidden, heads,
    kv_heads, head_dim, ffn, gated_ffn, seq_len.
    """
    queries = frame["hidden"] * frame["heads"] * frame["head_dim"]
    keys_and_values = 2 * frame["hidden"] * frame["kv_heads"] * frame["head_dim"]
    scores = frame["seq_len"] * frame["heads"] * frame["head_dim"]
    up = (1 + frame["gated_ffn"]) * frame["hidden"] * frame["ffn"]
    # The output projection is as large as that of the queries.
    whole = 2 * queries + keys_and_values + scores + up
    kept = (queries + keys_and_values).where(frame["recompute"].eq(OFFLOADED_PROJECTIONS), 0.0)
    kept = kept.mask(frame["recompute"].eq(KEPT_PROJECTIONS), 2 * queries + keys_and_values)
    return (1 - kept / whole).where(kept.gt(0), 1.0)

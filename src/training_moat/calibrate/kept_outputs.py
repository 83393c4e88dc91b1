"""What of a layer's products is kept where the rest is done again, and how much that rest is."""

from __future__ import annotations

import pandas as pd

OFFLOADED_PROJECTIONS = "qkv_proj_offloaded"
"""MaxText's policy that keeps, on the host, what the projections of queries, keys and values gave, and nothing else
(`save_and_offload_only_these_names` in layers/decoders.py)."""
KEPT_PROJECTIONS = "full but projections"
"""The same with attention's output projection (AXLearn's `RematRegexSavePatterns.NATIVE_ATTENTION`)."""
KEPT_QUERIES = "queries, keys, values and the attention result"
"""What runs whose share of work is stated keep, in the words of their notes."""


def redone_share(frame: pd.DataFrame) -> pd.Series:
    """Share of what full recomputation does again that runs of a `recompute` do: one where no output is kept.

    Multiply-adds a token of a dense layer: its projections, the causal half of its scores and their use, and the products of
    its feed-forward block, of which the backward pass needs the last one's output no more. Columns: recompute, hidden, heads,
    kv_heads, head_dim, ffn, gated_ffn, seq_len.
    """
    queries, keys_and_values = (frame["hidden"] * width for width in _widths(frame))
    scores = frame["seq_len"] * frame["heads"] * frame["head_dim"]
    up = (1 + frame["gated_ffn"]) * frame["hidden"] * frame["ffn"]
    # The output projection is as large as that of the queries.
    whole = 2 * queries + keys_and_values + scores + up
    kept = (queries + keys_and_values).where(frame["recompute"].eq(OFFLOADED_PROJECTIONS), 0.0)
    kept = kept.mask(frame["recompute"].eq(KEPT_PROJECTIONS), 2 * queries + keys_and_values)
    return (1 - kept / whole).where(kept.gt(0), 1.0)


def values(frame: pd.DataFrame) -> pd.Series:
    """Values a token and layer of the kept outputs: zero where none are said to be. Columns as for `redone_share`, and
    notes."""
    queries, keys_and_values = _widths(frame)
    stated = frame["notes"].fillna("").str.contains(KEPT_QUERIES, regex=False)
    own = frame["recompute"].eq(OFFLOADED_PROJECTIONS) | stated
    kept = (queries + keys_and_values).where(own, 0.0)
    projected = queries + keys_and_values + frame["hidden"]
    return kept.mask(frame["recompute"].eq(KEPT_PROJECTIONS), projected)


def _widths(frame: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Values a token of the queries, and of keys and values together."""
    return frame["heads"] * frame["head_dim"], 2 * frame["kv_heads"] * frame["head_dim"]

"""What is done again where the outputs of some products are kept."""

import pandas as pd
import pytest

from training_moat.calibrate import kept_outputs, measured_training

LAYER = {
    "hidden": 8192.0,
    "heads": 64.0,
    "kv_heads": 8.0,
    "head_dim": 128.0,
    "ffn": 28672.0,
    "gated_ffn": 1.0,
    "seq_len": 4096.0,
}


def share(recompute):
    return kept_outputs.redone_share(pd.DataFrame([LAYER | {"recompute": recompute}]))[0]


def test_the_more_projections_are_kept_the_less_of_a_layer_is_done_again():
    # Llama 2 70B: of 654 million multiply-adds a token, those of the projections are 84 and, with the output's, 151.
    assert share("full") == 1
    assert share("qkv_proj_offloaded") == pytest.approx(1 - 84 / 654, abs=1e-3)
    assert share("full but projections") == pytest.approx(1 - 151 / 654, abs=1e-3)


def test_kept_outputs_are_counted_by_their_widths():
    def values(recompute, notes=""):
        row = LAYER | {"recompute": recompute, "notes": notes}
        return kept_outputs.values(pd.DataFrame([row]))[0]

    assert values("full") == 0
    assert values("qkv_proj_offloaded") == 8192 + 2 * 1024
    assert values("full but projections") == 2 * 8192 + 2 * 1024
    kept = "keeps the layer input, queries, keys, values and the attention result"
    assert values("full but attention", kept) == 8192 + 2 * 1024


def test_offloaded_projections_leave_the_rest_of_a_layer_to_be_done_again():
    runs = measured_training.configurations()
    runs = runs[(runs["source"] == "maxtext_tpu") & runs["recompute"].eq("qkv_proj_offloaded")]
    assert len(runs) == 6
    # Their heads are together four times as wide as the model, so that the projections are most of a layer.
    assert runs["recompute_level"].eq(2).all() and runs["recompute_share"].between(0.4, 0.9).all()

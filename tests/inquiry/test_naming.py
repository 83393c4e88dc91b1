"""Tables for readers name chips and models."""

import pandas as pd

from training_moat.inquiry import naming


def test_ids_become_names_and_other_words_stay():
    frame = pd.DataFrame(
        {"chip": ["wse-3", "a board"], "model_id": ["llama3.1-70b", None], "n": [1, 2]}
    )
    found = naming.named(frame)
    assert found["chip"].tolist() == ["WSE-3 / CS-3", "a board"]
    assert found["model_id"].iloc[0] == "Llama 3.1 70B" and found["model_id"].isna().iloc[1]
    assert found["n"].tolist() == [1, 2] and frame["chip"].iloc[0] == "wse-3"


def test_a_printed_table_has_words_for_columns_and_engines():
    frame = pd.DataFrame({"chip_id": ["h100-sxm"], "software": ["vllm-early-2025"], "p05": [1.0]})
    shown = naming.readable(frame, p05="low end")
    assert list(shown.columns) == ["chip", "engine", "low end"]
    assert shown.iloc[0].tolist() == ["H100 SXM5", "vLLM, early 2025", 1.0]
    names = [naming.engine_name(key) for key in ("trt-llm-2026", "cerebras-2024", "llama.cpp")]
    assert names == ["TensorRT-LLM, 2026", "Cerebras, 2024", "llama.cpp"]

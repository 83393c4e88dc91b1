"""Tables for readers name chips and models."""

import pandas as pd

from training_moat.catalog import tables
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


def test_sources_are_shown_by_their_titles():
    titles = tables.load("sources").set_index("key")["title"]
    shown = naming.readable(pd.DataFrame({"source": ["korthikanti2022_t5", "of nobody"]}))
    assert shown["source"].tolist() == [titles["korthikanti2022_t5"], "of nobody"]


def test_labels_of_a_chart_carry_titles_that_do_not_read_alike():
    keys = tables.load("sources")["key"]
    labels = naming.source_labels(pd.concat([keys, keys + " (experts)"], ignore_index=True))
    plain, experts = labels.iloc[: len(keys)], labels.iloc[len(keys) :]
    assert (experts.to_numpy() == (plain + " (experts)").to_numpy()).all()
    titles = keys.map(tables.load("sources").set_index("key")["title"])
    assert plain.nunique() == titles.nunique() and not set(plain) & set(keys)

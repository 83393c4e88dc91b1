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

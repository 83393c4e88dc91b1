"""The number line: fixed axis, a slider within the losses it knows, one row per format."""

import pandas as pd
import pytest

from training_moat import figures
from training_moat.core.errors import InputError
from training_moat.figures import offline

MARKS = pd.DataFrame(
    {
        "format": ["A", "A", "B"],
        "log2_value": [0.0, 1.0, 3.0],
        "log2_smallest": [0.0, 0.0, 3.0],
        "log2_largest": [1.0, 1.0, 3.0],
    }
)
LOSSES = pd.DataFrame(
    {
        "format": ["A", "B"] * 3,
        "log2_scale": [-1, -1, 0, 0, 1, 1],
        "error_percent": [100.0, 3.0, 5.0, 2.0, 1.0, 0.5],
    }
)
WORDS = {"title": "finding", "x_title": "value", "slider_title": "size"}


def test_slider_and_axis_are_fixed_by_the_data():
    spec = offline.specification(
        figures.number_line(MARKS, LOSSES, body=(-4.0, 1.5), domain=(-8, 8), **WORDS)
    )
    (slider,) = [param for param in spec["params"] if param["name"] == "tensor"]
    assert (slider["bind"]["min"], slider["bind"]["max"], slider["value"]) == (-1, 1, 0)
    domains = {tuple(layer["encoding"]["x"]["scale"]["domain"]) for layer in spec["layer"]}
    assert len(domains) == 1 and next(iter(domains))[0] == -8
    assert len(offline.ordered_png(spec)) > 1000


def test_missing_column_is_one_sentence():
    with pytest.raises(InputError, match="log2_value"):
        figures.number_line(
            MARKS.drop(columns="log2_value"), LOSSES, body=(-4.0, 1.5), domain=(-8, 8), **WORDS
        )

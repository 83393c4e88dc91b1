"""The number line shows the formats' own numbers and the error that rounding really makes."""

import pytest

from training_moat.core.formats import element
from training_moat.numerics import line


def test_every_positive_number_of_a_small_format_is_on_the_line():
    marks = line.magnitudes(["e2m1fn", "e4m3fn"], -24, 24).groupby("format").size()
    assert marks["FP4 E2M1"] == 7 and marks["FP8 E4M3 (OCP)"] == 126


def test_wide_formats_show_one_mark_per_power_of_two():
    marks = line.magnitudes(["bf16"], -24, 24)
    assert list(marks["log2_value"]) == list(range(-24, 25))
    assert line.magnitudes(["fp16"], -30, 30)["log2_smallest"].iloc[0] == -24


def test_error_is_flat_inside_the_range_and_total_far_outside():
    table = line.losses(["e4m3fn"], range(-24, 17)).set_index("log2_scale")["error_percent"]
    assert table[-24] == 100.0
    assert table[0] == pytest.approx(table[2], rel=0.05) and table[0] < 3
    assert table[12] > 80


def test_tolerated_octaves_follow_the_format():
    table = line.tolerated(
        line.losses(["e4m3fn", "fp16", "e2m1fn"], range(-24, 17)), 5.0
    ).set_index("format")
    assert (
        table.loc["FP16", "octaves"]
        > table.loc["FP8 E4M3 (OCP)", "octaves"]
        > table.loc["FP4 E2M1", "octaves"]
        == 0
    )
    assert (
        table.loc["FP4 E2M1", "best_percent"]
        > 100 * 2.0 ** (-element("e2m1fn").fraction_bits - 1) / 3
    )


def test_body_of_the_tensor():
    low, high = line.body()
    assert low < 0 < high < 2

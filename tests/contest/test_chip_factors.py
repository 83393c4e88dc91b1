"""The formats a chip trains in, by the table and by its maker's words."""

from __future__ import annotations

from training_moat.catalog import chips, scenario
from training_moat.catalog.relatives import wide_peak
from training_moat.contest.chip_factors import training_formats


def test_formats_follow_the_table_and_the_makers_words():
    assert training_formats(chips.chip("h100-sxm")) == ("bf16", "fp8")
    assert training_formats(chips.chip("a100-80")) == ("bf16",)
    assert training_formats(chips.chip("corsair")) == ()
    assert wide_peak(chips.chip("groq-3-lpu")) < chips.chip("groq-3-lpu").peak_flops["fp8"]


def test_a_chip_that_is_given_eight_bits_trains_in_them_whatever_its_base_was_said_to_do(tmp_path):
    """The words on SN40L name sixteen bits alone; an SN40L with FP8 kept them, and gained nothing."""
    assert training_formats(chips.chip("sn40l")) == ("bf16",)
    path = tmp_path / "mine.yaml"
    path.write_text("chips: {sn40l: {fp8_tflops: 1276}, wider: {base: sn40l, hbm_gb: 128}}")
    with scenario.laid_over(path):
        assert training_formats(chips.chip("sn40l")) == ("bf16", "fp8")
        assert training_formats(chips.chip("wider")) == ("bf16", "fp8")
    path.write_text("chips: {wider: {base: sn40l, hbm_gb: 128}}")
    with scenario.laid_over(path):
        assert training_formats(chips.chip("wider")) == ("bf16",)

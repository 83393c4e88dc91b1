"""The lifecycle model against disclosed figures and its own invariants."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_moat.core import lifecycle as lc
from training_moat.core.errors import InputError

# DeepSeek-V3: 37B active parameters, 14.8T tokens, 2.788M H800-hours (arXiv 2412.19437, table 1).
# Serving, 27-28 February 2025: 608B input (342B from cache) and 168B output tokens on 226.75
# nodes of 8 H800 (open-infra-index, day 6). H800 peak: 989.4e12 dense BF16 FLOP/s.
H800 = 989.4e12
TRAINING_HOURS = 2.788e6
SERVING_HOURS_PER_DAY = 226.75 * 8 * 24


def deepseek(**changes):
    given = dict(
        active_params=37e9,
        training_tokens=14.8e12,
        served_tokens=776e9,
        life_days=1,
        cache_share=342 / 776,
        training_peak_flops=H800,
        inference_peak_flops=H800,
    )
    return lc.Lifecycle(**(given | changes))


def test_training_flop_of_deepseek_v3():
    assert lc.training_flop(37e9, 14.8e12) == pytest.approx(3.29e24, rel=2e-3)


def test_break_even_in_flop_matches_a_hand_calculation():
    all_tokens = lc.break_even_days(deepseek(cache_share=0.0), "final_run", "flop")
    computed = lc.break_even_days(deepseek(), "final_run", "flop")
    assert all_tokens == pytest.approx(3 * 14.8e12 / 776e9)
    assert computed == pytest.approx(3 * 14.8e12 / 434e9)


def test_chip_hours_reproduce_both_disclosed_fleets():
    train_mfu = lc.training_flop(37e9, 14.8e12) / (TRAINING_HOURS * 3600 * H800)
    serve_mfu = 2 * 37e9 * 434e9 / (SERVING_HOURS_PER_DAY * 3600 * H800)
    life = deepseek(training_mfu=train_mfu, inference_mfu=serve_mfu)
    assert lc.training_cost(life, "final_run", "chip_hours") == pytest.approx(TRAINING_HOURS)
    assert lc.inference_cost(life, "chip_hours") == pytest.approx(SERVING_HOURS_PER_DAY)
    assert lc.break_even_days(life, "final_run", "chip_hours") == pytest.approx(64.04, abs=0.01)
    assert 0.3 < train_mfu < 0.36 and 0.15 < serve_mfu < 0.25


def test_dollars_at_the_disclosed_price():
    life = deepseek(
        training_mfu=0.33,
        inference_mfu=0.2,
        inference_usd_per_chip_hour=2.0,
        training_usd_per_chip_hour=2.0,
    )
    hours = lc.inference_cost(life, "chip_hours")
    assert lc.inference_cost(life, "dollars") == pytest.approx(2.0 * hours)
    assert lc.inference_ratio(life, "final_run", "dollars") == pytest.approx(
        lc.inference_ratio(life, "final_run", "chip_hours")
    )


def test_a_frozen_base_saves_a_third():
    assert lc.finetune_flop(8e9, 1e9, frozen_base=True) == pytest.approx(
        lc.finetune_flop(8e9, 1e9) * 2 / 3
    )


def test_definitions_only_ever_lower_the_ratio():
    life = deepseek(post_training_multiplier=1.4, rnd_multiplier=6.5)
    final, training, rnd = (lc.inference_ratio(life, d, "flop") for d in lc.DEFINITIONS)
    assert final == pytest.approx(1.4 * training)
    assert final == pytest.approx(6.5 * rnd)
    heavy = deepseek(post_training_multiplier=9.0, rnd_multiplier=6.5)
    assert lc.inference_ratio(heavy, "all_rnd", "flop") == pytest.approx(final / 9.0)


def test_worse_utilisation_of_serving_raises_its_share_of_hours_not_of_flop():
    life = deepseek(training_mfu=0.36, inference_mfu=0.12)
    assert lc.inference_ratio(life, "final_run", "chip_hours") == pytest.approx(
        3 * lc.inference_ratio(life, "final_run", "flop")
    )


def test_custom_models_add_training_for_the_same_tokens():
    assert lc.inference_ratio(deepseek(custom_share=0.5), "final_run", "flop") == pytest.approx(
        0.5 * lc.inference_ratio(deepseek(), "final_run", "flop")
    )


def test_rollouts_move_from_training_to_inference_shaped_work():
    life = deepseek(post_training_multiplier=2.0, rollout_share=0.8)
    training = lc.training_cost(life, "all_training", "flop")
    assert lc.rollout_cost(life, "all_training", "flop") == pytest.approx(0.4 * training)
    assert lc.rollout_cost(life, "final_run", "flop") == 0
    expected = (lc.inference_cost(life, "flop") + 0.4 * training) / (0.6 * training)
    assert lc.inference_shaped_ratio(life, "all_training", "flop") == pytest.approx(expected)


def test_growth_per_year():
    assert lc.annual_growth(1.0, 4.0, 2 * lc.DAYS_PER_YEAR) == pytest.approx(2.0)


@given(st.floats(0.01, 1000), st.sampled_from(lc.DEFINITIONS), st.sampled_from(lc.UNITS))
def test_tokens_for_ratio_inverts_the_ratio(target, definition, unit):
    life = deepseek(
        training_mfu=0.36,
        inference_mfu=0.15,
        post_training_multiplier=1.4,
        rnd_multiplier=6.5,
        custom_share=0.1,
    )
    tokens = lc.tokens_for_ratio(life, target, definition, unit)
    served = deepseek(
        served_tokens=tokens,
        training_mfu=0.36,
        inference_mfu=0.15,
        post_training_multiplier=1.4,
        rnd_multiplier=6.5,
        custom_share=0.1,
    )
    assert lc.inference_ratio(served, definition, unit) == pytest.approx(target)


def test_arrays_go_through_element_by_element():
    tokens = np.array([1e11, 1e12, 0.0])
    life = deepseek(served_tokens=tokens, cache_share=np.array([0.0, 0.5, 0.5]))
    many = lc.break_even_days(life, "all_rnd", "dollars")
    one = lc.break_even_days(deepseek(served_tokens=1e12, cache_share=0.5), "all_rnd", "dollars")
    assert many[1] == pytest.approx(one) and np.isinf(many[2])


@pytest.mark.parametrize(
    "field, value, words",
    [
        ("served_tokens", -1.0, "not negative"),
        ("training_tokens", 0.0, "above 0"),
        ("cache_share", 1.2, "between 0 and 1"),
        ("custom_share", 1.0, "below 1"),
        ("training_mfu", 0.0, "utilisation"),
        ("inference_mfu", np.array([0.1, 1.5]), "values from 0.1 to 1.5"),
        ("rnd_multiplier", 0.5, "at least 1"),
    ],
)
def test_impossible_inputs_are_named(field, value, words):
    with pytest.raises(InputError, match=words) as caught:
        deepseek(**{field: value})
    assert field in str(caught.value)


def test_misspelt_names_offer_the_nearest():
    with pytest.raises(InputError, match="did you mean 'chip_hours'"):
        lc.inference_cost(deepseek(), "chiphours")
    with pytest.raises(InputError, match="did you mean 'final_run'"):
        lc.training_cost(deepseek(), "finalrun", "flop")

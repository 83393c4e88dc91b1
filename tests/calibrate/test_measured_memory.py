"""Predicted against measured and printed memory."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from published_shapes import gpt

from training_moat.calibrate import measured_memory, measured_training
from training_moat.catalog import chips, tables
from training_moat.core.activations import activation_bytes, layer_activation_bytes
from training_moat.core.memory import training_memory
from training_moat.core.output_head import logit_bytes
from training_moat.core.plan import Plan
from training_moat.core.units import GB, GIB
from training_moat.predict import software, training_constants

STORED = training_constants.load()
PUBLISHED = 0.053
"""Mean error allowed on measured peaks."""

SHAPES = {
    # Korthikanti et al. 2022, table 3: heads, hidden, layers, pipeline, interleaving, micro-batch.
    "GPT 22B": (64, 6144, 48, 1, 1, 4), "GPT 175B": (96, 12288, 96, 8, 3, 1),
    "GPT 530B": (128, 20480, 105, 35, 3, 1), "GPT 1T": (160, 25600, 128, 64, 1, 1),
}  # fmt: skip


def case(name, **changes):
    heads, hidden, layers, pp, virtual, micro = SHAPES[name]
    model = gpt(layers, hidden, heads)
    plan = Plan(
        2048,
        64 * micro,
        micro,
        tp=8,
        pp=pp,
        virtual_stages=virtual,
        zero_stage=0,
        flash_attention=0,
    )
    return model, replace(plan, **changes)


def printed(source, metric):
    table = tables.load("memory_measurements")
    return table[(table["source"] == source) & (table["metric"] == metric)]


@pytest.mark.parametrize("index", range(8))
def test_activations_are_those_behind_korthikantis_figure_1(index):
    """Printed by the authors for the four models, with and without sequence parallelism and selective recomputation."""
    row = printed("korthikanti2022_f1", "activations").iloc[index]
    lean = row["recompute"] == "selective"
    model, plan = case(row["model"], sequence_parallel=float(lean), recompute=float(lean))
    counted = activation_bytes(model, plan)
    if plan.pp == 1:
        # The figure leaves the logits out.
        counted -= logit_bytes(model, plan)
    assert counted / GIB == pytest.approx(row["value"], rel=0.01)


LEVELS = {
    "TP baseline": (0, 0),
    "SP": (1, 0),
    "selective": (0, 1),
    "SP+selective": (1, 1),
    "full recompute": (0, 2),
}


def test_relative_activations_are_those_of_korthikantis_figure_7():
    rows = printed("korthikanti2022_f7", "activation_mem_relative")
    assert len(rows) == 20

    def kept(name, level):
        parallel, recompute = LEVELS[level]
        model, plan = case(name, sequence_parallel=parallel, recompute=recompute)
        return layer_activation_bytes(model, plan, recompute)

    for _, row in rows.iterrows():
        share = 100 * kept(row["model"], row["recompute"]) / kept(row["model"], "TP baseline")
        assert share == pytest.approx(row["value"], rel=0.015)


def test_measured_peaks_are_met():
    frame = measured_memory.comparison(STORED)
    peaks = frame.loc[frame["reading"] == "peak", "error"]
    assert len(peaks) >= 50
    assert peaks.abs().mean() < PUBLISHED
    assert frame["error"].abs().median() < 0.05


def test_what_autocast_and_kept_keys_add_touches_the_stated_sources_alone():
    """Without the two columns Llama 2 7B under ATorch's FSDP is missed by 32 to 59%."""
    rows = measured_memory.with_tensors_counted()
    stated = (rows.frame["autocast"] == 1).to_numpy()
    told = set(rows.frame.loc[stated, "source"])
    assert told == {"dlrover_atorch", "llm_tii_b200", "book_h100_steps", "book_h200_steps_second"}
    rows = rows.take(~stated | (rows.frame["source"] == "dlrover_atorch").to_numpy())
    own = (rows.frame["autocast"] == 1).to_numpy()
    silent = replace(rows, frame=rows.frame.assign(autocast=np.nan, kept_kv=np.nan))
    told, before = measured_memory.predicted(rows), measured_memory.predicted(silent)
    assert (told.allocated[~own] == before.allocated[~own]).all()
    error = told.allocated[own] / GB / rows.frame["peak_allocated"].to_numpy(float)[own] - 1
    assert np.abs(error).max() < 0.2
    # Whole FP32 weights and two moments shared by 8 chips: what is read on 8 and on 64 differs by these 12 bytes a weight
    # and no gradients, which come once the activations go.
    shared = 12 * 6.738415616e9
    assert told.weights[own][0] + told.optimizer[own][0] == pytest.approx(shared / 8, rel=1e-3)
    assert (told.gradients[own] == 0).all()
    read = GB * np.sort(rows.frame["peak_allocated"].to_numpy(float)[own])
    assert read[-1] - read[0] == pytest.approx(shared * (1 / 8 - 1 / 64), rel=0.01)


def test_sizes_left_out_of_the_fit_are_met_too():
    rows = measured_memory.usable()
    sizes, measured = rows.frame["params_b"], measured_memory.measured_bytes(rows)
    errors = np.empty(len(measured))
    for size in sizes.unique():
        held = (sizes == size).to_numpy()
        reserve = measured_memory.fit_reserve(rows.take(~held))
        met = measured_memory.predicted(rows.take(held), *reserve).total
        errors[held] = met / measured[held] - 1
    assert np.isfinite(errors).all() and np.abs(errors).mean() < 2 * PUBLISHED


def test_stored_reserves_are_what_the_readings_say():
    """Both reserves together at a typical activation size: the fit trades one for the other."""
    bytes_, share = measured_memory.fit_reserve(measured_memory.usable())
    activations = measured_memory.predicted(measured_memory.usable()).activations
    typical = float(np.median(activations))
    stored = STORED.generic("reserve_bytes") + STORED.generic("reserve_share") * typical
    assert bytes_ + share * typical == pytest.approx(stored, rel=0.1)


def test_runs_that_fitted_are_said_to_fit():
    """Fused stacks: 95% of the runs whose sources state their recomputation fit with the stored reserve."""
    rows = measured_memory.runs_that_fit()
    assert len(rows.frame) > 250 and rows.frame["source"].nunique() == 2
    assert measured_memory.fit_fused_reserve(rows) == pytest.approx(
        STORED.generic("reserve_bytes_fused"), rel=0.05
    )


def test_tuned_micro_batches_nearly_fill_their_chips():
    """LLM Foundry's tables use the largest micro-batch that fits: the upper tail of predicted use is near capacity."""
    rows = measured_memory.runs_that_fit()
    own = rows.take((rows.frame["source"] == "llm_foundry").to_numpy())
    capacity = (
        own.frame["chip_id"]
        .map(lambda chip: chips.chip(chip).main_memory.capacity_bytes)
        .to_numpy(float)
    )
    use = measured_memory.predicted(own, STORED.generic("reserve_bytes_fused")).total / capacity
    assert 0.85 < np.quantile(use, 0.9) < 1.05 and np.median(use) > 0.5


def test_readings_spoilt_only_in_time_keep_their_memory():
    frame = measured_memory.with_reading("peak_mem")
    assert (frame["peak_mem"] > 0).all()
    assert not frame["reason"].isin(measured_memory.TIME_ONLY_REASONS).any()


def test_a_known_reading():
    """BLOOM chronicles, 17 February 2022: 20B on one node, 67 GB with full recomputation and tensor parallelism 8."""
    row = tables.load("memory_measurements").set_index("row_id").loc["M0021"]
    assert (row["value"], row["tp"], row["pp"]) == (67, 8, 1)


def test_total_is_the_sum_for_every_row():
    found = measured_memory.predicted(measured_memory.usable(), 1e9, 0.1)
    assert found.total == pytest.approx(
        found.weights + found.gradients + found.optimizer + found.activations + found.workspace
    )
    assert training_memory(*case("GPT 22B")).total > 0


def test_most_runs_that_ran_have_room():
    """What each asks for against its chip's room; and a stack that splits its stream asks for less than one that does not."""
    found = measured_memory.filled(STORED)
    assert np.isfinite(found["filled"]).all() and (found["filled"] > 0).all()
    assert (found["filled"] <= 1).mean() > 0.8
    alone = found[found["source"] == "maxtext_tpu"]
    assert (alone["filled"] <= 1.1).mean() > 0.6


def test_as_much_is_held_in_one_slice_as_in_many():
    """MaxText's runs on TPU v5e have one micro-batch whatever the slices, each of which holds all weights."""
    rows = measured_memory.runs()
    own = (rows.frame["source"] == "maxtext_tpu") & (rows.frame["chip_id"] == "tpu-v5e")
    rows = rows.take(own.to_numpy())
    held = pd.Series(measured_memory.predicted(rows).total).groupby(rows.frame["model"])
    assert held.ngroups == 4 and held.size().min() > 4
    assert (held.max() / held.min()).max() == pytest.approx(1)


def test_room_by_stack_counts_runs_and_sources():
    runs = pd.DataFrame(
        {
            "source": ["a", "a", "b", "c"],
            "stack": ["x", "x", "x", "y"],
            "filled": [0.5, 1.05, 1.2, 1.0],
        }
    )
    found = measured_memory.room_by_stack(runs).set_index("stack")
    assert found.loc["x"].tolist() == pytest.approx([3, 2, 1 / 3])
    assert found.loc["y"].tolist() == pytest.approx([1, 1, 1])


def test_what_source_code_says_of_states_and_gradients():
    """InternEvo keeps gradients in the weights' own bits; ScaleTorch's optimizer steps on weights of 16 bits; MaxText's
    lightest policy makes all but products again, and its stream is split over a tensor group."""
    stacks = software.all_software()
    assert stacks["internevo"].gradient_bytes == stacks["internevo"].gradient_wire_bytes == 2
    assert stacks["scaletorch"].master_weights == 0
    split = {name for name, one in stacks.items() if one.splits_stream}
    assert split == {
        name for name, one in stacks.items() if one.stack in ("maxtext", "pytorch-xla")
    }
    rows = measured_training.usable().frame
    own = rows[rows["source"] == "maxtext_tpu"]
    assert (own.loc[own["recompute"] == "minimal", "recompute_level"] == 1).all()
    assert (own["sequence_parallel"] == (own["tp"] > 1)).all()


def test_memory_of_models_whose_activation_is_written_out():
    """The book's own GPT-2 and phi-1.5 under autocast, with nothing recomputed: 15 to 19% too low as long as one kernel was
    taken."""
    rows = measured_memory.with_tensors_counted()
    own = (rows.model.tanh_gelu > 0) & (rows.plan.written_out_bytes > 0)
    own = rows.take(own & (rows.plan.recompute == 0))
    told = measured_memory.predicted(own).allocated / measured_memory.GB
    assert len(own.frame) >= 5
    assert told == pytest.approx(own.frame["peak_allocated"].to_numpy(float), rel=0.05)

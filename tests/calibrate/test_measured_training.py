"""The measured runs as the model's objects: counted, turned into seconds, and refused with a reason."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from training_moat.calibrate import captured_graphs, dispatchers, measured_training, told_plans
from training_moat.catalog import chips, tables
from training_moat.core.plan import GRAPH_LEVELS
from training_moat.core.training_step import model_flops_per_step
from training_moat.core.workload import attention_score_flops_per_token
from training_moat.predict import software

whole = cache(measured_training.configurations)
used = measured_training.usable


def row(config_id):
    return whole().set_index("config_id").loc[config_id]


def of(source):
    return used().frame[used().frame["source"] == source]


def test_every_configuration_is_used_or_has_a_reason():
    table = tables.load("training_measurements")
    assert len(whole()) == table["config_id"].nunique()
    aside = len(measured_training.put_aside().frame)
    assert (whole()["reason"] == "").sum() == len(used().frame) + aside
    assert len(used().frame) > 700 and used().frame["source"].nunique() >= 11
    assert whole().loc[whole()["reason"] != "", "reason"].str.len().min() > 10


def test_the_two_benchmark_tables_are_complete():
    """Narayanan et al. 2021, table 1: ten rows; Korthikanti et al. 2022, table 5: eight."""
    assert len(of("narayanan2021_t1")) == 10 and len(of("korthikanti2022_t5")) == 8


def test_narayanans_seconds_follow_from_his_flop_rate():
    """Table 1, first row: 1.7B, 32 chips, batch 512, 137 TFLOP/s: 96 B s l h^2 (...) / (32 x 137e12)."""
    first = of("narayanan2021_t1").sort_values("params_b").iloc[0]
    layers, h, s, vocab, batch = 24, 2304, 2048, 51200, 512
    flops = 96 * batch * s * layers * h**2 * (1 + s / (6 * h) + vocab / (16 * layers * h))
    assert first["step_seconds"] == pytest.approx(flops / (32 * 137e12), rel=0.001)


@pytest.mark.parametrize(
    ("model", "recomputed", "seconds"),
    # Korthikanti et al. 2022, table 5: iteration seconds with full recomputation, and with this work.
    [("22B", 2, 1.42), ("22B", 1, 1.10), ("175B", 2, 18.13), ("175B", 1, 13.75), ("530B", 2, 49.05), ("530B", 1, 37.83), ("1T", 2, 94.42), ("1T", 1, 71.49)],
)  # fmt: skip
def test_korthikantis_seconds(model, recomputed, seconds):
    rows = of("korthikanti2022_t5")
    found = rows[rows["model"].str.contains(model) & (rows["recompute_level"] == recomputed)]
    assert list(found["step_seconds"]) == [pytest.approx(seconds)]
    assert (found["sequence_parallel"] == (recomputed == 1)).all()


def test_usable_rows_are_complete_and_consistent():
    plan, model = used().plan, used().model
    assert np.isfinite(used().measured_seconds).all() and (used().measured_seconds > 0).all()
    assert (plan.tp * plan.pp * plan.cp * plan.dp == used().frame["chips"]).all()
    for values in (
        model.layers,
        model.hidden,
        model.heads,
        model.vocab,
        plan.micro_batch,
        plan.global_batch,
        plan.seq_len,
    ):
        assert (values > 0).all()
    assert set(plan.recompute) <= {0, 1, 2} and set(plan.zero_stage) <= {0, 1, 2, 3}
    assert used().frame["stack"].notna().all() and used().frame["chip_id"].notna().all()


def test_no_row_beats_its_chip():
    """A run above the data sheet's peak would be a mistake in the table or in a step time derived from it.

    Of the attention scores the causal half is counted, which is all that a kernel need do.
    """
    peaks = [chips.chip(chip).peak_flops for chip in used().frame["chip_id"]]
    kinds = [
        chips.chip(chip).compute_format(name)
        for chip, name in zip(used().frame["chip_id"], used().frame["format"], strict=True)
    ]
    peak = np.array([rates[kind] for rates, kind in zip(peaks, kinds, strict=True)])
    scores = used().plan.tokens_per_step * attention_score_flops_per_token(
        used().model, used().plan.seq_len
    )
    least = model_flops_per_step(used().model, used().plan) - 1.5 * scores
    mfu = least / used().measured_seconds / used().frame["chips"] / peak
    assert mfu.max() < 0.9 and mfu.min() > 0.005


def test_reasons_name_the_real_obstacle():
    reasons = whole()[whole()["reason"] != ""].groupby("source")["reason"].agg(set)
    assert reasons["epoch_mfu"] == {"only a percentage of peak is printed"}
    assert (
        whole()
        .loc[
            whole()["chip_id"].isna()
            & (whole()["reason"] != "only a percentage of peak is printed"),
            "reason",
        ]
        .ne("")
        .all()
    )


def test_a_stated_format_of_which_the_chip_has_no_peak_is_the_reason():
    """Tenstorrent publishes Blackhole's rate in eight bits alone; nmoe says eight bits and leaves open in which products."""
    reasons = measured_training.configurations().set_index("config_id")["reason"]
    assert (
        reasons["tt_train_pr44634-0001"] == "no peak of the chip in the run's format is published"
    )
    assert (reasons == "no peak of the chip in the run's format is published").sum() == 3


def test_per_chip_rates_become_step_seconds():
    """tokens a step / (chips x tokens a second and chip)."""
    rows = used().frame[
        used().frame["step_time"].isna() & used().frame["tokens_per_s_per_chip"].notna()
    ]
    assert len(rows) > 100
    expected = (
        rows["global_batch"] * rows["seq_len"] / (rows["chips"] * rows["tokens_per_s_per_chip"])
    )
    assert rows["step_seconds"].to_numpy() == pytest.approx(expected.to_numpy())


def test_unstated_recomputation_is_settled_by_memory():
    unstated = used().frame["recompute_level"].isna().to_numpy()
    assert unstated.any() and set(used().plan.recompute[unstated]) <= {0.0, 2.0}


def test_taking_rows_keeps_them_aligned():
    mask = (used().frame["source"] == "mlperf_train").to_numpy()
    taken = used().take(mask)
    assert len(taken.frame) == mask.sum() == len(taken.measured_seconds)
    assert list(taken.plan.tp) == list(used().plan.tp[mask]) and list(taken.model.layers) == list(
        used().model.layers[mask]
    )


def test_a_sequence_length_is_read_from_a_recipes_name():
    read = told_plans._sequence_in_recipe
    assert read("model_name=llama3_1_70b_8192_bs2; x") == 8192
    assert np.isnan(read("model_name=llama3_1_70b_bs2")) and np.isnan(read(None))


def test_notes_say_how_experts_are_cut_and_how_much_is_recomputed():
    notes = pd.Series(["ETP4; x", "expert tensor parallel 2", "method: TP+EP+DP", "", None])
    frame = pd.DataFrame({"notes": notes, "tp": 8.0})
    assert list(told_plans._expert_tensor(frame)) == [4, 2, 8, 0, 0]
    shared = whole()["notes"].str.contains("share recomputed 0.63", na=False)
    assert shared.any() and (whole().loc[shared, "recompute_share"] == 0.63).all()


def test_hybrid_sharding_is_read_from_layouts_and_notes():
    """Chips of a slice, of a machine, of half as many as there are devices, of a count that is told; not of all there are."""
    told = [
        ("FSDP ici 64; dcn DP 2 slices", "", 128, 64),
        (
            "HYBRID_SHARD (FSDP 128)",
            "sharded over 128 devices; 12 sequences a device of two a chip",
            256,
            64,
        ),
        ("HYBRID_SHARD", "", 16, 8),
        ("FULL_SHARD", "HSDP: sharded within a node of 8; 4K context", 96, 8),
        ("FSDP", "weights sharded over 128 chips and replicated twice", 256, 128),
        ("FSDP", "fully sharded within each of four slices", 1024, 256),
        ("FSDP 64", "", 64, 0),
        ("FULL_SHARD", "FSDP 8 across nodes x EP 8 in the node", 64, 0),
        (None, None, 64, 0),
    ]
    frame = pd.DataFrame(told, columns=["sharding", "notes", "dp", "group"])
    found = told_plans._shard_groups(frame.assign(cp=1.0, zero_stage=3.0))
    assert list(found) == list(frame["group"])
    assert not told_plans._shard_groups(frame.assign(cp=1.0, zero_stage=1.0)).any()
    groups = whole().loc[whole()["shard_group"] > 0]
    assert {"dgxc_h100", "ibm_fms_fsdp", "maxtext_tpu"} <= set(groups["source"])


def test_sources_that_keep_the_attention_of_recomputed_layers_are_told_apart():
    kept = whole()[whole()["attention_kept"] > 0]
    assert set(kept["source"]) == {
        "tpu_recipes_ironwood",
        "tpu_recipes_longctx",
        "tpu_recipes_longctx_v5p",
        "tpu_recipes_v6e_v5p",
        "whale_dsv3_v5p",
    }
    assert kept["recompute_level"].eq(2).all()


def test_rows_say_what_their_dispatcher_sends_and_what_their_own_matmuls_reach():
    frame = measured_training.usable().frame
    told = frame.assign(notes=frame["notes"].fillna(""))
    deep = told["notes"].str.contains("DeepEP|HybridEP")
    assert deep.any() and (told["dispatch_once"][deep] == 1).all()
    plain = told["notes"].str.contains("(?:NCCL|own) all-to-all")
    early = told["released"].lt(2026.08) & told["chip_id"].isin(["b200", "gb200", "gb300"])
    early |= told["model"].str.contains("tokendrop")
    # Recipes of November 2025 have HybridEP on two chips, for two models.
    hybrid = told["table_ref"].str.contains("25.11 NeMo") & told["chip_id"].isin(["gb200", "gb300"])
    early &= ~(hybrid & told["model_id"].isin(["deepseek-v3", "qwen3-235b-a22b"]))
    bridge = (told["label"] == "megatron-bridge") & ~plain
    assert (told["dispatch_once"][bridge & ~early] == 1).all()
    assert (told["dispatch_once"][bridge & early] == 0).all() and (bridge & early).sum() > 10
    assert plain.any() and (told["dispatch_once"][plain] == 0).all()
    assert (told["dispatch_once"][told["source"] == "moe_folding"] == 0).all()
    timed = frame["matmul_flops"] > 0
    assert set(frame["source"][timed]) == {"simumax_b200", "simumax_b200_dense"}
    assert (frame["matmul_flops"][timed] < 0.6 * 2250e12).all()


def test_recipes_say_what_rows_do_not_and_rows_override_them():
    frame, every = measured_training.usable().frame, whole()
    for line in tables.load(dispatchers.TABLE).itertuples():
        assert dispatchers.covered(every, line).any(), line
    for line in tables.load(captured_graphs.TABLE).itertuples():
        assert dispatchers.covered(every, line).any(), line
    own = frame[(frame["source"] == "megatron_bridge") & (frame["model_id"] == "deepseek-v3")]
    later = own["table_ref"].str.contains("26.04.01 NeMo") & (own["chip_id"] == "b200")
    said = own[list(dispatchers.FIELDS)]
    assert (said[later] == [1, 0, 0, 1, 0, 0]).all(axis=None) and later.sum() == 1
    first = own["table_ref"].str.contains("26.04 NeMo")
    assert first.sum() == 4 and (said[first] == [1, 1, 0, 0, 0, 0]).all(axis=None)
    # Recipes of 2025 had DeepEP on Hopper alone.
    old = own["table_ref"].str.contains("25.09 NeMo")
    assert (said[old].drop(columns="dispatch_once") == 0).all(axis=None)
    assert (said["dispatch_once"][old] == (own["chip_id"][old] == "h100-sxm")).all()
    # A row's own words stand above what its stack usually does.
    usual = frame[(frame["label"] == "megatron-2026") & (frame["permutes_in_flight"] == 1)].head(1)
    other = dispatchers.told(usual.assign(notes="DeepEP"), software.all_software())
    assert (other[["dispatch_once", "permutes_in_flight"]] == [1, 0]).all(axis=None)
    aws = of("aws_ep_dispatchers")
    beside = aws["notes"].str.contains("dispatch overlapped")
    assert 0 < beside.sum() < len(aws) and (aws["overlapped_exchange"] == beside).all()


def test_graphs_are_told_by_the_row_its_recipe_or_its_software():
    levels = used().frame["graphs"]
    assert set(levels) == set(map(float, GRAPH_LEVELS.values()))
    bridge = of("megatron_bridge")
    # Recipes of one release: graphs of router and preprocessing on GB200, none on H100.
    release = bridge[bridge["table_ref"].str.contains("26.04 NeMo")]
    qwen = release[release["model_id"] == "qwen3-30b-a3b"].set_index("chip_id")["graphs"]
    assert qwen["gb200"] == GRAPH_LEVELS["partial"] and qwen["h100-sxm"] == GRAPH_LEVELS["none"]
    # A launch script turns them on for one format of one model alone.
    llama = of("dgxc_2025").query("model_id == 'llama4-maverick' and chip_id == 'h100-sxm'")
    assert llama.set_index("format")["graphs"].to_dict() == {"bf16": 0.0, "fp8": 1.0}
    # A row's own words stand above its recipe's and its software's.
    recipes = of("mcore_moe_recipes").set_index("table_ref")["graphs"]
    assert (recipes[recipes.index.str.contains("partial_cg")] == GRAPH_LEVELS["partial"]).all()
    assert (recipes[recipes.index.str.contains("paged_stash")] == GRAPH_LEVELS["whole"]).all()
    said = captured_graphs.levels(
        bridge.head(4).assign(notes=["no graphs", "local graphs", "", ""])
    )
    assert list(said) == [0.0, 2.0, *bridge["graphs"].iloc[2:4]]
    compiled = used().frame["label"].isin(["maxtext", "neuron"])
    assert (levels[compiled] == GRAPH_LEVELS["compiled"]).all()


def test_the_router_decides_unless_a_run_says_that_balance_was_forced():
    # Those of its runs that say nothing have commands beside them, which force it.
    uneven = of("moe_modelzoo").set_index("notes")["uneven_routing"]
    natural = uneven.index.str.contains("natural routing")
    assert 0 < natural.sum() < len(uneven) - 4 and (uneven == natural).all()
    assert (of("deepseek_v3_run")["uneven_routing"] == 0).all()
    assert (of("aws_ep_dispatchers")["uneven_routing"] == 0).all()
    # On real data a card's run is balanced by nothing but its router, whatever the table says of the others.
    cards = of("mbridge_cards")
    real = cards["notes"].str.contains("natural routing")
    assert 0 < real.sum() < len(cards) and (cards["uneven_routing"] == real).all()


def test_experts_are_padded_where_a_run_says_to_what():
    padded = used().frame.query("expert_capacity > 0")
    assert {1.0, 1.25, 2.0} <= set(padded["expert_capacity"]) and len(padded) > 40
    assert (padded["uneven_routing"] == 0).all()
    # MaxText has masks for it; Megatron-Core sorts its tokens as ever.
    assert (padded["one_hot_dispatch"] == (padded["label"] == "maxtext")).all()
    assert set(padded["label"]) == {"maxtext", "megatron"}
    # Tokens dropped beyond a capacity do not say that the rest are padded to it.
    assert (of("moe_folding")["expert_capacity"] == 0).all()


def test_every_line_on_some_rows_of_a_source_covers_a_row():
    stacks = tables.load("training_stacks").dropna(subset=["row_contains"])
    frame = tables.load("training_measurements")
    text = measured_training.words(frame)
    for line in stacks.itertuples():
        own = text[frame["source"] == line.training_source]
        assert own.str.contains(line.row_contains, regex=False).any(), line


def test_runs_over_efa_recompute_where_their_scripts_say_so():
    large = of("aws_ep_dispatchers").query("model_id in ['deepseek-v3', 'kimi-k2']")
    beside = large["overlapped_exchange"] > 0
    assert (large.loc[~beside, "recompute_level"] == 2).all()
    assert (large.loc[beside, "recompute_level"] == 0).all()


def test_a_model_of_no_table_is_gated_where_its_count_says_so():
    assert set(of("swiss_megatron_gh200")["gated_ffn"]) == {1.0}
    assert set(of("bloom_prequel")["gated_ffn"]) == {0.0}


def test_ties_are_as_the_source_states_them_else_as_the_models_table():
    assert set(of("bloom_prequel")["tied_embeddings"]) == {1.0}
    long = of("trl_long_context").groupby("model_id")["tied_embeddings"].first()
    assert long["qwen3-0.6b"] == 1 and long["qwen3-8b"] == 0


def test_offloaded_states_and_weights_are_read_from_the_notes():
    told = of("alst_2025").set_index("config_id")["offload"]
    assert told["alst_2025-0001"] == 1 and told["alst_2025-0007"] == 2
    lifted = whole()[whole()["offload"] > 0]
    known = {
        "alst_2025",
        "deepspeed_a800_gist",
        "easycontext",
        "fp8_flow_moe",
        "llmq_cards",
        "torchtune_speed_2412",
    }
    assert set(lifted["source"]) == known


def test_activations_on_the_host_are_read_from_the_notes_and_from_what_is_said_of_a_source():
    told = whole().set_index("config_id")["activation_offload"]
    assert [told[f"alst_2025-{run:04d}"] for run in (4, 5, 8, 10)] == [0, 2, 2, 2]
    assert [told[f"tpu_recipes_longctx_v5p-{run:04d}"] for run in (1, 3, 5)] == [0, 1, 2]
    assert [told[f"tpu_recipes_ironwood-{run:04d}"] for run in (1, 9, 11)] == [2, 2, 0]
    assert [told[f"maxtext_tpu-{run:04d}"] for run in (571, 590)] == [0, 1]
    # LLMQ's residuals are all of a layer only where the layer is run again as a whole.
    assert [told[f"llmq_cards-{run:04d}"] for run in (14, 18, 20)] == [0, 0, 2]
    assert set(of("pedia_qwen3_v7")["activation_offload"]) == {2.0}
    some = whole().set_index("config_id")["activation_offload_share"]
    assert some["megatron_bridge-0133"] == 0.5 and some["megatron_bridge-0130"] == 0.25
    assert told["megatron_bridge-0133"] == 2 and some.drop(some[some < 1].index).eq(1).all()
    assert set(of("dgxc_h100")["activation_offload"]) == {0.0}


def test_losses_in_chunks_are_read_from_the_notes_the_source_and_the_software():
    told = whole().set_index("config_id")["loss_chunks"]
    assert [told[f"alst_2025-{run:04d}"] for run in (1, 2, 10)] == [0, 1, 1]
    assert told["pith_train_79-0001"] == told["tpuchat-0001"] == 8
    assert set(of("lab_h200")["loss_chunks"]) == {1.0}
    assert [told[f"llmq_cards-{run:04d}"] for run in (1, 20, 25, 72)] == [16, 8, 0, 1]
    assert set(of("dgxc_h100")["loss_chunks"]) == {0.0}


def test_weights_gathered_in_eight_bits_are_those_of_runs_that_say_so_and_of_their_software():
    told = whole().set_index("config_id")["gathered_bytes"]
    assert [told[f"torchao_float8-{run:04d}"] for run in (1, 2, 3)] == [2, 1, 2]
    assert told["torchtitan_h200_trainy-0001"] == 1 and told["mfsdp_v2_qwen3-0003"] < 1.1
    assert set(of("torchtitan_h100_2412")["gathered_bytes"]) == {2.0}
    bridge = of("megatron_bridge").groupby("format")["gathered_bytes"].max()
    assert bridge["bf16"] == bridge["nvfp4"] == 2 and bridge["fp8"] == 1


def test_runs_on_a_chip_made_for_one_buyer_are_not_taken_for_the_sold_one():
    assert set(of("torchtitan_h100_2412")["chip_id"]) == {"h100-hbm2e"}
    eager = of("torchtitan_h100_2412")["table_ref"].str.contains("eager")
    assert set(of("torchtitan_h100_2412")["label"][eager]) == {"pytorch-eager"}


def test_attention_in_blocks_that_no_kernel_fuses_is_put_aside():
    every = whole()
    told = every[every["source"] == "marinfold_h100"].set_index("config_id")["reason"]
    assert (told.drop("marinfold_h100-0004") == "").all()
    assert "not fused" in told["marinfold_h100-0004"]


def test_rows_of_a_source_whose_software_nobody_told_are_put_aside_with_that_reason():
    """A new source without its line in training_stacks had ended `moat validate` in a traceback."""
    source = used().frame.dropna(subset="step_time")["source"].iloc[0]
    stacks = tables.load("training_stacks")
    with tables.replaced(training_stacks=stacks[stacks["training_source"] != source]):
        told = measured_training.configurations().query("source == @source")["reason"]
        assert (told != "").all() and told.str.contains("software is not told").any()
        assert source not in set(measured_training.usable().frame["source"])


def test_recipes_that_run_latent_projections_again_say_so_row_by_row():
    own = of("megatron_bridge").set_index("config_id")
    latent = own[own["notes"].fillna("").str.contains("mla_up_proj")]
    assert set(latent["model"].str.split(" ").str[0]) == {"DeepSeekV3", "Kimi_K2"}
    assert set(latent["recompute_level"]) == {1} and len(latent) == 24
    # The newest recipe for GB300 recomputes nothing.
    assert own.loc["megatron_bridge-0057", "recompute_level"] == 0


def test_runs_in_sixteen_bits_alone_hold_no_master_copy_and_sixteen_bit_gradients():
    """MaxText's Adam has the weights' own type, PyTorch's too (`torch.zeros_like` of the parameter)."""
    every = whole()
    told = every.set_index("config_id")["master_weights"]
    assert set(of("amd_kimi_mi355x")["master_weights"]) == {0.0}
    assert told["tpu_recipes_v6e_v5p-0641"] == 0 and told["tpu_recipes_v6e_v5p-0642"] == 1
    assert set(of("torchprime_e2e")["master_weights"]) == {0.0}
    own = of("lsai_flags_gh200").reset_index(drop=True)
    assert set(own["master_weights"]) == {0.0}
    assert set(measured_training.gradient_bytes(own)) == {2.0}
    autocast = every[every["label"].eq("transformers-autocast") & every["format"].eq("bf16")]
    autocast = autocast.reset_index(drop=True)
    assert set(autocast["master_weights"]) == {1.0}
    assert set(measured_training.gradient_bytes(autocast)) == {4.0}

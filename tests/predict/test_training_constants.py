"""The stored constants: complete, plausible, and found from the general to the particular."""

from dataclasses import replace

import numpy as np
import pytest

from training_moat.calibrate import priors
from training_moat.catalog import chips, models, relatives, tables
from training_moat.core import collectives
from training_moat.core.errors import InputError
from training_moat.core.machine import Link, Tier
from training_moat.core.plan import GRAPH_LEVELS
from training_moat.predict import (
    attainable,
    interconnect,
    training,
    training_constants,
    training_nodes,
)
from training_moat.predict import software as stacks
from training_moat.predict.training_constants import Constants

STORED = training_constants.load()
H100, TPU, SAMBANOVA = (chips.chip(name) for name in ("h100-sxm", "tpu-v5p", "sn40l"))


def test_every_generic_constant_is_stored():
    names = {name for level, _, name in STORED.values if level == "generic"}
    assert set(priors.generic()) <= names
    assert {"reserve_bytes", "reserve_share", "reserve_bytes_fused"} <= names


def test_shares_are_shares_and_times_are_short():
    for name in (
        "matmul_16",
        "matmul_8",
        "matmul_8mx",
        "matmul_4",
        "attention",
        "memory",
        *(name for name, one in priors.generic().items() if one.share),
    ):
        assert 0 < STORED.generic(name) <= 1
    assert STORED.generic("layer_seconds") < 1e-3 and STORED.generic("step_seconds") < 0.1
    assert 0 <= STORED.generic("reserve_bytes_fused") < 16e9


def test_there_is_no_constant_per_source_or_model():
    """Levels speak for hardware and software only, and are few beside the runs they were fitted on."""
    table = tables.load(training_constants.TABLE)
    fitted = table[~table["level"].isin(("interval", "scatter", "support"))]
    known = stacks.all_software()
    assert set(fitted["level"]) <= {"generic", "family", "chip", "stack", "software"}
    assert set(fitted.loc[fitted["level"] == "chip", "key"]) <= set(chips.all_chips())
    assert set(fitted.loc[fitted["level"] == "software", "key"]) <= set(known)
    assert set(fitted.loc[fitted["level"] == "stack", "key"]) <= {s.stack for s in known.values()}
    assert len(fitted) < 0.2 * table["rows"].max()


def kind(chip, precision="bf16", name="megatron-core", flash=True, released=None):
    return training_constants.kind(chip, precision, stacks.find(name, flash), released)


def test_factors_multiply_from_the_general_to_the_particular():
    values = {
        ("generic", "all", "matmul_16"): 0.5, ("family", H100.family, "matmul"): 1.2,
        ("chip", "h100-sxm", "matmul"): 0.9,
    }  # fmt: skip
    known = Constants({**STORED.values, **values})
    top = attainable.attainable(H100, "bf16").share
    found = training_constants.efficiency(known, kind(H100)).matmul
    assert found == pytest.approx(top * 0.5 * 1.2 * 0.9)
    unknown = replace(H100, id="mine", family="custom")
    everywhere = attainable.attainable(unknown, "bf16")
    assert everywhere.basis == "all"
    found = training_constants.efficiency(known, kind(unknown)).matmul
    assert found == pytest.approx(0.5 * everywhere.share)


@pytest.mark.parametrize("precision", ["bf16", "fp8", "mxfp8"])
def test_no_constant_is_above_what_the_chips_own_matmuls_reach(precision):
    """Whatever was fitted: large products on GB200 measure 1,822 TFLOP/s in 16 bits and 3,616 in 8 (table matmul_maxima)."""
    eager = {("chip", name, "matmul"): 3.0 for name in chips.all_chips()}
    known = Constants({**STORED.values, **eager})
    for chip in chips.all_chips().values():
        if not any(chip.peak_flops.get(name) for name in ("bf16", "fp16", "fp32")):
            continue
        top = attainable.attainable(chip, chip.compute_format(precision))
        for name in ("megatron-core", "torchtitan", "megascale", "maxtext"):
            eff = training_constants.efficiency(known, kind(chip, precision, name))
            ceiling = top.share if top.basis == "chip" else 1.0
            assert eff.matmul * eff.matmul_software <= ceiling * (1 + 1e-9), (chip.id, name)


def test_measured_rates_are_the_tables():
    gb200 = chips.chip("gb200")
    assert attainable.attainable(gb200, "bf16").share * gb200.peak_flops["bf16"] == pytest.approx(
        1822e12
    )
    mine = replace(H100, id="mine")
    assert attainable.attainable(mine, "bf16").basis == "family"


def test_a_card_above_the_clock_of_its_data_sheet_multiplies_as_measured_and_its_relatives_do_not():
    card, relative = chips.chip("rtx-4090"), chips.chip("l40s")
    for precision, tflops in (("bf16", 179.2), ("fp8", 354.31)):
        own = attainable.attainable(card, precision)
        assert own.share * card.peak_flops[precision] == pytest.approx(tflops * 1e12)
    assert attainable.attainable(relative, "fp8") == attainable.Attainable(1.0, "family")


def test_products_summed_in_sixteen_bits_say_nothing_of_training():
    """The RTX 5090 measures 774 TFLOP/s in FP8 where sums stay in FP16, beside a peak of 419 in FP32."""
    card = chips.chip("rtx-5090")
    assert attainable.attainable(card, "fp8").share * card.peak_flops["fp8"] <= 419e12


def test_a_clock_that_runs_do_not_hold_and_a_kernel_that_no_compiler_makes_say_nothing_of_training():
    """Ironwood reaches 97% of its peak with its clock locked (83% without); a kernel written by hand 83% on Trainium."""
    found = attainable.attainable(chips.chip("tpu-v7"), "bf16")
    assert (found.basis, found.share) == ("chip", pytest.approx(2 * 956.38 / 2307))
    assert attainable.attainable(chips.chip("trainium1"), "bf16").basis == "all"


def test_attention_is_held_back_by_what_holds_back_a_chips_products():
    """Of the peak, large products in 16 bits reach 80% on an H100 and 60% on an MI300X, whatever the format of a run's own."""
    mi300x, plain = chips.chip("mi300x"), {}
    for chip in (H100, mi300x):
        plain |= {("family", chip.family, "attention"): 1.0}
    known = Constants({**STORED.values, **plain, ("generic", "all", "attention"): 0.5})
    rates = {
        (chip.id, form): training_constants.efficiency(known, kind(chip, form)).attention
        for chip in (H100, mi300x)
        for form in ("bf16", "fp8")
    }
    tops = {chip.id: attainable.attainable(chip, "bf16").share for chip in (H100, mi300x)}
    assert tops["h100-sxm"] > 1.3 * tops["mi300x"]
    for (name, _), rate in rates.items():
        assert rate == pytest.approx(0.5 * tops[name] / 0.87), name


def test_levels_say_how_well_a_run_is_known():
    """`measured` needs two sources on the chip itself, in that width, dense or with experts as asked."""
    lonely = {**STORED.values, ("support", "h100-sxm", "dense_16"): 1.0}
    asked = [
        (STORED, H100, False), (Constants(lonely), H100, False), (STORED, replace(H100, id="mine"), False),
        (STORED, replace(SAMBANOVA, family="none"), False),
    ]  # fmt: skip
    assert [
        training_constants.level(known, chip, "bf16", experts) for known, chip, experts in asked
    ] == ["measured", "family", "family", "generic"]


def test_a_run_is_measured_only_where_two_sources_name_its_software():
    """NeMo was timed by several sources on H100, LitGPT by one, EasyLM by none; the reference's factors are one."""
    told = [
        training_constants.level(STORED, H100, "bf16", False, stacks.find(name))
        for name in ("nemo", None, "litgpt", "easylm")
    ]
    assert told == ["measured", "measured", "family", "family"]
    low, high = zip(
        *(training_constants.usual_interval(STORED, name, H100.family, False) for name in told),
        strict=True,
    )
    assert low[0] >= low[2] and high[0] <= high[2]
    assert high[0] / low[0] < high[2] / low[2]


def test_software_names_map_to_calibrated_stacks():
    assert (
        stacks.find(None).stack
        == stacks.find("NeMo").stack
        == stacks.find("primus").stack
        == "megatron-core"
    )
    assert stacks.find("megatron", False).stack == "megatron-2021"
    assert stacks.find("deepspeed", False).stack == "deepspeed"
    assert stacks.default_name(TPU) == "maxtext"
    assert stacks.default_name(SAMBANOVA) == "sambaflow"


def test_a_name_stands_about_its_class_and_an_unmeasured_one_at_it():
    """Partial pooling: a name's factor multiplies its class's; names without runs take the class's alone.

    That was 0.69 while the gaps between kernels were divided by it. Of the kernels themselves compiled stacks run as
    fast as the best one, so that what is common to all others is about one, and what runs one operation at a time half.
    """
    speed = training_constants.stack_speed
    assert speed(STORED, stacks.find("megatron-core")) == 1.0
    assert speed(STORED, stacks.find("other")) == STORED.generic("other_stack")
    assert STORED.generic("other_stack") == pytest.approx(1.0, abs=0.15)
    assert speed(STORED, stacks.find("pytorch-eager")) < 0.6
    values = {("stack", "fsdp", "kernels"): 1.5, ("software", "torchtitan", "kernels"): 1.1}
    known = Constants({**STORED.values, **values})
    common = STORED.generic("other_stack")
    assert speed(known, stacks.find("torchtitan")) == pytest.approx(1.5 * 1.1 * common)
    assert speed(known, stacks.find("fsdp")) == pytest.approx(1.5 * common)


def test_a_class_with_few_sources_is_taken_as_other():
    """Names of classes below three sources stand about `other`, not about one source."""
    table = tables.load(training_constants.TABLE)
    classes = table[(table["level"] == "stack") & (table["constant"] == "kernels")]
    assert (classes["sources"] >= priors.THIN_STACK).all()
    assert ("stack", "scaletorch", "kernels") not in STORED.values


def test_later_software_trains_experts_faster():
    eff = [
        training_constants.efficiency(STORED, kind(H100, released=year))
        for year in (2024.5, 2026.5)
    ]
    assert eff[0].expert_software < eff[1].expert_software
    middle = training_constants.efficiency(
        STORED, kind(H100, released=STORED.generic("expert_year"))
    )
    assert middle == training_constants.efficiency(STORED, kind(H100))


def test_stacks_that_hide_no_tensor_parallel_traffic_wait_for_it():
    old = kind(H100, name="megatron", flash=False)
    assert training_constants.efficiency(STORED, old).overlap_tensor == 0
    assert training_constants.efficiency(STORED, kind(H100, name="torchtitan")).overlap_tensor == 0
    assert training_constants.efficiency(STORED, kind(H100)).overlap_tensor > 0


def test_stacks_that_launch_no_layers_and_hide_the_exchange_of_tokens():
    """Some software records its layers as graphs or compiles its steps, whatever is asked; DualPipe hides the exchange
    whole."""

    def of(name):
        return training_constants.efficiency(STORED, kind(H100, name=name))

    levels = {name: stacks.find(name).graphs for name in ("nemo", "nemo-2026", "maxtext")}
    assert levels == {
        "nemo": 0,
        "nemo-2026": GRAPH_LEVELS["whole"],
        "maxtext": GRAPH_LEVELS["compiled"],
    }
    assert of("nemo").expert_layer_seconds > 0 and of("nemo").layer_seconds > 0
    assert 0 < of("nemo").graphed < 1
    assert of("hai-llm").overlap_expert == 1 > of("megatron").overlap_expert


def test_grouped_experts_are_launched_once():
    def of(name):
        return training_constants.efficiency(STORED, kind(H100, name=name))

    assert of("torchtitan").expert_call_seconds == 0 < of("megatron").expert_call_seconds
    assert of("torchtitan").expert_layer_seconds > 0


def test_pytorchs_own_stacks_are_ports_on_other_makers_chips():
    ported = STORED.generic("ported")
    plain = Constants({**STORED.values, ("generic", "all", "ported"): 1.0})
    for name, chip, factor in (
        ("fsdp", "mi300x", ported),
        ("fsdp", "h100-sxm", 1.0),
        ("primus", "mi300x", 1.0),
    ):
        with_port, without = (
            training_constants.efficiency(known, kind(chips.chip(chip), name=name))
            for known in (STORED, plain)
        )
        assert with_port.software == pytest.approx(factor * without.software)
        assert with_port.matmul_software == pytest.approx(factor * without.matmul_software)


def test_a_rate_bends_smoothly_towards_its_links():
    """Far below them a factor is a factor; far above, the links' rate; and a factor always helps."""
    fabric = replace(interconnect.scaleup_fabric(H100), efficiency=0.5)
    shares = [training_nodes._scaled(fabric, one).efficiency for one in (0.5, 1.01, 2.0, 8.0)]
    assert shares == sorted(shares) and shares[0] == pytest.approx(0.25, rel=1e-4)
    assert 0.49 < shares[1] < 0.505 and 0.85 < shares[2] < 1 and 0.999 < shares[3] <= 1
    assert training_nodes._scaled(fabric, 1.0) == fabric


def test_gradient_bytes():
    held = stacks.gradient_bytes
    assert held(stacks.find("megatron"), "fp16", 1) == 2
    assert held(stacks.find("megatron"), "bf16", 1) == 4
    assert held(stacks.find("nemo"), "bf16", 1) == 2
    assert held(stacks.find("deepspeed"), "bf16", 1) == 6
    assert held(stacks.find("deepspeed"), "bf16", 3) == 2
    assert stacks.wire_bytes(stacks.find("torchtitan"), "bf16") == 4
    assert stacks.wire_bytes(stacks.find("nemo"), "bf16") == 2


def test_reserves_by_stack():
    assert training_constants.reserve(STORED, stacks.find("deepspeed")) == (
        STORED.generic("reserve_bytes"),
        STORED.generic("reserve_share"),
    )
    assert training_constants.reserve(STORED, stacks.find("fsdp")) == (
        STORED.generic("reserve_bytes_fused"),
        0.0,
    )
    assert training_constants.reserve(STORED, stacks.find("csoft"), cores_alone=True) == (0.0, 0.0)


def test_intervals_bracket_one_and_widen():
    for family, mixture in (
        ("nvidia-hopper", False),
        ("google-tpu", False),
        ("nvidia-hopper", True),
    ):
        bounds = [
            training_constants.usual_interval(STORED, level, family, mixture)
            for level in ("measured", "family", "generic")
        ]
        assert all(low < 1 < high for low, high in bounds)
        assert all(
            wide[0] <= narrow[0] and wide[1] >= narrow[1]
            for narrow, wide in zip(bounds, bounds[1:], strict=False)
        )


def test_a_node_is_the_chip_at_sustained_links():
    node = training_nodes.node(STORED, H100, "fp8")
    assert (
        node.peak_flops == H100.peak_flops["fp8"]
        and node.wide_peak_flops == H100.peak_flops["bf16"]
    )
    assert node.memory_bytes_per_s == pytest.approx(3.35e12) and node.value_bytes == 1
    assert node.scaleup.bytes_per_s == pytest.approx(450e9)


@pytest.mark.parametrize("chip", [H100, TPU, chips.chip("mi300x")])
def test_training_and_serving_see_one_fabric(chip):
    """Only a factor on its rate tells collectives inside a step from those timed alone, up to the links' own rate."""
    factor = STORED.generic("scaleup_torus" if chip is TPU else "scaleup")
    ours = training_nodes.node(STORED, chip, "bf16").scaleup
    measured = interconnect.scaleup_fabric(chip)
    assert ours.efficiency <= min(measured.efficiency * factor, 1.0)
    assert ours.efficiency > 0.9 * min(measured.efficiency * factor, 1.0)
    assert replace(ours, efficiency=measured.efficiency) == measured
    assert training_nodes.plain_node(chip, "bf16").scaleup == measured


def test_a_small_all_reduce_takes_the_same_time_in_both():
    """One MiB over eight H100s: 12.2 us in training and 28.1 in serving, until both asked the measured fabric."""
    fabrics = (training_nodes.node(STORED, H100, "bf16").scaleup, interconnect.scaleup_fabric(H100))
    training_s, serving_s = (collectives.all_reduce(2**20, 8, fabric) for fabric in fabrics)
    assert training_s == pytest.approx(serving_s, rel=0.1)


def test_full_precision_attention_runs_no_faster_than_its_matmuls():
    chip = replace(H100, peak_flops={"fp32": 60e12, "bf16": 1e15})
    assert training_nodes.node(STORED, chip, "fp32").wide_peak_flops == 60e12


def test_missing_links_fall_back_and_missing_rates_say_so():
    lone = replace(H100, scaleup=None, scaleout=None, domain_chips=None)
    assert training_nodes.scaleup(lone).domain_chips == 1
    likely = relatives.link(lone, "scaleout").bytes_per_s
    assert training_nodes.scaleout(lone).bytes_per_s == likely
    silent = replace(H100, tiers=(Tier("hbm", 80e9, None),))
    with pytest.raises(InputError, match="chip h100-sxm: no published memory bandwidth"):
        training_nodes.memory_bandwidth(silent)
    slow = replace(H100, tiers=(Tier("sram", 1e9, 1e13), Tier("ddr", 1e12, None)))
    assert training_nodes.memory_bandwidth(slow) == 1e13


def test_wafers_keep_activations_in_sram_and_stream_their_weights():
    wafer = chips.chip("wse-3")
    assert training_nodes.memory_bandwidth(wafer) == wafer.tier("sram").bytes_per_s
    assert training_nodes.weight_bandwidth(wafer) == wafer.tier("ddr").bytes_per_s
    assert training_nodes.weight_bandwidth(H100) == 0


def test_an_unbounded_scale_up_link_stays_so():
    endless = replace(H100, scaleup=Link(1e11, 1e-6, None))
    assert training_nodes.scaleup(endless).domain_chips == 1e9


def test_the_rate_of_a_machine_is_that_of_the_format_it_was_timed_in():
    timed = attainable.machines()
    assert timed["xzwgit_flops_bench", "rtx-4090", "fp8"] == pytest.approx(354.31e12)
    assert timed["xzwgit_flops_bench", "rtx-4090", "int8"] == pytest.approx(676e12)
    assert timed["simumax_b200_dense", "b200", "bf16"] == timed["simumax_b200", "b200", "bf16"]


def under(name):
    """Efficiencies of a stack on H100 in BF16, by the stored constants."""
    return training_constants.efficiency(
        STORED, training_constants.kind(H100, "bf16", stacks.find(name))
    )


def test_tritons_first_attention_is_slower_than_the_second_version():
    first, second = (under(name).attention for name in ("llm-foundry", "composer"))
    assert first == pytest.approx(second / 1.8, rel=1e-3)


def test_fused_attention_exceeds_half_of_peak_but_not_what_the_best_kernels_reach():
    kind = training_constants.kind(H100, "bf16", stacks.find("megatron-core"))
    share = training_constants.efficiency(STORED, kind).attention
    assert 0.5 < share <= training_constants.HIGHEST_ATTENTION
    fast = {("generic", "all", "attention"): 5.0}
    most = training_constants.efficiency(Constants({**STORED.values, **fast}), kind).attention
    assert most == pytest.approx(training_constants.HIGHEST_ATTENTION, rel=1e-3)


def test_only_stacks_whose_network_takes_no_messages_from_a_gpu_wait_for_the_host():
    names = ("megatron-bridge-efa", "megatron-bridge")
    posted, plain = (under(name).peer_seconds for name in names)
    assert posted == STORED.generic("peer_seconds") > 0 == plain


def test_a_fused_loss_moves_fewer_bytes():
    fused, plain = (under(name).logit_bytes for name in ("nemo", "megatron-core"))
    assert fused < plain / 2


def test_a_card_that_runs_above_the_clock_of_its_sheet_is_told_no_more_than_what_its_products_reach():
    """An RTX 5090's large products reach 1.21 times its data sheet's peak: of that sheet a well filled one would use more
    than all."""
    asked = {"model": "flor-6.3b", "chip": "rtx-5090", "chips": 1, "global_batch": 512}
    (answer,) = training.predict([asked])
    sheet = chips.chip("rtx-5090").peak_flops["bf16"] / 1e12
    assert answer["ok"] and answer["mfu"] < 0.9
    assert answer["mfu"] == pytest.approx(
        answer["model_tflops_per_chip"] / sheet / 1.2125, rel=0.01
    )


def test_a_chip_that_has_no_memory_but_its_cores_pays_for_no_gpus_runtime():
    """What contexts and buffers of GPUs take is more than such a chip has; one with GDDR or HBM beside its cores pays."""
    own = {"id": "odd", "name": "Odd", "bf16_tflops": 50, "sram_mb": 1024, "sram_tb_per_s": 40}
    own |= {"scaleup_gb_per_s_per_direction": 100, "scaleup_domain_chips": 256}
    asked = {"model": "llama3.1-8b", "chips": 2048, "seq_len": 4096}
    bare, beside = training.predict(
        [asked | {"chip": own}, asked | {"chip": own | {"ddr_gb": 16, "ddr_gb_per_s": 500}}]
    )
    assert bare["fits"] and bare["memory_gib"]["workspace"] < 0.2 < bare["memory_gib"]["total"]
    assert (
        beside["memory_gib"]["workspace"] >= 0.999 * STORED.generic("reserve_bytes_fused") / 2**30
    )


def test_errors_scatter_less_the_wider_a_model_is_within_the_widths_that_were_measured():
    power = training_constants.scatter_power(STORED)
    assert 0 < power < 1
    widths = [512, 1024, 4096, 16384, 65536]
    reach = training_constants.relative_scatter(np.array(widths), power)
    assert reach.tolist() == pytest.approx([4**power, 4**power, 1, 4**-power, 4**-power])
    wide, narrow = (
        training_constants.interval(STORED, "measured", H100.family, models.model(name))
        for name in ("llama3.1-405b", "llama3.2-1b")
    )
    assert narrow[0] < wide[0] < 1 < wide[1] < narrow[1]

"""The stored constants: complete, plausible, and found from the general to the particular."""

from dataclasses import replace

import pytest

from training_moat.calibrate import priors
from training_moat.catalog import chips, tables
from training_moat.core.errors import InputError
from training_moat.core.machine import Link, Tier
from training_moat.predict import training_constants
from training_moat.predict.training_constants import Constants

STORED = training_constants.load()
H100, TPU, SAMBANOVA = (chips.chip(name) for name in ("h100-sxm", "tpu-v5p", "sn40l"))


def test_every_generic_constant_is_stored():
    names = {name for level, _, name in STORED.values if level == "generic"}
    assert set(priors.GENERIC_PRIORS) <= names
    assert {"reserve_bytes", "reserve_share", "reserve_bytes_fused"} <= names


def test_shares_are_shares_and_times_are_short():
    for name in (
        "matmul_16",
        "matmul_8",
        "matmul_8mx",
        "matmul_4",
        "attention",
        "memory",
        "scaleup",
        "scaleout",
        *priors.SHARES,
    ):
        assert 0 < STORED.generic(name) <= 1
    assert STORED.generic("layer_seconds") < 1e-3 and STORED.generic("step_seconds") < 0.1
    assert 0 <= STORED.generic("reserve_bytes_fused") < 16e9


def test_there_is_no_constant_per_source_or_model():
    """Levels speak for hardware and software only, and are few beside the runs they were fitted on."""
    table = tables.load(training_constants.TABLE)
    fitted = table[table["level"] != "interval"]
    assert set(fitted["level"]) <= {"generic", "family", "chip", "software"}
    assert set(fitted.loc[fitted["level"] == "chip", "key"]) <= set(chips.all_chips())
    assert set(fitted.loc[fitted["level"] == "software", "key"]) <= set(
        training_constants.STACK_OF_SOFTWARE.values()
    ) | {"megatron-2021"}
    assert len(fitted) < 0.1 * table["rows"].max()


def test_factors_multiply_from_the_general_to_the_particular():
    values = {
        ("generic", "all", "matmul_16"): 0.5, ("family", H100.family, "matmul"): 1.2, ("family", H100.family, "matmul_16"): 1.1,
        ("chip", "h100-sxm", "matmul"): 0.9,
    }  # fmt: skip
    known = Constants({**STORED.values, **values})
    assert training_constants.efficiency(
        known, H100, "bf16", "megatron-core"
    ).matmul == pytest.approx(0.5 * 1.2 * 1.1 * 0.9)
    unknown = replace(H100, id="mine", family="custom")
    assert training_constants.efficiency(known, unknown, "bf16", "megatron-core").matmul == 0.5


def test_levels_say_how_well_a_chip_is_known():
    assert [
        training_constants.level(STORED, chip)
        for chip in (H100, replace(H100, id="mine"), SAMBANOVA)
    ] == ["measured", "family", "generic"]


def test_software_names_map_to_calibrated_stacks():
    assert (
        training_constants.stack(None)
        == training_constants.stack("NeMo")
        == training_constants.stack("primus")
        == "megatron-core"
    )
    assert training_constants.stack("megatron", flash_attention=False) == "megatron-2021"
    assert training_constants.stack("deepspeed", flash_attention=False) == "deepspeed"
    assert (
        training_constants.default_software(TPU) == "maxtext"
        and training_constants.default_software(SAMBANOVA) == "other"
    )


def test_an_unmeasured_stack_is_as_slow_as_the_usual_one():
    assert training_constants.stack_speed(STORED, "megatron-core") == 1.0
    assert training_constants.stack_speed(STORED, "other") == STORED.generic("other_stack") < 1.0


def test_only_old_stacks_wait_for_every_tensor_collective():
    assert training_constants.efficiency(STORED, H100, "bf16", "megatron-2021").overlap_tensor == 0
    assert training_constants.efficiency(STORED, H100, "bf16", "megatron-core").overlap_tensor > 0


def test_gradient_bytes():
    assert training_constants.gradient_bytes("fp16", "megatron-2021") == 2
    assert training_constants.gradient_bytes("bf16", "megatron-core", "megatron") == 4
    assert training_constants.gradient_bytes("bf16", "megatron-core", "nemo") == 2
    assert training_constants.gradient_bytes("bf16", "deepspeed") == 6


def test_reserves_by_stack():
    assert training_constants.reserve(STORED, "deepspeed") == (
        STORED.generic("reserve_bytes"),
        STORED.generic("reserve_share"),
    )
    assert training_constants.reserve(STORED, "fsdp") == (
        STORED.generic("reserve_bytes_fused"),
        0.0,
    )


def test_intervals_bracket_one_and_widen():
    for family, mixture in (
        ("nvidia-hopper", False),
        ("google-tpu", False),
        ("nvidia-hopper", True),
    ):
        bounds = [
            training_constants.interval(STORED, level, family, mixture)
            for level in ("measured", "family", "generic")
        ]
        assert all(low < 1 < high for low, high in bounds)
        assert all(
            wide[0] <= narrow[0] and wide[1] >= narrow[1]
            for narrow, wide in zip(bounds, bounds[1:], strict=False)
        )


def test_a_node_is_the_chip_at_sustained_links():
    node = training_constants.node(STORED, H100, "fp8")
    assert (
        node.peak_flops == H100.peak_flops["fp8"]
        and node.wide_peak_flops == H100.peak_flops["bf16"]
    )
    assert node.memory_bytes_per_s == pytest.approx(3.35e12) and node.value_bytes == 1
    assert node.scaleup.bytes_per_s == pytest.approx(
        450e9
    ) and node.scaleup.efficiency == STORED.generic("scaleup")
    assert training_constants.node(STORED, TPU, "bf16").scaleup.efficiency == STORED.generic(
        "scaleup_torus"
    )
    renewed = Constants({**STORED.values, ("generic", "all", "scaleup"): 0.5})
    assert training_constants.with_efficiencies(node, renewed).scaleup.efficiency == 0.5


def test_full_precision_attention_runs_no_faster_than_its_matmuls():
    chip = replace(H100, peak_flops={"fp32": 60e12, "bf16": 1e15})
    assert training_constants.node(STORED, chip, "fp32").wide_peak_flops == 60e12


def test_missing_links_fall_back_and_missing_rates_say_so():
    lone = replace(H100, scaleup=None, scaleout=None)
    assert training_constants.scaleup(STORED, lone).domain_chips == 1
    assert (
        training_constants.scaleout(STORED, lone).bytes_per_s
        == training_constants.median_scaleout()
    )
    silent = replace(H100, tiers=(Tier("hbm", 80e9, None),))
    with pytest.raises(InputError, match="chip h100-sxm: no published memory bandwidth"):
        training_constants.memory_bandwidth(silent)
    slow = replace(H100, tiers=(Tier("sram", 1e9, 1e13), Tier("ddr", 1e12, None)))
    assert training_constants.memory_bandwidth(slow) == 1e13


def test_an_unbounded_scale_up_link_stays_so():
    endless = replace(H100, scaleup=Link(1e11, 1e-6, None))
    assert training_constants.scaleup(STORED, endless).domain_chips == 1e9

"""Chips against what their vendors publish, and against each other."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training_moat.catalog import chips, scenario, schemas, tables
from training_moat.core.errors import InputError
from training_moat.core.machine import Chip

PETA = 1e15


def test_all_chips_become_core_chips():
    built = chips.all_chips()
    assert len(built) == len(tables.load("chips")) >= 63
    assert all(isinstance(chip, Chip) for chip in built.values())


def test_h100_as_in_its_data_sheet():
    """NVIDIA H100 data sheet: 989 TFLOP/s BF16 dense, 80 GB at 3.35 TB/s, 18 links of 25 GB/s a direction."""
    h100 = chips.chip("h100-sxm")
    assert h100.peak_flops["bf16"] == pytest.approx(0.989 * PETA, rel=1e-3)
    assert h100.peak_flops["fp8"] == pytest.approx(2 * h100.peak_flops["bf16"], rel=1e-3)
    assert "fp4" not in h100.peak_flops
    assert h100.main_memory.capacity_bytes == 80 * 2**30
    assert h100.main_memory.bytes_per_s == pytest.approx(3.35e12)
    assert h100.scaleup.bytes_per_s == 18 * 25e9
    assert h100.scaleout.bytes_per_s == 400e9 / 8


@pytest.mark.parametrize("name", ["VR200", "VR200 NVL72", "R200", "Vera Rubin"])
def test_rubin_goes_by_the_names_of_its_boards_and_racks(name):
    assert chips.resolve(name) == "rubin"


def test_rubin_takes_the_training_rate_and_gaudi3_the_shipped_one():
    assert chips.chip("rubin").peak_flops["fp4"] == 35 * PETA
    assert chips.chip("gaudi3").peak_flops["fp8"] == 1.677 * PETA


def test_wafers_are_dense_rates():
    assert chips.chip("wse-2").peak_flops["fp16"] == 7.5 * PETA
    assert chips.chip("wse-3").peak_flops["fp16"] == 12.5 * PETA


@pytest.mark.parametrize(
    ("chip_id", "tier"),
    [("groq-lpu-v1", "sram"), ("sn10", "ddr"), ("sn30", "ddr"), ("sn40l", "hbm")],
)
def test_main_memory_of_the_startups(chip_id, tier):
    chip = chips.chip(chip_id)
    assert chip.main_memory.name == tier
    assert (chip.tier("hbm") is None) == (tier != "hbm")


def test_every_memory_beside_a_chip_has_its_kind():
    frame = chips.frame()
    assert frame.loc[frame["ddr_gb"] > 0, "ddr_type"].notna().all()
    kinds = {
        name: one.tier("ddr").word for name, one in chips.all_chips().items() if one.tier("ddr")
    }
    assert set(kinds.values()) == {"DDR", "LPDDR", "GDDR", "DRAM and flash"}
    assert (kinds["rtx-4090"], kinds["gh200"], kinds["sn10"]) == ("GDDR", "LPDDR", "DDR")


def test_inferentia2_and_trainium1_differ_in_the_network_only():
    one, other = chips.chip("inferentia2"), chips.chip("trainium1")
    assert one.peak_flops == other.peak_flops
    assert one.tier("hbm") == other.tier("hbm")
    assert other.scaleup.bytes_per_s == 2 * one.scaleup.bytes_per_s


def test_ports_of_gaudis_are_counted_inside_a_server_or_out_of_it():
    for name, ports, gbit in (("gaudi1", 10, 100), ("gaudi2", 24, 100), ("gaudi3", 24, 200)):
        one = chips.chip(name)
        links = one.scaleup.bytes_per_s + one.scaleout.bytes_per_s
        assert links == pytest.approx(ports * gbit * 1e9 / 8), name


def test_links_between_ipus_end_at_the_rack():
    for name in ("gc200", "bow-ipu"):
        one = chips.chip(name)
        assert (one.scaleup.bytes_per_s, one.scaleup.domain_chips) == (10 * 16e9, 64), name
        assert one.scaleout.bytes_per_s == 2 * 100e9 / 8 / 4, name  # gateways of a machine of four


@pytest.mark.parametrize(
    "name, links, gb_per_s, dcn_gbit",
    [
        ("tpu-v3", 4, 82, None),  # 656 Gbit/s
        ("tpu-v4", 6, 50, None),
        ("tpu-v5e", 4, 50, 2 * 100 / 8),
        ("tpu-v5p", 6, 100, 50),
        ("tpu-v6e", 4, 100, 4 * 200 / 8),
        ("tpu-v7", 6, 100, 100),
    ],
)
def test_links_of_tpus_are_told_at_line_rate(name, links, gb_per_s, dcn_gbit):
    """Google's documentation: half of the bidirectional ICI bandwidth a chip; network cards over chips of a host."""
    one = chips.chip(name)
    assert one.scaleup.bytes_per_s == links * gb_per_s * 1e9
    assert (one.scaleout and one.scaleout.bytes_per_s) == (dcn_gbit and dcn_gbit * 1e9 / 8)


def test_peaks_of_ascends_are_those_of_their_matrix_units():
    """Huawei's msModeling: cores x 16^3 multiply-adds a clock at 1.8 GHz on the 910; the white paper's sums less 54 of the
    vector units on the 950."""
    core = 2 * 16**3 * 1.8e9
    assert chips.chip("ascend-910b").peak_flops["bf16"] == pytest.approx(20 * core, rel=1e-3)
    assert chips.chip("ascend-910c").peak_flops["bf16"] == pytest.approx(2 * 24 * core, rel=1e-3)
    for name in ("ascend-950dt", "ascend-950pr"):
        peaks = chips.chip(name).peak_flops
        assert peaks["bf16"] + 54e12 == 486e12 and peaks["fp8"] + 54e12 == 919e12, name


def test_mi250x_is_a_module_of_two_dies():
    """AMD's microarchitecture page, the user guide of Frontier."""
    one = chips.chip("mi250x")
    assert one.scaleup.domain_chips == 4
    assert one.peak_flops["fp32"] == pytest.approx(220 * 256 * 1.7e9, rel=1e-3)


def test_lower_precision_is_never_slower():
    for chip in chips.all_chips().values():
        if "fp8" in chip.peak_flops and "bf16" in chip.peak_flops:
            assert chip.peak_flops["fp8"] >= chip.peak_flops["bf16"], chip.id


def test_formats_said_to_be_missing_have_no_peak():
    columns = {**chips.PEAK_COLUMNS}
    for row in tables.load("chips").dropna(subset=["formats_not_supported"]).itertuples():
        for name in row.formats_not_supported.split(";"):
            assert getattr(row, columns[name]) != getattr(row, columns[name]), f"{row.id} {name}"


@pytest.mark.parametrize(
    ("said", "chip_id"),
    [
        ("GroqChip", "groq-lpu-v1"), ("CS-3", "wse-3"), ("cs2", "wse-2"), ("Bow", "bow-ipu"), ("Ironwood", "tpu-v7"),
        ("trn2", "trainium2"), ("GB200 NVL72", "gb200"), ("910C", "ascend-910c"), ("SambaNova SN40L", "sn40l"),
    ],
)  # fmt: skip
def test_a_chip_answers_to_the_names_that_people_use(said, chip_id):
    assert chips.resolve(said) == chip_id


@pytest.mark.parametrize(
    ("said", "chip_id"),
    [
        ("A100-80G", "a100-80"), ("A100 (40G)", "a100-40"), ("A100-PCIE-40G", "a100-pcie-40"), ("H100 80 GiB", "h100-sxm"),
        ("H200 141GB", "h200"), ("H20-96G", "h20"), ("MI300X 192GB", "mi300x"), ("L40S 48GB", "l40s"),
        ("RTX 4090 24G", "rtx-4090"), ("B200 180GB", "b200"), ("A800 80G", "a100-80"), ("Gaudi2 96GB", "gaudi2"),
    ],
)  # fmt: skip
def test_the_size_of_a_chips_memory_may_stand_behind_its_name(said, chip_id):
    assert chips.resolve(said) == chip_id


@pytest.mark.parametrize(
    ("said", "chip_id"),
    [
        ("A100 SXM 80GB", "a100-80"), ("NVIDIA A100 80GB SXM", "a100-80"), ("A100 40GB SXM", "a100-40"),
        ("H100 80GB SXM5", "h100-sxm"), ("PCIe 80GB A100", "a100-pcie-80"),
        ("v6e", "tpu-v6e"), ("inf2", "inferentia2"), ("n300", "wormhole"), ("p150", "blackhole"),
    ],
)  # fmt: skip
def test_a_chip_answers_to_its_words_in_any_order_and_to_short_names(said, chip_id):
    assert chips.resolve(said) == chip_id


@pytest.mark.parametrize(
    ("said", "chip_id", "tflops", "gb"),
    [
        ("L2", "l2", 96.5, 24), ("RTX 6000 Ada", "rtx-6000-ada", 364.5, 48), ("RTX 4080", "rtx-4080", 97.5, 16),
        ("RTX 3090 Ti", "rtx-3090-ti", 80, 24), ("Arc Pro B60", "arc-pro-b60", 98.3, 24),
        ("A10G", "a10g", 70, 24), ("NVIDIA L4", "l4", 121, 24), ("L40", "l40", 181, 48), ("L20", "l20", 119.5, 48),
        ("A40", "a40", 149.7, 48), ("A6000", "rtx-a6000", 154.8, 48), ("RTX 3090", "rtx-3090", 71.2, 24),
        ("RTX PRO 6000", "rtx-pro-6000", 503.8, 96), ("Tesla T4", "t4", 65, 16), ("MI210", "mi210", 181, 64),
        ("Ascend 910B2", "ascend-910b2", 353.9, 64), ("910B4", "ascend-910b4", 245.8, 32), ("RNGD", "rngd", 256, 48),
    ],
)  # fmt: skip
def test_cards_and_parts_that_are_rented_and_owned_are_known(said, chip_id, tflops, gb):
    """Dense peaks in sixteen bits: data sheets give most with sparsity, which doubles them, and those of cards for games with
    sums in 16 bits as well, which doubles them again."""
    chip = chips.chip(said)
    assert chip.id == chip_id
    assert max(chip.peak_flops.get(name, 0) for name in ("bf16", "fp16")) == pytest.approx(
        tflops * 1e12, rel=0.005
    )
    assert max(tier.capacity_bytes for tier in chip.tiers) >= gb * 1e9


def test_a_desktop_machine_whose_maker_tells_one_rate_has_no_other():
    spark = chips.chip("DGX Spark")
    assert set(spark.peak_flops) == {"fp4"} and spark.scaleup is None


@pytest.mark.parametrize("said", ["SXM 80GB", "A10X", "Ascend 910B7", "NVIDIA 80GB"])
def test_words_that_tell_no_chip_or_another_name_none(said):
    with pytest.raises(InputError, match="unknown chip"):
        chips.resolve(said)


@pytest.mark.parametrize("said", ["V100 16GB", "H20-141G", "H100 96GB", "A100 0GB", "80GB"])
def test_a_size_that_is_not_the_chips_names_none(said):
    with pytest.raises(InputError, match="unknown chip"):
        chips.resolve(said)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("V100 16GB", '{"base": "v100", "hbm_gb": 16}'), ("Tesla V100-SXM2-16GB", '{"base": "v100", "hbm_gb": 16}'),
        ("H20-141G", '{"base": "h20", "hbm_gb": 141}'), ("RTX 3090 48GB", '{"base": "rtx-3090", "ddr_gb": 48}'),
    ],
)  # fmt: skip
def test_a_chip_with_another_memory_is_told_as_an_object(said, meant):
    """The nearest spelling of "V100 16GB" was the H100's."""
    with pytest.raises(InputError) as problem:
        chips.resolve(said)
    assert str(problem.value) == f"unknown chip '{said}'; did you mean '{meant}'?"
    chips.from_record(json.loads(meant))


def test_a_size_that_another_of_that_name_has_leads_to_it():
    with pytest.raises(InputError, match="did you mean 'h100-hbm2e' or 'h100-nvl'"):
        chips.resolve("H100 96GB")
    with pytest.raises(InputError, match="did you mean 'ascend-910b4'"):
        chips.resolve("910B 32GB")


@pytest.mark.parametrize(
    ("said", "chip_id"),
    [
        ("Tesla V100-SXM2-32GB", "v100"), ("Tesla V100-SXM3-32GB", "v100"), ("V100-SXM2", "v100"), ("Tesla T4", "t4"),
        ("NVIDIA A100-SXM4-40GB", "a100-40"), ("NVIDIA H100 80GB HBM3", "h100-sxm"), ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA B300 SXM6 AC", "b300"), ("AMD Instinct MI300X OAM", "mi300x"), ("AMD Instinct MI325X OAM", "mi325x"),
        ("TPU v5 lite", "tpu-v5e"), ("TPU v6 lite", "tpu-v6e"), ("HL-225H", "gaudi2"), ("NVIDIA GeForce RTX 4090", "rtx-4090"), ("NVIDIA GH200 480GB", "gh200"),
    ],
)  # fmt: skip
def test_a_chip_answers_to_the_name_that_its_driver_prints(said, chip_id):
    """As nvidia-smi, torch.cuda.get_device_name, rocm-smi, hl-smi and JAX print it into the logs of runs."""
    assert chips.resolve(said) == chip_id


def test_a_makers_name_is_answered_with_its_chips():
    with pytest.raises(
        InputError, match="'cerebras' is a maker of chips; expected one of its own: wse-1"
    ):
        chips.resolve("cerebras")


@pytest.mark.parametrize(
    "spelling", ["H100-80GB-SXM", "NVIDIA H100 80GB HBM3", "h100 SXM5", "h100-sxm"]
)
def test_spellings_of_the_measurements_find_their_chip(spelling):
    assert chips.resolve(spelling) == "h100-sxm"


def test_unknown_chip_names_the_nearest():
    with pytest.raises(InputError, match="unknown chip 'sn4Ol'; did you mean 'sn40l'"):
        chips.chip("sn4Ol")


def test_a_chip_of_your_own_keeps_the_rest_of_its_base():
    own = chips.from_record({"base": "sn40l", "hbm_gb": 128})
    base = chips.chip("sn40l")
    assert own.tier("hbm").capacity_bytes == 128 * 2**30
    assert own.tier("hbm").bytes_per_s == base.tier("hbm").bytes_per_s
    assert own.peak_flops == base.peak_flops


def test_matrix_units_are_as_wide_as_the_table_says_also_on_a_chip_made_from_another():
    assert chips.chip("tpu-v5p").matrix_unit == 128
    assert chips.chip("tpu-v6e").matrix_unit == 256
    assert chips.chip("h100-sxm").matrix_unit is None
    own = chips.from_record({"id": "own", "base": "tpu-v6e", "matrix_unit_width": 128})
    assert own.matrix_unit == 128


def test_a_chip_without_a_base_has_only_what_it_says():
    own = chips.from_record({"name": "mine", "bf16_tflops": 500, "hbm_gb": 96, "hbm_tb_per_s": 3})
    assert own.peak_flops == {"bf16": 500e12}
    assert own.scaleup is None
    assert own.family == "custom"


def test_where_no_source_is_left_the_row_does_not_load():
    record = scenario.completed("chips", {"name": "mine", "bf16_tflops": 1}, "here") | {
        "source": "nowhere"
    }
    with pytest.raises(InputError, match="column source: unknown source 'nowhere'"):
        scenario.typed("chips", [record], "here", ["mine"])


@settings(deadline=None, max_examples=25)
@given(st.text(min_size=1).filter(lambda text: text.strip() and not _is_number(text)))
def test_whatever_is_no_number_is_named_with_its_place(text):
    cells = tables.load("chips").head(2).astype("str").replace("nan", None)
    cells.loc[1, "tdp_w"] = text
    _, problems = schemas.parse("chips", cells.astype("str"), "data/chips.csv", [2, 3])
    assert [(problem.row, problem.column, problem.value) for problem in problems] == [
        (3, "tdp_w", text)
    ]


def _is_number(text: str) -> bool:
    try:
        return abs(float(text)) < float("inf")
    except ValueError:
        return False


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("h1000", "did you mean 'h100-sxm'"),
        ("H-100 SXM5 80GB (OCI)", "did you mean 'h100-sxm'"),
        ("mi300", "did you mean 'mi300x'"),
        ("trainium", "did you mean 'trainium1', 'trainium2' or 'trainium3'"),
        ("Blackwell", "is a family of chips; expected one of its own: b200, gb200"),
        ("", "`moat chips` lists them"),
        ("falcon-1", "`moat chips` lists them"),
    ],
)
def test_a_name_that_is_none_is_answered_with_what_it_may_mean(name, expected):
    with pytest.raises(InputError) as problem:
        chips.resolve(name)
    assert expected in str(problem.value)

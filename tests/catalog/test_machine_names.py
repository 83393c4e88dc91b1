"""Names of machines and slices where a chip is expected."""

from __future__ import annotations

import pytest

from training_moat.catalog import chips, tables
from training_moat.core.errors import InputError
from training_moat.predict import serving


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("inf2.48xlarge", ("inferentia2", 12)),
        ("Trn2.48xlarge", ("trainium2", 16)),
        ("v6e-8", ("tpu-v6e", 8)),
        ("TPU v5e-4", ("tpu-v5e", 4)),
        ("v5litepod-16", ("tpu-v5e", 16)),
        ("v5p-8", ("tpu-v5p", 4)),
        ("v3-8", ("tpu-v3", 4)),
        ("TPU v4-512", ("tpu-v4", 256)),
        ("BM.GPU.MI300X.8", ("mi300x", 8)),
        ("T3K", ("wormhole", 4)),
        ("p300", ("blackhole", 2)),
        ("SambaRack SN40L-16", ("sn40l", 16)),
        ("DGX A100", ("a100-40", 8)),
        ("DGX-H100", ("h100-sxm", 8)),
        ("NVIDIA HGX B300", ("b300", 8)),
        ("p5en.48xlarge", ("h200", 8)),
        ("a3-megagpu-8g", ("h100-sxm", 8)),
        ("Standard_ND96isr_MI300X_v5", ("mi300x", 8)),
        ("8x H100", ("h100-sxm", 8)),
        ("4xMI300X", ("mi300x", 4)),
        ("8 H100", ("h100-sxm", 8)),
        ("H100:8", ("h100-sxm", 8)),
        ("MI300Xx8", ("mi300x", 8)),
        ("4 L40S", ("l40s", 4)),
    ],
)
def test_a_machine_is_its_chips(name: str, found: tuple[str, int]) -> None:
    assert chips.of_machine(name) == found
    assert chips.resolve(name) == found[0]


@pytest.mark.parametrize(
    "name",
    ["v5p-7", "v6e-0", "0x H100", "8x nothing", "x H100", "AMD DGX B200", "H100:0", "8 80GB"],
)
def test_what_is_none(name: str) -> None:
    assert chips.of_machine(name) is None
    with pytest.raises(InputError):
        chips.resolve(name)


def test_no_name_of_a_chip_is_taken_for_a_machine() -> None:
    frame = tables.load("chips")
    assert not any(map(chips.of_machine, [*frame["id"], *frame["name"]]))


def _served(**asked):
    (answer,) = serving.predict([{"model": "llama3.1-8b", "batch": 4} | asked])
    assert answer["ok"], answer
    return answer


def test_all_chips_of_a_machine_serve_unless_a_request_says_how_many() -> None:
    whole, told = _served(chip="inf2.24xlarge"), _served(chip="inferentia2", chips=6)
    assert (whole["tpot_s"], whole["plan"]) == (told["tpot_s"], told["plan"])
    assert "'inf2.24xlarge' is 6 inferentia2, all taken" in whole["notes"]
    two = _served(chip="inf2.24xlarge", chips=2)
    assert two["plan"]["chips"] == 2
    assert "'inf2.24xlarge' is 6 inferentia2; chips counts these" in two["notes"]
    assert _served(chip="v6e-1") == _served(chip="tpu-v6e", chips=1) | {"notes": _served(chip="v6e-1")["notes"]}  # fmt: skip


def test_who_counts_a_card_of_several_is_told() -> None:
    """Tenstorrent's eight chips of a T3K are four cards of the table."""
    (note,) = (each for each in _served(chip="wormhole", chips=8)["notes"] if "card" in each)
    assert note == "chips counts wormhole, which is a card of 2 ASICs"
    assert not any("card" in each for each in _served(chip="blackhole", chips=8)["notes"])

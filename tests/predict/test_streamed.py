"""Chips that stream their weights from a store outside: what a request may ask of them, and what it is told."""

import pytest

from training_moat.predict import training

CASE = {"model": "llama3-70b", "chip": "wse-3", "chips": 16, "seq_len": 8192, "global_batch": 512}
PLAIN = training.predict([CASE])[0]


def ask(**more):
    return training.predict([CASE | more])[0]


@pytest.mark.parametrize("asked", [{"offload": "all"}, {"offload": "optimizer"}, {"zero_stage": 3}])
def test_where_states_are_to_be_changes_nothing_and_is_said(asked):
    found = ask(**asked)
    ((name, value),) = asked.items()
    assert f"{name} {value} changes nothing: the store has all states" in found["notes"]
    assert not any("host" in note for note in found["notes"])
    assert {**found, "notes": PLAIN["notes"]} == PLAIN
    assert not any("changes nothing" in note for note in ask(offload="none", zero_stage=0)["notes"])


def test_sixteen_bits_are_streamed_alike_in_either_format():
    half, brain = (ask(chips=64, precision=name) for name in ("fp16", "bf16"))
    assert brain["step_time_s"] == pytest.approx(half["step_time_s"])
    assert brain["store_gib"] == half["store_gib"]


def test_activations_stay_beside_the_cores_whatever_is_asked():
    found = ask(activation_offload="all")
    assert any(note.startswith("activation_offload all changes nothing") for note in found["notes"])
    assert {**found, "notes": PLAIN["notes"]} == PLAIN


def test_eight_bit_states_are_not_paged_out_of_a_store():
    one = ask(chips=1, software="torchtune", optimizer="adam8bit")
    assert one["ok"] and "offload" not in one["plan"]
    assert not any("paged" in note for note in one["notes"])


@pytest.mark.parametrize("many", [1, 3])
def test_experts_are_not_cut_over_replicas_however_many_are_asked(many):
    case = CASE | {"model": "mixtral-8x7b", "expert_tp": 2}
    for answer in training.predict([case] * many):
        assert not answer["ok"] and "expert_tp must be 1" in answer["error"]
    assert training.predict([case | {"expert_tp": 1}] * many)[0]["ok"]


def test_memory_beside_the_store_is_idle_and_said_to_be():
    own, more = ({"base": "wse-3", "hbm_gb": size, "hbm_tb_per_s": 4} for size in (0, 141))
    without, beside = ask(chip=own), ask(chip=more)
    assert beside["step_time_s"] == pytest.approx(without["step_time_s"])
    assert beside["memory_gib"] == without["memory_gib"]
    idle = [note for note in beside["notes"] if "HBM holds nothing" in note]
    assert len(idle) == 1 and idle[0] not in without["notes"]


def test_the_note_on_room_names_the_store_where_that_is_short():
    short = ask(chip={"base": "wse-3", "ddr_gb": 100})
    assert not short["fits"]
    (told,) = [note for note in short["notes"] if "hypothetical" in note]
    assert "GiB of the store outside the chips, which offers 9" in told
    (told,) = [note for note in ask(seq_len=10**6)["notes"] if "hypothetical" in note]
    assert "GiB a chip, wse-3 offers" in told

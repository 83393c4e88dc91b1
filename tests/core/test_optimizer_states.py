"""What optimizers keep of a weight, and when gradients stand beside the activations."""

from dataclasses import replace

import pytest

from training_moat.catalog import models
from training_moat.core.activations import Kept
from training_moat.core.memory import training_memory
from training_moat.core.optimizer_states import OPTIMIZER_BYTES, optimizer_bytes
from training_moat.core.output_head import logit_bytes
from training_moat.core.plan import Plan
from training_moat.core.units import GIB
from training_moat.core.workload import Transformer, embedding_params, params
from training_moat.predict import training

MODEL = Transformer("any", 4, 512, 8, 8, 64, 2048, 32000, gated_ffn=1)
WEIGHTS = params(MODEL)
LONG = Plan(4096, 4, 4, zero_stage=0, flash_attention=1)
"""One pass, whose activations take more than the gradients of all weights."""
SHORT = replace(LONG, seq_len=16, micro_batch=1, global_batch=1)
"""One pass, whose activations take less."""
NATIVE = Kept(torch_native=1)


def test_moments_have_the_type_of_the_weights():
    """By hand: two moments of 2 bytes for Adam and one for SGD, Lion and Muon without an FP32 copy; single bytes stay,
    and half ones with 4 bytes of scale for each 128."""
    found = {name: optimizer_bytes(name, False) for name in OPTIMIZER_BYTES}
    momentum, adam = (
        dict.fromkeys(("sgd", "lion", "muon"), 2),
        dict.fromkeys(("adam", "adamw", "nadam"), 4),
    )
    assert found == momentum | adam | {"adam8bit": 2, "adam4bit": 1.0625, "adafactor": 0}
    assert optimizer_bytes("adamw") == 12 and optimizer_bytes(5.0, False) == 5.0


def test_pure_16_bit_training_takes_six_bytes_a_weight_at_the_start_of_the_backward_pass():
    """By hand: a weight 2 and AdamW's moments 4; gradients of 2 come as activations go, or add up over two passes."""
    states = optimizer_bytes("adamw", False)
    ask = lambda plan: training_memory(MODEL, plan, states, 2.0, kept=NATIVE)  # noqa: E731
    long, short = ask(LONG), ask(SHORT)
    assert long.weights + long.optimizer == 6 * WEIGHTS
    assert long.activations > 2 * WEIGHTS and long.gradients == 0
    assert long.total == pytest.approx(6 * WEIGHTS + long.activations)
    assert short.activations < 2 * WEIGHTS and short.total == pytest.approx(8 * WEIGHTS)
    assert long.gradients_made == short.gradients_made == 2 * WEIGHTS
    twice = ask(replace(LONG, global_batch=8))
    assert twice.total == pytest.approx(8 * WEIGHTS + twice.activations)


def test_buffers_of_a_stack_of_its_own_stand_all_the_time():
    held = training_memory(MODEL, LONG)
    assert held.gradients == held.gradients_made == 4 * WEIGHTS


def test_logits_by_their_bytes():
    """By hand: the 16-bit product and its FP32 copy, which the gradient overwrites; operation by operation the softmax
    and two gradients in FP32, 12 bytes, as transformers' loss takes them; split over chips, PyTorch's loss 16."""
    logits = 4 * 4096 * 32000
    assert logit_bytes(MODEL, LONG) == 6 * logits
    assert logit_bytes(MODEL, LONG, eager=1) == logit_bytes(MODEL, LONG, 1, 1) == 12 * logits
    split = replace(LONG, tp=8)
    assert [logit_bytes(MODEL, split, 1, native) for native in (0, 1)] == [1.5 * logits, 2 * logits]


def test_what_fsdp_keeps_gathered():
    """ZeRO-2: all weights in 16 bits beside the FP32 shares; ZeRO-3: the embeddings and the head for the whole step."""
    two, three = (replace(LONG, global_batch=32, dp=8, zero_stage=stage) for stage in (2, 3))
    held = training_memory(MODEL, two, master_is_weight=1, kept=NATIVE)
    assert held.weights == pytest.approx(2 * WEIGHTS + 4 * WEIGHTS / 8)
    own, plain = (training_memory(MODEL, three, kept=kept) for kept in (NATIVE, Kept()))
    assert own.workspace - plain.workspace == pytest.approx(2 * embedding_params(MODEL))
    assert own.weights == plain.weights == pytest.approx(2 * WEIGHTS / 8)


def asked(software, **more):
    """The answer's memory in bytes a weight, of Llama 3.2 3B on one H100."""
    case = {"model": "llama3.2-3b", "chip": "h100-sxm", "chips": 1, "precision": "bf16"}
    case |= {"seq_len": 2048, "micro_batch": 2, "global_batch": 2, "zero_stage": 0}
    answer = training.predict([case | {"software": software, "released": "2026-11"} | more])[0]
    weights = params(models.model("llama3.2-3b")) / GIB
    kinds = ("weights", "optimizer", "gradients")
    return {kind: answer["memory_gib"][kind] / weights for kind in kinds}


def test_stacks_of_16_bit_states_are_asked_for_them():
    found = asked("litgpt-eager", recompute="none")
    assert found["weights"] == pytest.approx(2, rel=1e-3) and found["optimizer"] == pytest.approx(
        4, rel=1e-3
    )
    assert found["gradients"] == 0


def test_autocast_has_one_copy_of_weights_whose_layers_are_recomputed():
    """FP32 weights and two moments: 12 bytes; what autocast casts is gone before the backward pass, which casts again."""
    found = asked("pytorch-eager", recompute="full")
    assert found["weights"] + found["optimizer"] == pytest.approx(12, rel=1e-3)

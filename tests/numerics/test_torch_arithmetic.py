"""The larger experiment's functions in PyTorch agree with those in NumPy bit for bit, its network with the NumPy network."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy_arithmetic import Arithmetic, hadamard
from numpy_network import Network, Parameters, initialise

from training_moat.core.formats import FLOAT_FORMATS, SCALED_FORMATS, element, scaled
from training_moat.numerics import rounding, scaling
from training_moat.numerics.analysis import bits
from training_moat.numerics.design import Shape
from training_moat.numerics.design_larger import LARGER, UNITS
from training_moat.numerics.design_second import EXPERIMENTS, Gpt2Shape
from training_moat.numerics.recipes import recipe

FOLDER = Path(__file__).resolve().parents[2] / "experiments" / "low_precision"
torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch==2.13.0")
torch_arithmetic, torch_model, torch_rounding = (
    pytest.importorskip(name) for name in ("torch_arithmetic", "torch_model", "torch_rounding")
)

CPU = torch.device("cpu")
TINY = Shape(vocab=64, context=32, width=64, heads=4, layers=2, ffn=96)


class Given:
    """A generator that hands out draws that both sides use."""

    def __init__(self, draws):
        self.draws = draws

    def random(self, shape, dtype):
        return self.draws.reshape(shape).astype(dtype)

    def integers(self, low, high, size, dtype):
        return self.draws.reshape(size).astype(dtype)


def numbers(shape, octaves=12, seed=0):
    rng = np.random.default_rng(seed)
    spread = 2.0 ** rng.uniform(-octaves, octaves, shape)
    found = (rng.standard_normal(shape) * spread).astype(np.float32)
    found.flat[:4] = 0.0, -0.0, 448.0, -6.0
    return found


def same(ours, theirs):
    """Bit for bit, except that NaN is NaN."""
    np.testing.assert_array_equal(ours.numpy().view(np.uint32), theirs.view(np.uint32))


@pytest.mark.parametrize("name", [name for name in FLOAT_FORMATS if name not in ("fp32", "tf32")])
@pytest.mark.parametrize("saturate", [True, False])
def test_rounding_to_nearest(name, saturate):
    x, fmt = numbers((64, 256), octaves=30), element(name)
    ours = torch_rounding.nearest(torch.from_numpy(x), fmt, saturate)
    theirs = rounding.round_nearest(x, fmt, saturate)
    np.testing.assert_array_equal(np.isnan(ours.numpy()), np.isnan(theirs))
    same(
        torch.where(torch.isnan(ours), 1.0, ours),
        np.where(np.isnan(theirs), np.float32(1.0), theirs),
    )


@pytest.mark.parametrize("name", ["bf16", "fp16", "e4m3fn", "e5m2fnuz", "e2m1fn"])
def test_rounding_stochastically_by_the_same_draws(name):
    x, fmt = numbers((64, 256)), element(name)
    draws = torch_rounding.evenly(x.size, torch.tensor([3], dtype=torch.int32))
    if name == "bf16":
        draws = torch_rounding.dither(x.size, torch.tensor([3], dtype=torch.int32))
    ours = torch_rounding.stochastic(torch.from_numpy(x), fmt, draws.view(x.shape))
    same(ours, rounding.round_stochastic(x, fmt, Given(draws.numpy())))


@pytest.mark.parametrize("name", SCALED_FORMATS)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("scale_up", [True, False])
@pytest.mark.parametrize("random", [True, False])
def test_shared_scales(name, axis, scale_up, random):
    x, fmt = numbers((64, 96), octaves=3), scaled(name)
    x[:32, :32] = 0.0
    key = torch.tensor([5], dtype=torch.int32)
    draws = torch_rounding.evenly(x.size, key)
    own = torch.from_numpy(x)[None]
    whole = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    if fmt.scale != "e8m0":
        whole = torch_rounding.whole_scale(own.abs().amax().view(1, 1, 1, 1), fmt)
    given = own if axis == 0 else own.reshape(1, 1, -1)
    quantise = torch_arithmetic.blocks(name, axis + 1, scale_up, random)
    ours = quantise(given, whole, key).float().view(x.shape)
    generator = Given(draws.numpy()) if random else None
    if generator and axis == 0:  # draws go with places, whichever axis is cut into blocks
        generator = Given(draws.numpy().reshape(-1, fmt.block, 96))
    theirs = scaling.microscaled(x, fmt, scaling.rounding(generator), axis, scale_up)
    if fmt.scale == "e8m0":
        same(ours, theirs)
    else:  # codes times block scales: exact, before the FP32 scale of the whole tensor
        np.testing.assert_allclose(ours.numpy() * whole.item(), theirs, rtol=2e-7, atol=0)


@pytest.mark.parametrize("name", ["e4m3fn", "e5m2", "e4m3fnuz", "e5m2fnuz"])
def test_one_scale_per_tensor_and_run(name):
    fmt = element(name)
    both = np.stack([numbers((32, 48), octaves=4, seed=seed) for seed in (1, 2)])
    own = torch.from_numpy(both)
    amax = own.abs().amax((1, 2), keepdim=True)
    top = torch.full_like(amax, fmt.max_finite)
    quantise = torch_arithmetic.per_tensor(name, True, False)
    codes, _ = quantise(own.view(2, 1, -1), amax, 0 * amax, top)
    for run, one in enumerate(both):
        scale = scaling.tensor_scale(scaling.largest(one), fmt.max_finite)
        theirs = rounding.round_nearest(one * np.float32(scale), fmt)
        same(codes[run].float().view(one.shape), theirs)
        found = torch_rounding.tensor_scale(amax[run], top[run]).item()
        assert found == np.float32(scale)


def test_delayed_scales_look_back_as_far_and_are_one_a_run():
    fmt = element("e4m3fnuz")
    arithmetic = torch_arithmetic.Arithmetic(recipe("fp8_fnuz"), 2, CPU)
    theirs = [scaling.DelayedScale(fmt.max_finite, 16) for _ in range(2)]
    for use in range(40):
        x = np.stack([numbers((8, 16), octaves=2, seed=100 * run + use) for run in range(2)])
        found = arithmetic.operand(torch.from_numpy(x), "site", axis=2)
        scales = [np.float32(own.next(part)) for own, part in zip(theirs, x, strict=True)]
        np.testing.assert_allclose(1 / found.undo.view(-1).numpy(), scales, rtol=3e-7)


ARMS = (*LARGER.transfer_recipes, *LARGER.ported_recipes)


def placed(name, first, runs=2, shape=TINY):
    made = torch_model.Runs(
        recipe(UNITS.get(name, name)), shape, [1e-3] * runs, 4, CPU, units=name in UNITS
    )
    made.reset(3, np.zeros((4, 2, TINY.context + 1), np.int64))
    made.place(first)
    made.scale.fill_(1.0)
    return made


NEAREST = [name for name in ARMS if not recipe(UNITS.get(name, name)).stochastic_gradients]


@pytest.mark.parametrize("name", NEAREST)
def test_the_three_products_of_a_layer_are_those_of_the_numpy_arithmetic(name):
    """To a step of the held format, which the order of the sums may turn."""
    own = recipe(UNITS.get(name, name))
    rng, theirs = np.random.default_rng(2), Arithmetic(own, 3)
    made = (rng.standard_normal(size, dtype=np.float32) for size in ((64, 96), (96, 32), (64, 32)))
    x, w, g = (theirs.hold(one) for one in made)
    y, saved = theirs.linear(x, w, "site")
    expected = (y, *theirs.linear_backward(g, saved))
    arithmetic = torch_arithmetic.Arithmetic(own, 2, CPU, units=name in UNITS)
    inputs, weights, gradient = (torch.from_numpy(one).expand(2, -1, -1) for one in (x, w, g))
    inputs = inputs.to(arithmetic.held).requires_grad_()
    weights = weights.clone().requires_grad_()
    found = torch_arithmetic.Linear.apply(inputs, weights, arithmetic, "site")
    both = torch.autograd.grad(found, (inputs, weights), gradient.to(found.dtype))
    for ours, their in zip((found, *both), expected, strict=True):
        step = {"fp32": 2.0**-20, "bf16": 2.0**-7, "fp16": 2.0**-10}[own.held]
        scale = np.abs(their).max() * 2.0**-20
        for run in ours.detach().float().numpy():
            np.testing.assert_allclose(run, their, rtol=step, atol=scale)


def test_rotated_products_stay_what_they_were_but_for_four_bits():
    arithmetic = torch_arithmetic.Arithmetic(recipe("nvfp4"), 1, CPU)
    arithmetic.reset(3, torch.from_numpy(hadamard(16, np.random.default_rng([3, 1]))))
    x, g = (torch.randn(1, 64, 48), torch.randn(1, 64, 32))
    turned = arithmetic.rotate(x).transpose(1, 2) @ arithmetic.rotate(g)
    torch.testing.assert_close(turned, x.transpose(1, 2) @ g, rtol=1e-4, atol=1e-4)
    theirs = Arithmetic(recipe("nvfp4"), 3)._rotate(x[0].numpy())
    np.testing.assert_allclose(arithmetic.rotate(x)[0].numpy(), theirs, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in ARMS if not name.endswith("_nan")])
def test_losses_and_gradients_are_those_of_the_numpy_network(name):
    """FP32 but for the order of sums; short formats but for numbers that this order moves to the next code."""
    rng = np.random.default_rng(1)
    tokens, targets = rng.integers(0, TINY.vocab, (2, 4, TINY.context))
    first = initialise(TINY, 3)
    own = recipe(UNITS.get(name, name))
    arithmetic = Arithmetic(own, 3)
    kept, gradients = Parameters(TINY), Parameters(TINY)
    kept.vector[:] = arithmetic.keep_weights(first.vector)
    loss = Network(TINY, arithmetic).gradients(kept, tokens, targets, gradients, 1.0)
    runs = placed(name, kept)
    found, ours = runs.gradients(torch.from_numpy(tokens), torch.from_numpy(targets))
    flat = np.concatenate([ours[part][0].numpy().ravel() for part in TINY.tensors()])
    apart = np.linalg.norm(flat - gradients.vector) / np.linalg.norm(gradients.vector)
    width = bits(name)
    np.testing.assert_allclose(
        found.numpy(), loss, rtol={32: 2e-6, 16: 1e-3, 8: 3e-3, 4: 1e-2}[width]
    )
    assert apart < {32: 1e-5, 16: 0.03, 8: 0.25, 4: 0.7}[width], apart


def by_plain_torch(shape, first, tokens, targets):
    """Loss and gradients of the network like GPT-2, of PyTorch's own layers in FP64."""
    w = {name: torch.from_numpy(first[name]).double().requires_grad_() for name in shape.tensors()}

    def layer(function, x, name):
        return function(x, w[name], w[f"{name}.bias"])

    def norm(x, gain, bias):
        return torch.nn.functional.layer_norm(x, (shape.width,), gain, bias)

    def linear(x, weight, bias):
        return torch.nn.functional.linear(x, weight.t(), bias)

    x = w["tokens"][torch.from_numpy(tokens)] + w["positions"]
    for at in range(shape.layers):
        split = layer(linear, layer(norm, x, f"{at}.norm1"), f"{at}.qkv").chunk(3, dim=-1)
        q, k, v = (one.unflatten(-1, (shape.heads, -1)).transpose(1, 2) for one in split)
        mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + layer(linear, mixed.transpose(1, 2).flatten(2), f"{at}.out")
        raised = layer(linear, layer(norm, x, f"{at}.norm2"), f"{at}.up")
        active = torch.nn.functional.gelu(raised, approximate="tanh")
        x = x + layer(linear, active, f"{at}.down")
    logits = layer(norm, x, "norm") @ w["tokens"].t()
    flat = torch.from_numpy(targets).flatten()
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), flat)
    return loss.item(), torch.autograd.grad(loss, list(w.values()))


@pytest.mark.parametrize("name", LARGER.transfer_recipes)
def test_the_network_like_gpt2_is_that_of_pytorchs_own_layers(name):
    """FP32 but for the order of sums; short formats near it. Biases and gains are moved off zero and one."""
    shape = Gpt2Shape(64, context=32, width=64, heads=4, layers=2, ffn=96)
    rng = np.random.default_rng(1)
    tokens, targets = rng.integers(0, shape.vocab, (2, 4, shape.context))
    first = initialise(shape, 3)
    assert not first["0.qkv.bias"].any() and (first["norm"] == 1).all()
    first.vector[:] += 0.05 * rng.standard_normal(first.vector.size, dtype=np.float32)
    loss, expected = by_plain_torch(shape, first, tokens, targets)
    runs = placed(name, first, shape=shape)
    found, ours = runs.gradients(torch.from_numpy(tokens), torch.from_numpy(targets))
    flat = torch.cat([ours[part][0].flatten() for part in shape.tensors()])
    exact = torch.cat([one.flatten() for one in expected])
    apart = ((flat - exact).norm() / exact.norm()).item()
    width = bits(name)
    rtol = {32: 2e-6, 16: 2e-3, 8: 1e-2, 4: 5e-2}[width]
    np.testing.assert_allclose(found.numpy(), loss, rtol=rtol)
    assert apart < {32: 1e-5, 16: 0.05, 8: 0.25, 4: 0.7}[width], apart


def test_draws_are_even_and_differ_from_step_to_step():
    keys = (torch.tensor([one], dtype=torch.int32) for one in (1, 2))
    one, other = (torch_rounding.evenly(1 << 16, key) for key in keys)
    assert one.min() >= 0 and one.max() < 1 and abs(one.mean() - 0.5) < 0.005
    assert abs(np.corrcoef(one.numpy(), other.numpy())[0, 1]) < 0.02
    assert abs(np.corrcoef(one[:-1].numpy(), one[1:].numpy())[0, 1]) < 0.02


def run(design, out, *more):
    command = [sys.executable, str(FOLDER / "larger.py"), "--small", "--device", "cpu"]
    command += ["--design", design, "--out", str(out), *more]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return pd.read_csv(out / f"{EXPERIMENTS[design].table}.csv"), done.stdout


@pytest.mark.parametrize("design", list(EXPERIMENTS))
def test_small_form_runs_on_a_processor_every_arm_at_every_rate(design, tmp_path):
    rows, _ = run(design, tmp_path)
    small = EXPERIMENTS[design].small
    judged = rows[rows["study"] != "pilot"]
    assert len(judged) == len(small.seeds) * len(small.studies()) * len(small.offsets)
    lost = judged[judged["diverged"]]
    assert set(lost["recipe"]) == {"fp8_fnuz_ported_nan"}
    made = json.loads((tmp_path / f"{EXPERIMENTS[design].table}.manifest.json").read_text())
    assert made["network"] == EXPERIMENTS[design].network
    assert made["text"]["train_bytes"] > 1_000_000


def test_a_budget_that_is_used_up_leaves_the_rows_so_far(tmp_path):
    rows, said = run("second", tmp_path, "--budget-seconds", "0")
    assert set(rows["study"]) == {"pilot"} and "no time for seed" in said

"""The small model's gradients, its optimizer and loss scale, and recipes that are broken on purpose."""

import corpus
import numpy as np
import numpy_loop
import pytest
from numpy_arithmetic import Arithmetic
from numpy_network import Network, Parameters, initialise

from training_moat.core.errors import InputError
from training_moat.core.formats import scaled
from training_moat.numerics.design import NETWORK, Shape
from training_moat.numerics.recipes import RECIPES, recipe
from training_moat.numerics.scaling import microscaled, rounding

SHAPE = Shape(vocab=40, context=32, width=32, heads=2, layers=2, ffn=32)


@pytest.fixture(scope="module")
def text():
    return corpus.load()


def test_the_network_that_is_judged_reads_this_text(text):
    assert Shape(text.vocab) == NETWORK


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(5)
    return rng.integers(0, SHAPE.vocab, (4, SHAPE.context)), rng.integers(
        0, SHAPE.vocab, (4, SHAPE.context)
    )


def gradient(name, batch, loss_scale=1.0):
    out, parameters = Parameters(SHAPE), initialise(SHAPE, 3)
    with np.errstate(all="ignore"):
        Network(SHAPE, Arithmetic(recipe(name), 3)).gradients(parameters, *batch, out, loss_scale)
    return out.vector / loss_scale


@pytest.mark.parametrize("tensor", list(SHAPE.tensors()))
def test_backward_pass_is_the_derivative_of_the_forward_pass(tensor, batch):
    parameters, out = initialise(SHAPE, 3), Parameters(SHAPE)
    network = Network(SHAPE, Arithmetic(recipe("fp32"), 3))
    network.gradients(parameters, *batch, out, 1.0)
    direction = out[tensor] / np.linalg.norm(out[tensor])
    start = parameters[tensor].copy()
    reach = np.float32(0.003 * max(1.0, np.linalg.norm(start)))
    losses = []
    for side in (1, -1):
        parameters[tensor][:] = start + side * reach * direction
        losses.append(network.loss(parameters, *batch))
    slope = (losses[0] - losses[1]) / (2 * float(reach))
    assert slope == pytest.approx(float(np.linalg.norm(out[tensor])), rel=0.02)


def test_coarser_formats_give_coarser_gradients(batch):
    exact = gradient("fp32", batch)
    error = [
        np.linalg.norm(gradient(name, batch) - exact)
        for name in ("fp32", "bf16_mixed", "mxfp8", "nvfp4", "mxfp4")
    ]
    assert error == sorted(error) and error[0] == 0 < error[1]


def test_missing_scale_loses_gradients_and_a_scale_keeps_them(batch):
    """A deliberately broken recipe: FP8 without scaling, at the gradients of a large batch, flushes most to zero."""
    small = 2.0**-12
    exact = gradient("fp32", batch)

    def loss(name):
        return np.linalg.norm(gradient(name, batch, small) - exact) / np.linalg.norm(exact)

    assert loss("fp8_unscaled") > 0.9
    assert loss("fp8_current") < 0.4


def test_loss_scale_rescues_fp16_gradients(batch):
    exact = gradient("fp32", batch)
    plain, lifted = (
        np.linalg.norm(gradient("fp16_mixed", batch, factor) - exact)
        for factor in (2.0**-14, 2.0**8)
    )
    assert plain > 20 * lifted
    assert not np.isfinite(gradient("fp16_mixed", batch, 2.0**24)).all()


def test_scaled_recipes_do_not_feel_the_loss_scale(batch):
    for name in ("bf16_mixed", "fp8_current", "mxfp8"):
        assert np.allclose(
            gradient(name, batch, 2.0**-12), gradient(name, batch, 2.0**12), rtol=1e-3, atol=1e-7
        )


def test_rotation_leaves_the_product_alone():
    arithmetic = Arithmetic(recipe("nvfp4"), 1)
    rng = np.random.default_rng(0)
    x, g = (rng.standard_normal((64, 8)).astype(np.float32) for _ in range(2))
    turned = arithmetic._rotate(x).T @ arithmetic._rotate(g)
    assert np.allclose(turned, x.T @ g, atol=1e-4)


@pytest.fixture
def operands():
    """Inputs, weights and an incoming gradient of a linear layer, as BF16 holds them."""
    rng = np.random.default_rng(2)
    shapes = ((64, 96), (96, 32), (64, 32))
    made = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    return [Arithmetic(recipe("bf16_mixed"), 1).hold(array) for array in made]


@pytest.mark.parametrize("name", ["mxfp8", "nvfp4_nearest"])
def test_every_product_reads_operands_scaled_along_what_it_sums(name, operands):
    one, arithmetic = recipe(name), Arithmetic(recipe(name), 1)
    (x, w, g), hold = operands, arithmetic.hold

    def cut(array, axis):
        return microscaled(array, scaled(one.forward), rounding(), axis, one.scale_up)

    out, saved = arithmetic.linear(x, w, "site")
    by_inputs, by_weights = arithmetic.linear_backward(g, saved)
    assert np.array_equal(out, hold(cut(x, 1) @ cut(w, 0)))
    assert np.array_equal(by_inputs, hold(cut(g, 1) @ cut(w, 1).T))
    assert np.array_equal(by_weights, hold(cut(x, 0).T @ cut(g, 0)))


@pytest.mark.parametrize("name", ["mxfp4", "nvfp4"])
def test_products_of_turned_operands_are_near_those_of_plain_ones(name, operands):
    x, w, g = operands
    arithmetic = Arithmetic(recipe(name), 1)
    out, saved = arithmetic.linear(x, w, "site")
    pairs = zip((out, *arithmetic.linear_backward(g, saved)), (x @ w, g @ w.T, x.T @ g))
    off = [np.linalg.norm(found - exact) / np.linalg.norm(exact) for found, exact in pairs]
    assert min(off) > 0.02 and max(off) < 0.4


def test_dynamic_loss_scale_halves_on_overflow_and_doubles_after_clean_steps():
    scale = numpy_loop.LossScale("dynamic")
    scale.update(overflow=True)
    assert scale.value == numpy_loop.DYNAMIC_START / 2
    for _ in range(numpy_loop.DYNAMIC_GROWTH_STEPS):
        scale.update(overflow=False)
    assert scale.value == numpy_loop.DYNAMIC_START
    constant = numpy_loop.LossScale(8.0)
    constant.update(overflow=True)
    assert constant.value == 8.0


def test_rate_warms_up_and_decays():
    adam = numpy_loop.Adam(initialise(SHAPE, 0), peak_rate=1.0, steps=100)
    rates = [adam.rate(step) for step in range(100)]
    assert max(rates) == pytest.approx(1.0) and rates.index(max(rates)) in (9, 10)
    assert rates[0] == pytest.approx(0.1) and rates[-1] == pytest.approx(
        numpy_loop.FINAL_RATE_SHARE, abs=0.02
    )


def test_one_seed_gives_one_result_and_every_recipe_the_same_start(text):
    one, again = (numpy_loop.train(recipe("fp32"), -8.0, 5, 3, text) for _ in range(2))
    assert one == again
    assert numpy_loop.train(recipe("bf16_mixed"), -8.0, 5, 1, text).initial_loss == pytest.approx(
        one.initial_loss, abs=0.02
    )
    assert numpy_loop.train(recipe("fp32"), -8.0, 6, 1, text).initial_loss != one.initial_loss


def test_no_master_weights_is_detected(text):
    """A deliberately broken recipe: BF16 weights without stochastic rounding stand still at a low rate."""
    exact, nearest, stochastic = (
        numpy_loop.train(recipe(name), -15.0, 7, 40, text).train_loss
        for name in ("fp32", "bf16_weights_nearest", "bf16_weights_stochastic")
    )
    assert nearest - exact > 0.05
    assert abs(stochastic - exact) < 0.02


def test_ported_constant_ends_the_run(text):
    assert numpy_loop.train(recipe("fp8_fnuz_ported_nan"), -8.0, 7, 3, text).diverged
    assert not numpy_loop.train(recipe("fp8_fnuz_ported"), -8.0, 7, 3, text).diverged


def test_text_is_the_pinned_one(text):
    assert text.vocab == 92
    assert len(text.train) + len(text.held_out) == 200_000


def test_unknown_recipe():
    with pytest.raises(InputError, match="did you mean 'mxfp8'"):
        recipe("mxfp9")
    assert all(RECIPES[name].name == name for name in RECIPES)

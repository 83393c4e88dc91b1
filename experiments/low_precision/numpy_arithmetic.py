"""The arithmetic a recipe imposes on a network: what each tensor becomes before it is used."""

from __future__ import annotations

import numpy as np

from training_moat.core.formats import SCALED_FORMATS, element, scaled
from training_moat.numerics.recipes import DELAYED, MICROSCALED, NONE, Recipe
from training_moat.numerics.rounding import round_nearest, round_stochastic
from training_moat.numerics.scaling import (
    DelayedScale,
    largest,
    microscaled,
    per_tensor,
    rounding,
    tensor_scale,
)

AMAX_HISTORY = 16  # uses that delayed scaling looks back on


class Arithmetic:
    """Quantises tensors as a recipe says; keeps the scales that depend on earlier steps."""

    def __init__(self, recipe: Recipe, seed: int) -> None:
        self.recipe = recipe
        self._rng = np.random.default_rng([seed, 1])
        self._to_nearest = rounding(saturate=recipe.saturate)
        self._gradient_rounding = (
            rounding(self._rng, recipe.saturate)
            if recipe.stochastic_gradients
            else self._to_nearest
        )
        self._held = element(recipe.held)
        self._weights = element(recipe.weights)
        self._delayed: dict[str, DelayedScale] = {}
        self._rotation = hadamard(recipe.hadamard, self._rng) if recipe.hadamard else None

    def hold(self, array: np.ndarray) -> np.ndarray:
        """The array as the recipe keeps it between operations; a 16-bit overflow is an infinity, as on hardware."""
        if self.recipe.held == "fp32":
            return array
        return round_nearest(array, self._held, saturate=False)

    def keep_weights(self, weights: np.ndarray) -> np.ndarray:
        """Updated weights as the recipe stores them until the next step."""
        if self.recipe.weights == "fp32":
            return weights
        if self.recipe.stochastic_weights:
            return round_stochastic(weights, self._weights, self._rng)
        return round_nearest(weights, self._weights)

    def linear(
        self, inputs: np.ndarray, weights: np.ndarray, site: str
    ) -> tuple[np.ndarray, tuple]:
        """Held `inputs` (tokens, in) times `weights` (in, out), and what the backward pass needs."""
        x = self._operand(inputs, f"{site}.x", axis=1)
        w = self._operand(weights, f"{site}.w", axis=0, kept_as=self.recipe.weights)
        return self.hold(x @ w), (inputs, weights, x, w, site)

    def linear_backward(self, gradient: np.ndarray, saved: tuple) -> tuple[np.ndarray, np.ndarray]:
        """Gradients of the inputs and of the weights from a held one; every product in the recipe's operand formats."""
        inputs, weights, x, w, site = saved
        g = self._operand(gradient, f"{site}.g", axis=1, backward=True)
        if (
            self.recipe.scaling != MICROSCALED
        ):  # one scale per tensor: the same operands serve all three products
            return self.hold(g @ w.T), self.hold(x.T @ g)
        w_turned = self._operand(weights, f"{site}.w", axis=1)
        x_turned = self._operand(self._rotate(inputs), f"{site}.x", axis=0)
        g_turned = self._operand(self._rotate(gradient), f"{site}.g", axis=0, backward=True)
        return self.hold(g @ w_turned.T), self.hold(x_turned.T @ g_turned)

    def _operand(
        self,
        array: np.ndarray,
        site: str,
        axis: int,
        backward: bool = False,
        kept_as: str | None = None,
    ) -> np.ndarray:
        """The operand as the matrix unit reads it; `axis` is the one that is summed over."""
        recipe = self.recipe
        name = recipe.backward if backward else recipe.forward
        if name in ("fp32", kept_as or recipe.held):  # numbers of the format already
            return array
        round_to = self._gradient_rounding if backward else self._to_nearest
        if name in SCALED_FORMATS:
            return microscaled(array, scaled(name), round_to, axis, recipe.scale_up)
        fmt = element(name)
        if recipe.scaling == NONE:
            return round_to(array, fmt)
        top = (
            recipe.scale_top_forward
            if not backward and recipe.scale_top_forward
            else fmt.max_finite
        )
        if recipe.scaling == DELAYED:
            scale = self._delayed.setdefault(site, DelayedScale(top, AMAX_HISTORY)).next(array)
        else:
            scale = tensor_scale(largest(array), top)
        return per_tensor(array, fmt, scale, round_to)

    def _rotate(self, array: np.ndarray) -> np.ndarray:
        """Spread outliers over groups of tokens; both operands of a product turn alike, so the product stays."""
        if self._rotation is None:
            return array
        size = len(self._rotation)
        return (self._rotation @ array.reshape(-1, size, array.shape[-1])).reshape(array.shape)


def hadamard(size: int, rng: np.random.Generator) -> np.ndarray:
    """Orthonormal Hadamard matrix with random column signs (arXiv 2509.25149, appendix C)."""
    matrix = np.ones((1, 1), dtype=np.float32)
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    signs = rng.choice(np.array([-1.0, 1.0], dtype=np.float32), size)
    return (matrix * signs / np.sqrt(np.float32(size))).astype(np.float32)

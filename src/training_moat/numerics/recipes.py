"""Training recipes as different accelerators impose them, described as data.

A recipe says in which format the matrix units read their operands, how those are scaled, in which format
everything else is held, and how weights are kept and updated. What is left out on purpose: embedding, output layer
and attention stay in the 16-bit format, as in the published recipes (arXiv 2412.19437, section 3.3.1; arXiv
2509.25149, section 4); Adam's moments are FP32 everywhere; NVFP4's two-dimensional weight blocks are not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from training_moat.core.errors import require_known

NONE, DELAYED, CURRENT, MICROSCALED = "none", "delayed", "current", "microscaled"


@dataclass(frozen=True)
class Recipe:
    """How one training run treats its numbers."""

    name: str
    forward: str = "fp32"  # operands of the linear layers, forward
    backward: str = "fp32"  # incoming gradients of the linear layers
    held: str = "fp32"  # every other tensor, and the linear layers' results
    scaling: str = NONE
    scale_top_forward: float | None = (
        None  # the maximum the scaling code believes in; None: the format's own
    )
    saturate: bool = True
    scale_up: bool = True  # MX shared scale rounded up (Nvidia) or down (OCP)
    stochastic_gradients: bool = False
    hadamard: int = (
        0  # random Hadamard rotation of the weight-gradient operands, in groups of this many
    )
    weights: str = "fp32"  # format in which weights live between steps
    stochastic_weights: bool = False
    loss_scale: float | str = 1.0  # a constant, or "dynamic"


_BF16: dict[str, Any] = {"held": "bf16"}
_FP8: dict[str, Any] = {"forward": "e4m3fn", "backward": "e5m2", **_BF16}
_FNUZ: dict[str, Any] = {"forward": "e4m3fnuz", "backward": "e5m2fnuz", "scaling": DELAYED, **_BF16}
_PORTED: dict[str, Any] = {**_FNUZ, "scale_top_forward": 448.0}
_FP4_STABLE: dict[str, Any] = {"scaling": MICROSCALED, "stochastic_gradients": True, **_BF16}
_PURE_BF16: dict[str, Any] = {"forward": "bf16", "backward": "bf16", "weights": "bf16", **_BF16}

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("fp32"),
        Recipe("bf16_mixed", forward="bf16", backward="bf16", **_BF16),
        Recipe("fp16_mixed", "fp16", "fp16", "fp16", saturate=False, loss_scale="dynamic"),
        Recipe("fp8_delayed", scaling=DELAYED, **_FP8),
        Recipe("fp8_current", scaling=CURRENT, **_FP8),
        Recipe("fp8_fnuz", **_FNUZ),
        Recipe("fp8_fnuz_ported", **_PORTED),
        Recipe("fp8_fnuz_ported_nan", saturate=False, **_PORTED),
        Recipe("fp8_unscaled", **_FP8),  # broken on purpose
        Recipe("mxfp8", "mxfp8_e4m3", "mxfp8_e4m3", scaling=MICROSCALED, **_BF16),
        Recipe("mxfp4", "mxfp4", "mxfp4", hadamard=32, **_FP4_STABLE),
        Recipe("nvfp4", "nvfp4", "nvfp4", hadamard=16, **_FP4_STABLE),
        Recipe("nvfp4_nearest", "nvfp4", "nvfp4", scaling=MICROSCALED, **_BF16),
        Recipe("bf16_weights_stochastic", stochastic_weights=True, **_PURE_BF16),
        Recipe("bf16_weights_nearest", **_PURE_BF16),
    )
}
"""Every recipe of the experiment, by name; the chips that impose each stand with the readers' names (`analysis.LABELS`)."""


def recipe(name: str) -> Recipe:
    """The recipe called `name`."""
    require_known("recipe", name, RECIPES)
    return RECIPES[name]

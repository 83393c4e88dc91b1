"""One question to the model, one answer; see `asking` for what a notebook or script calls.

from training_moat import predict

predict.training_step(...)  predict.training_steps(...)  predict.fastest_plans(...)
predict.service(...)        predict.services(...)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training_moat.predict.asking import fastest_plans as fastest_plans
    from training_moat.predict.asking import service as service
    from training_moat.predict.asking import services as services
    from training_moat.predict.asking import training_step as training_step
    from training_moat.predict.asking import training_steps as training_steps

_CALLS = ("training_step", "training_steps", "fastest_plans", "service", "services")


def __getattr__(name: str) -> Any:
    # `moat --help` looks into this room and must not import the model.
    if name in _CALLS:
        return getattr(import_module("training_moat.predict.asking"), name)
    raise AttributeError(f"module 'training_moat.predict' has no attribute '{name}'")

"""The Training Moat: a sourced, executable analysis of who can train AI models, and why.

For your own notebooks and scripts, in any folder:

    from training_moat import chips, models, predict

    predict.training_step("llama3.1-405b", "h100-sxm", 16384, seq_len=8192)["mfu"]
    chips.frame()      # one row a chip, with units in the column names
    models.frame()     # one row a model

Nothing is imported before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from time import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training_moat import predict as predict
    from training_moat.catalog import chips as chips
    from training_moat.catalog import models as models

__version__ = "0.4.0"

BEGUN_S = time()
"""When this process, or the one that it is a fork of, began to import the package: seconds since 1970."""

_OFFERED = {
    "predict": "training_moat.predict",
    "chips": "training_moat.catalog.chips",
    "models": "training_moat.catalog.models",
}


def __getattr__(name: str) -> Any:
    if name in _OFFERED:
        return import_module(_OFFERED[name])
    raise AttributeError(f"module 'training_moat' has no attribute '{name}'")

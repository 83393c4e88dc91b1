"""What a training loop does with a loss besides asking for its gradients: scale it, clip, step the optimizer, look at it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from rows_on_disk import Run

CLIP = 1.0
"""Norm above which a trainer's gradients are scaled down (transformers, TrainingArguments.max_grad_norm)."""


def optimizers(run: Run, model: torch.nn.Module) -> Iterator[torch.optim.Optimizer]:
    """PyTorch's own ones. Muon takes the matrices inside the layers alone, as its documentation says, AdamW the rest."""
    trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
    name = run.get("optimizer") or "adamw"
    if name == "muon":
        inner = [key for key, one in trained.items() if ".layers." in key and one.ndim == 2]
        yield torch.optim.Muon([trained.pop(key) for key in inner], lr=1e-5)
    if name == "sgd":
        yield torch.optim.SGD(trained.values(), lr=1e-5, momentum=0.9, fused=True)
    elif name == "adafactor":
        yield torch.optim.Adafactor(trained.values(), lr=1e-5)
    else:
        yield torch.optim.AdamW(trained.values(), lr=1e-5, fused=True)


class Update:
    """The backward pass and the optimizers' step of one run; `loop` trainer: gradients are clipped, the host looks at every
    loss before it goes on and a schedule sets the learning rate, as transformers' Trainer does."""

    def __init__(self, run: Run, model: torch.nn.Module, device: torch.device) -> None:
        self.stepped = list(optimizers(run, model))
        self.trainer = run.get("loop") == "trainer"
        self.weights = [one for one in model.parameters() if one.requires_grad]
        self.scaler = torch.amp.GradScaler(device.type, enabled=run["precision"] == "fp16")
        constant = lambda _: 1.0  # noqa: E731
        self.rates = [torch.optim.lr_scheduler.LambdaLR(one, constant) for one in self.stepped]

    def backward(self, loss: torch.Tensor) -> None:
        """Add the loss's gradients; a trainer stops at a loss that is none."""
        self.scaler.scale(loss).backward()
        if self.trainer and (torch.isnan(loss) or torch.isinf(loss)):
            raise FloatingPointError("the loss is not finite")

    def step(self) -> None:
        """Change the weights and let the gradients go."""
        for one in self.stepped:
            if self.trainer:
                self.scaler.unscale_(one)
                torch.nn.utils.clip_grad_norm_(self.weights, CLIP)
            self.scaler.step(one)
        self.scaler.update()
        for one, rate in zip(self.stepped, self.rates, strict=True):
            if self.trainer:
                rate.step()
            one.zero_grad(set_to_none=True)

"""One decoding step of Llama 3.1 8B in BF16, written out with PyTorch's kernels: what `serving_kernels.py` times as a whole."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

LAYERS, HIDDEN, FFN, VOCAB, WIDTH = 32, 4096, 14336, 128_256, 128
HEADS, KEPT = 32, 8


class Decoder:
    """The model's weights, random, of sizes divided by `scale`; every sequence asks for one token over a plain cache."""

    def __init__(self, device: torch.device, scale: int) -> None:
        self.device, self.hidden, self.ffn = device, HIDDEN // scale, FFN // scale
        self.layers = [self._layer() for _ in range(LAYERS if scale == 1 else 2)]
        self.norm = self._random(self.hidden)
        self.embedding, self.head = (self._random(VOCAB // scale, self.hidden) for _ in range(2))

    def _random(self, *shape: int) -> torch.Tensor:
        return 0.02 * torch.randn(*shape, device=self.device, dtype=torch.bfloat16)

    def _layer(self) -> dict[str, torch.Tensor]:
        return {
            "norm": self._random(self.hidden),
            "mixing": self._random((HEADS + 2 * KEPT) * WIDTH, self.hidden),
            "out": self._random(self.hidden, HEADS * WIDTH),
            "second_norm": self._random(self.hidden),
            "gate_up": self._random(2 * self.ffn, self.hidden),
            "down": self._random(self.hidden, self.ffn),
        }

    @staticmethod
    def work(batch: int, length: int, scale: int) -> tuple[float, float]:
        """FLOPs of a step, and the bytes of weights and cache that it must read."""
        hidden, ffn, layers = HIDDEN // scale, FFN // scale, LAYERS if scale == 1 else 2
        attention = (2 * HEADS + 2 * KEPT) * WIDTH * hidden
        weights = layers * (attention + 3 * hidden * ffn) + VOCAB // scale * hidden
        cached = layers * batch * length * WIDTH
        flops = 2.0 * batch * weights + 4.0 * HEADS * cached
        return flops, 2.0 * weights + 4.0 * KEPT * cached

    def prepared(self, batch: int, length: int) -> Callable[[], object]:
        """A step of so many sequences with a cache of so many tokens each, which stays as long."""
        shape = batch, KEPT, length, WIDTH
        caches = [(self._random(*shape), self._random(*shape)) for _ in self.layers]
        tokens = torch.randint(self.embedding.shape[0], (batch,), device=self.device)
        angles = torch.rand(WIDTH // 2, device=self.device)
        turn = (
            torch.cat([angles, angles]).cos().bfloat16(),
            torch.cat([angles, angles]).sin().bfloat16(),
        )
        place = torch.tensor([length - 1], device=self.device)

        def step() -> object:
            stream = F.embedding(tokens, self.embedding)
            for weights, cache in zip(self.layers, caches, strict=True):
                stream = self._passed(stream, weights, cache, turn, place)
            normed = F.rms_norm(stream, (self.hidden,), self.norm, 1e-5)
            return F.linear(normed, self.head).argmax(-1)

        return step

    def _passed(
        self,
        stream: torch.Tensor,
        weights: dict[str, torch.Tensor],
        cache: tuple[torch.Tensor, torch.Tensor],
        turn: tuple[torch.Tensor, torch.Tensor],
        place: torch.Tensor,
    ) -> torch.Tensor:
        """The stream after one layer; a group's heads are rows of one head of attention."""
        batch = len(stream)
        seen = F.rms_norm(stream, (self.hidden,), weights["norm"], 1e-5)
        mixed = F.linear(seen, weights["mixing"]).view(batch, HEADS + 2 * KEPT, 1, WIDTH)
        query, key, value = mixed.split([HEADS, KEPT, KEPT], 1)
        for held, new in zip(cache, (_turned(key, *turn), value), strict=True):
            held.index_copy_(2, place, new)
        rows = _turned(query, *turn).reshape(batch, KEPT, HEADS // KEPT, WIDTH)
        found = F.scaled_dot_product_attention(rows, *cache)
        stream = stream + F.linear(found.reshape(batch, -1), weights["out"])
        seen = F.rms_norm(stream, (self.hidden,), weights["second_norm"], 1e-5)
        gate, up = F.linear(seen, weights["gate_up"]).chunk(2, -1)
        return stream + F.linear(F.silu(gate) * up, weights["down"])


def _turned(values: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    low, high = values.chunk(2, -1)
    return values * cosine + torch.cat([-high, low], -1) * sine

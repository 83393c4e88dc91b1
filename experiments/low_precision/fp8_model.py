"""A small language model whose linear layers multiply in BF16 or on a GPU's FP8 matrix units, in plain PyTorch."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

FNUZ = (
    torch.version.hip is not None
    and torch.cuda.is_available()
    and "gfx94" in torch.cuda.get_device_properties(0).gcnArchName
)
E4M3, E5M2 = (
    (torch.float8_e4m3fnuz, torch.float8_e5m2fnuz)
    if FNUZ
    else (torch.float8_e4m3fn, torch.float8_e5m2)
)


def scaled(tensor: torch.Tensor, kind: torch.dtype = E4M3) -> tuple[torch.Tensor, torch.Tensor]:
    """FP8 copy of a tensor under one scale, and the factor that undoes the scale."""
    top = torch.finfo(kind).max
    scale = top / tensor.abs().amax().float().clamp(min=1e-12)
    return (tensor.float() * scale).clamp(-top, top).to(kind), (1.0 / scale).reshape(())


def fp8_product(
    a: torch.Tensor,
    b: torch.Tensor,
    undo_a: torch.Tensor,
    undo_b: torch.Tensor,
    fast: bool,
    out=torch.bfloat16,
) -> torch.Tensor:
    """`a` (m, k) times `b` (n, k) transposed, on the FP8 matrix units; k and n must be multiples of 16.

    The units want the left operand row by row and the right one column by column, which `b.t()` is. At most one of
    the two may be E5M2. AMD's and Blackwell's units have one way to accumulate: `fast` changes nothing there.
    """
    return torch._scaled_mm(
        a, b.t(), scale_a=undo_a, scale_b=undo_b, out_dtype=out, use_fast_accum=fast
    )


class FP8Product(torch.autograd.Function):
    """Linear layer whose three products run in FP8 with current per-tensor scaling (E4M3 forward, E5M2 gradients)."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        (x8, ux), (w8, uw) = scaled(x), scaled(weight)
        return fp8_product(x8, w8, ux, uw, fast=True)

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        g8, ug = scaled(gradient, E5M2)
        w8, uw = scaled(weight.t().contiguous())
        x8, ux = scaled(x.t().contiguous())
        turned = g8.t().contiguous()
        return fp8_product(g8, w8, ug, uw, fast=False), fp8_product(turned, x8, ug, ux, fast=False)


class Linear(nn.Linear):
    """Linear layer in BF16 or FP8."""

    fp8 = False

    def forward(self, x):
        """Multiply by the weight (features, inputs)."""
        weight = self.weight.to(torch.bfloat16)
        if not self.fp8:
            return x @ weight.t()
        flat = x.reshape(-1, x.shape[-1])
        return FP8Product.apply(flat, weight).reshape(*x.shape[:-1], -1)


class Norm(nn.RMSNorm):
    """RMSNorm in the type of its input, so that the fused kernel serves."""

    def forward(self, x):
        """Divide by the root mean square, times the gain."""
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class Block(nn.Module):
    """Pre-norm transformer block with SwiGLU."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = Norm(width, eps=1e-5), Norm(width, eps=1e-5)
        self.qkv, self.out = Linear(width, 3 * width, bias=False), Linear(width, width, bias=False)
        self.gate_up, self.down = (
            Linear(width, 8 * width // 2, bias=False),
            Linear(2 * width, width, bias=False),
        )

    def forward(self, x):
        """Attention and feed-forward, each added to its input."""
        batch, context, width = x.shape
        q, k, v = (
            self.qkv(self.norm1(x))
            .reshape(batch, context, 3, self.heads, -1)
            .permute(2, 0, 3, 1, 4)
        )
        mixed = (
            F.scaled_dot_product_attention(q, k, v, is_causal=True)
            .transpose(1, 2)
            .reshape(batch, context, width)
        )
        x = x + self.out(mixed)
        gate, up = self.gate_up(self.norm2(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Model(nn.Module):
    """Small language model over characters; weights FP32, arithmetic BF16 or FP8."""

    def __init__(self, vocab: int, width: int, layers: int, context: int, fp8: bool) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocab, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, max(1, width // 64)) for _ in range(layers))
        self.norm, self.head = Norm(width, eps=1e-5), nn.Linear(width, vocab, bias=False)
        for module in self.modules():
            if isinstance(module, Linear):
                module.fp8 = fp8

    def forward(self, tokens):
        """Logits of the next character at every place."""
        x = (
            self.tokens(tokens)
            + self.positions(torch.arange(tokens.shape[1], device=tokens.device))
        ).to(torch.bfloat16)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).to(self.head.weight.dtype)).float()


def loss_of(model: Model, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy in nats per character."""
    return F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())

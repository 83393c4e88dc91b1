"""The networks of the larger experiment in PyTorch, several runs side by side, under the arithmetic of a recipe.

That of `numpy_network`, like Llama, and one like GPT-2 (`training_moat.numerics.design_second`). Tensors
between operations have the held type; what lies inside an operation is FP32. The first axis counts runs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch_arithmetic import Arithmetic, Linear, fused

from training_moat.numerics.design import Shape
from training_moat.numerics.design_second import Gpt2Shape

_NORM_EPSILON = 1e-5


class Embed(torch.autograd.Function):
    """Rows of a table by token; the gradient as a product with ones and zeros, which adds in a fixed order."""

    @staticmethod
    def forward(ctx, table: Tensor, tokens: Tensor) -> Tensor:
        """(runs, vocab, width) by (tokens,) to (runs, tokens, width)."""
        ctx.save_for_backward(tokens)
        ctx.vocab = table.shape[1]
        return table[:, tokens]

    @staticmethod
    def backward(ctx, gradient: Tensor):
        """Sum of the gradients of each token's places."""
        (tokens,) = ctx.saved_tensors
        places = torch.arange(ctx.vocab, device=tokens.device)[:, None] == tokens
        return torch.matmul(places.float(), gradient.float()), None


@fused
def norm(x: Tensor, gain: Tensor) -> Tensor:
    """RMSNorm, computed in FP32 and rounded once."""
    wide = x.float()
    unit = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + _NORM_EPSILON)
    return (unit * gain).to(x.dtype)


@fused
def layer_norm(x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """LayerNorm, computed in FP32 and rounded once."""
    wide = x.float()
    centred = wide - wide.mean(-1, keepdim=True)
    unit = centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + _NORM_EPSILON)
    return (unit * gain + bias).to(x.dtype)


@fused
def swiglu(gate_up: Tensor) -> Tensor:
    """SwiGLU, computed in FP32 and rounded once."""
    gate, up = gate_up.float().chunk(2, dim=-1)
    return (gate * torch.sigmoid(gate) * up).to(gate_up.dtype)


@fused
def gelu(x: Tensor) -> Tensor:
    """GELU in GPT-2's form with tanh, computed in FP32 and rounded once."""
    return F.gelu(x.float(), approximate="tanh").to(x.dtype)


def attention(qkv: Tensor, shape: Shape) -> Tensor:
    """Causal attention; the fused kernel for 16 bits, written out for FP32 so that nothing is rounded on the way."""
    runs, tokens, _ = qkv.shape
    split = qkv.view(-1, shape.context, 3, shape.heads, shape.width // shape.heads)
    q, k, v = split.permute(2, 0, 3, 1, 4)
    if qkv.dtype == torch.float32:
        scores = q @ k.transpose(-1, -2) * (shape.width // shape.heads) ** -0.5
        future = torch.ones(shape.context, shape.context, device=qkv.device).triu(1)
        mixed = torch.softmax(scores - 1e9 * future, -1) @ v
    else:
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return mixed.transpose(1, 2).reshape(runs, tokens, shape.width)


def logits_of(shape: Shape, weights: dict[str, Tensor], tokens: Tensor, a: Arithmetic) -> Tensor:
    """Logits (runs, tokens, vocab) of a network in FP32, through the recipe's own forward pass."""
    spots = weights["positions"].repeat(1, len(tokens), 1)
    x = (Embed.apply(weights["tokens"], tokens.reshape(-1)) + spots).to(a.held)
    form = _gpt2 if isinstance(shape, Gpt2Shape) else _llama
    final, head = form(shape, weights, x, a)
    return torch.bmm(final, head.to(a.held)).float()


def _llama(
    shape: Shape, weights: dict[str, Tensor], x: Tensor, a: Arithmetic
) -> tuple[Tensor, Tensor]:
    """Last normed activations, and the output layer (runs, width, vocab)."""
    for layer in range(shape.layers):

        def linear(inputs: Tensor, name: str, layer: int = layer) -> Tensor:
            return Linear.apply(inputs, weights[f"{layer}.{name}"], a, f"{layer}.{name}")

        normed = norm(x, weights[f"{layer}.norm1"][:, None])
        x = x + linear(attention(linear(normed, "qkv"), shape), "out")
        normed = norm(x, weights[f"{layer}.norm2"][:, None])
        x = x + linear(swiglu(linear(normed, "gate_up")), "down")
    return norm(x, weights["norm"][:, None]), weights["head"]


def _gpt2(
    shape: Shape, weights: dict[str, Tensor], x: Tensor, a: Arithmetic
) -> tuple[Tensor, Tensor]:
    """Last normed activations, and the embedding turned (runs, width, vocab)."""

    def normed(x: Tensor, name: str) -> Tensor:
        return layer_norm(x, weights[name][:, None], weights[f"{name}.bias"][:, None])

    def linear(inputs: Tensor, name: str) -> Tensor:
        product = Linear.apply(inputs, weights[name], a, name)
        return product + weights[f"{name}.bias"][:, None].to(a.held)

    for layer in range(shape.layers):
        qkv = linear(normed(x, f"{layer}.norm1"), f"{layer}.qkv")
        x = x + linear(attention(qkv, shape), f"{layer}.out")
        raised = linear(normed(x, f"{layer}.norm2"), f"{layer}.up")
        x = x + linear(gelu(raised), f"{layer}.down")
    return normed(x, "norm"), weights["tokens"].transpose(1, 2)


def parts(
    shape: Shape, x: Tensor, gain: Tensor, bias: Tensor
) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """What a network computes between its products, to be tried on (runs, rows, columns)."""
    if isinstance(shape, Gpt2Shape):
        return (lambda: layer_norm(x, gain, bias)), (lambda: gelu(x))
    return (lambda: norm(x, gain)), (lambda: swiglu(x))

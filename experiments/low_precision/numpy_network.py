"""A small Llama-style language model with its backward pass, in NumPy, under a given arithmetic.

Pre-norm blocks: RMSNorm, causal attention, RMSNorm, SwiGLU. Written out by hand because every tensor of the
backward pass must pass through the emulated formats too, and because the experiment then needs no framework.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy_arithmetic import Arithmetic

from training_moat.numerics.design import Shape

_EPSILON = np.float32(1e-5)


class Parameters:
    """All parameter tensors as views into one vector, so that the optimizer is a few array operations."""

    def __init__(self, shape: Shape) -> None:
        self.vector = np.zeros(shape.parameters, dtype=np.float32)
        self.tensors: dict[str, np.ndarray] = {}
        start = 0
        for name, dims in shape.tensors().items():
            size = int(np.prod(dims))
            self.tensors[name] = self.vector[start : start + size].reshape(dims)
            start += size

    def __getitem__(self, name: str) -> np.ndarray:
        return self.tensors[name]


def initialise(shape: Shape, seed: int) -> Parameters:
    """Normal weights (GPT-2's 0.02-style scaling by fan-in), residual outputs shrunk with depth, unit gains, no biases."""
    rng = np.random.default_rng([seed, 0])
    parameters = Parameters(shape)
    for name, tensor in parameters.tensors.items():
        if name.endswith("bias"):  # zero, as made
            continue
        if "norm" in name:
            tensor[:] = 1.0
            continue
        deviation = 0.02 if name in ("tokens", "positions") else tensor.shape[0] ** -0.5
        if name.endswith(("out", "down")):
            deviation /= np.sqrt(2 * shape.layers)
        tensor[:] = rng.standard_normal(tensor.shape, dtype=np.float32) * np.float32(deviation)
    return parameters


def _norm(x: np.ndarray, gain: np.ndarray) -> tuple[np.ndarray, tuple]:
    inverse = 1.0 / np.sqrt(np.einsum("nd,nd->n", x, x)[:, None] / x.shape[1] + _EPSILON)
    unit = x * inverse
    return unit * gain, (unit, inverse, gain)


@cache
def _future(context: int) -> np.ndarray:
    """What attention adds to the scores so that no place sees a later one."""
    return np.triu(np.full((context, context), -1e9, np.float32), 1)


def _norm_backward(gradient: np.ndarray, saved: tuple) -> tuple[np.ndarray, np.ndarray]:
    unit, inverse, gain = saved
    inner = gradient * gain
    mean = np.einsum("nd,nd->n", inner, unit)[:, None] / unit.shape[1]
    inner -= unit * mean
    inner *= inverse
    return inner, np.einsum("nd,nd->d", gradient, unit)


def _attention(qkv: np.ndarray, shape: Shape, hold) -> tuple[np.ndarray, tuple]:
    size = shape.width // shape.heads
    split = qkv.reshape(-1, shape.context, 3, shape.heads, size).transpose(2, 0, 3, 1, 4)
    q, k, v = split
    scores = q @ k.swapaxes(-1, -2)
    scores *= np.float32(size**-0.5)
    scores += _future(shape.context)
    scores -= scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores, out=scores)
    weights /= weights.sum(axis=-1, keepdims=True)
    weights = hold(weights)
    mixed = (weights @ v).transpose(0, 2, 1, 3).reshape(len(qkv), shape.width)
    return hold(mixed), (q, k, v, weights)


def _attention_backward(gradient: np.ndarray, saved: tuple, shape: Shape, hold) -> np.ndarray:
    q, k, v, weights = saved
    size = shape.width // shape.heads
    gradient = gradient.reshape(-1, shape.context, shape.heads, size).transpose(0, 2, 1, 3)
    d_scores = gradient @ v.swapaxes(-1, -2)
    d_scores -= (d_scores * weights).sum(axis=-1, keepdims=True)
    d_scores *= weights
    d_scores *= np.float32(size**-0.5)
    d_scores = hold(d_scores)
    parts = np.stack(
        [d_scores @ k, d_scores.swapaxes(-1, -2) @ q, weights.swapaxes(-1, -2) @ gradient]
    )
    return hold(parts.transpose(1, 3, 0, 2, 4).reshape(-1, 3 * shape.width))


def _swiglu(gate_up: np.ndarray) -> tuple[np.ndarray, tuple]:
    half = gate_up.shape[1] // 2
    gate, up = gate_up[:, :half], gate_up[:, half:]
    sigmoid = np.negative(gate)
    np.exp(sigmoid, out=sigmoid)
    sigmoid += np.float32(1.0)
    np.divide(np.float32(1.0), sigmoid, out=sigmoid)
    active = gate * sigmoid
    return active * up, (up, sigmoid, active)


def _swiglu_backward(gradient: np.ndarray, saved: tuple) -> np.ndarray:
    up, sigmoid, active = saved
    slope = np.float32(1.0) - sigmoid
    slope *= active
    slope += sigmoid
    half = up.shape[1]
    both = np.empty((len(gradient), 2 * half), gradient.dtype)
    np.multiply(gradient, up, out=both[:, :half])
    both[:, :half] *= slope
    np.multiply(gradient, active, out=both[:, half:])
    return both


class Network:
    """The model under one arithmetic. Tokens and targets are (sequences, context) arrays of whole numbers."""

    def __init__(self, shape: Shape, arithmetic: Arithmetic) -> None:
        self.shape = shape
        self.arithmetic = arithmetic

    def loss(self, p: Parameters, tokens: np.ndarray, targets: np.ndarray) -> float:
        """Mean cross-entropy in nats per token, through the recipe's own forward pass."""
        logits, _ = self._forward(p, tokens)
        return float(_cross_entropy(logits, targets.ravel())[0])

    def gradients(
        self,
        p: Parameters,
        tokens: np.ndarray,
        targets: np.ndarray,
        out: Parameters,
        loss_scale: float,
    ) -> float:
        """Loss of a batch; writes the gradient, times `loss_scale`, into `out`."""
        logits, saved = self._forward(p, tokens)
        loss, d_logits = _cross_entropy(logits, targets.ravel())
        self._backward(d_logits * np.float32(loss_scale), saved, tokens, out)
        return float(loss)

    def _forward(self, p: Parameters, tokens: np.ndarray) -> tuple[np.ndarray, list]:
        a, shape = self.arithmetic, self.shape
        saved: list[tuple[Any, ...]] = []
        x = a.hold((p["tokens"][tokens] + p["positions"]).reshape(-1, shape.width))
        for layer in range(shape.layers):
            normed, norm1 = _norm(x, p[f"{layer}.norm1"])
            qkv, lin_qkv = a.linear(a.hold(normed), p[f"{layer}.qkv"], f"{layer}.qkv")
            mixed, attention = _attention(qkv, shape, a.hold)
            added, lin_out = a.linear(mixed, p[f"{layer}.out"], f"{layer}.out")
            x = a.hold(x + added)
            normed, norm2 = _norm(x, p[f"{layer}.norm2"])
            gate_up, lin_up = a.linear(a.hold(normed), p[f"{layer}.gate_up"], f"{layer}.gate_up")
            active, swiglu = _swiglu(gate_up)
            added, lin_down = a.linear(a.hold(active), p[f"{layer}.down"], f"{layer}.down")
            x = a.hold(x + added)
            saved.append((norm1, lin_qkv, attention, lin_out, norm2, lin_up, swiglu, lin_down))
        normed, norm = _norm(x, p["norm"])
        normed, head = a.hold(normed), a.hold(p["head"])
        saved.append((normed, norm, head))
        return a.hold(normed @ head), saved

    def _backward(
        self, d_logits: np.ndarray, saved: list, tokens: np.ndarray, out: Parameters
    ) -> None:
        a, shape = self.arithmetic, self.shape
        normed, norm, head = saved[-1]
        d_logits = a.hold(d_logits)
        out["head"][:] = a.hold(normed.T @ d_logits)
        dx, out["norm"][:] = _norm_backward(a.hold(d_logits @ head.T), norm)
        dx = a.hold(dx)
        for layer in reversed(range(shape.layers)):
            norm1, lin_qkv, attention, lin_out, norm2, lin_up, swiglu, lin_down = saved[layer]
            d_active, out[f"{layer}.down"][:] = a.linear_backward(dx, lin_down)
            d_up = a.hold(_swiglu_backward(d_active, swiglu))
            d_normed, out[f"{layer}.gate_up"][:] = a.linear_backward(d_up, lin_up)
            d_in, out[f"{layer}.norm2"][:] = _norm_backward(d_normed, norm2)
            dx = a.hold(dx + d_in)
            d_mixed, out[f"{layer}.out"][:] = a.linear_backward(dx, lin_out)
            d_qkv = _attention_backward(d_mixed, attention, shape, a.hold)
            d_normed, out[f"{layer}.qkv"][:] = a.linear_backward(d_qkv, lin_qkv)
            d_in, out[f"{layer}.norm1"][:] = _norm_backward(d_normed, norm1)
            dx = a.hold(dx + d_in)
        out["positions"][:] = dx.reshape(-1, shape.context, shape.width).sum(axis=0)
        out["tokens"][:] = 0.0
        np.add.at(out["tokens"], tokens.ravel(), dx)


def _cross_entropy(logits: np.ndarray, targets: np.ndarray) -> tuple[np.floating, np.ndarray]:
    """Mean loss and its gradient for the logits."""
    rows = np.arange(len(targets))
    shifted = logits - logits.max(axis=1, keepdims=True)
    gradient = np.exp(shifted)
    total = gradient.sum(axis=1, keepdims=True)
    loss = (np.log(total[:, 0]) - shifted[rows, targets]).mean()
    gradient /= total
    gradient[rows, targets] -= 1.0
    gradient /= np.float32(len(targets))
    return loss, gradient

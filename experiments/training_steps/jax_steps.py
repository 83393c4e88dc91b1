"""Trains the dense models of a set that run under JAX for a few steps on one GPU, beside `steps.py`.

    python experiments/training_steps/jax_steps.py OUTDIR            # one GPU with 80 GB; ten seconds a run
    python experiments/training_steps/jax_steps.py OUTDIR --small    # tiny models through the same code, on any machine

Appends to the same OUTDIR/steps.csv. A step is one program of XLA's, written out here: the layers of Llama (or of Qwen3, whose
queries and keys are normalised) under `lax.scan`, weights in FP32 and cast where they are used, products in BF16, attention by
`jax.nn.dot_product_attention`, a plain cross-entropy, AdamW by hand. Weights and AdamW's states are given to the step and come
back in the same memory. Memory is what XLA says it needs for the program: arguments and its own buffers. Needs JAX alone.
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import statistics
import sys
import time
from functools import partial
from pathlib import Path

from rows_on_disk import (
    COLUMNS,
    GIB,
    LONGEST_RUN_S,
    SETS,
    SLOW_MACHINE,
    STARTED,
    Run,
    Table,
    at_most,
    first_lines,
    runs,
    timed_steps,
    waiting,
    warm,
)

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # read when JAX starts

import jax  # noqa: E402  (after what it reads when it starts)
import jax.numpy as jnp  # noqa: E402

ATTENTION = ("cudnn", "xla")
"""Kernels of attention in the order in which they are tried; the second one writes the scores out."""
RATE, DECAY, FIRST, SECOND, LEAST = 1e-5, 0.01, 0.9, 0.999, 1e-8
"""AdamW's learning rate, weight decay, two averages and the number that keeps it from dividing by zero."""
ROTARY_BASE = 10_000.0
NORM_LEAST = 1e-6
INITIAL_SPREAD = 0.02
PRODUCTS_KEPT = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
"""What selective recomputation keeps: the results of products with weights; attention and all between are redone."""
Tree = dict


def shapes(run: Run) -> Tree:
    """Shapes of the weights: layers' own ones stacked, so that one program runs all layers."""
    size = {name: int(run[name]) for name in ("layers", "hidden", "heads", "kv_heads", "head_dim")}
    layers, width, ffn = size["layers"], size["hidden"], int(run["ffn"])
    queries, keys = (size[name] * size["head_dim"] for name in ("heads", "kv_heads"))
    layer = {
        "norm": (layers, width),
        "queries": (layers, width, queries),
        "keys": (layers, width, keys),
        "values": (layers, width, keys),
        "out": (layers, queries, width),
        "second_norm": (layers, width),
        "gate": (layers, width, ffn),
        "up": (layers, width, ffn),
        "down": (layers, ffn, width),
    }
    if run["architecture"] == "qwen3":
        layer |= dict.fromkeys(("query_norm", "key_norm"), (layers, size["head_dim"]))
    vocabulary = int(run["vocab"]), width
    head = {} if run["tied_embeddings"] == "1" else {"head": vocabulary}
    return {"embedding": vocabulary, "norm": (width,), "layers": layer} | head


def initial(run: Run) -> Tree:
    """The state before the first step: FP32 weights, AdamW's two averages, the steps done."""
    shape_of = shapes(run)
    places, structure = jax.tree.flatten(shape_of, is_leaf=lambda one: isinstance(one, tuple))
    keys = jax.random.split(jax.random.key(1), len(places))
    drawn = [
        INITIAL_SPREAD * jax.random.normal(key, shape, jnp.float32)
        for key, shape in zip(keys, places)
    ]
    weights = jax.tree.unflatten(structure, drawn)
    first, second = (jax.tree.map(jnp.zeros_like, weights) for _ in range(2))
    return {"weights": weights, "first": first, "second": second, "steps": jnp.zeros((), jnp.int32)}


def normalised(values: jax.Array, scale: jax.Array) -> jax.Array:
    """Root-mean-square norm along the last axis, in FP32, back in the format that came; the scale counts from one."""
    wide = values.astype(jnp.float32)
    wide = wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + NORM_LEAST)
    return (wide * (1.0 + scale)).astype(values.dtype)


def rotated(values: jax.Array) -> jax.Array:
    """Rotary embedding of (sequences, tokens, heads, width), in FP32, back in the format that came."""
    half = values.shape[-1] // 2
    rates = ROTARY_BASE ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angles = jnp.arange(values.shape[1], dtype=jnp.float32)[:, None] * rates
    cosine, sine = (part(angles)[None, :, None, :] for part in (jnp.cos, jnp.sin))
    low, high = jnp.split(values.astype(jnp.float32), 2, axis=-1)
    turned = jnp.concatenate([low * cosine - high * sine, high * cosine + low * sine], axis=-1)
    return turned.astype(values.dtype)


def layer(stream: jax.Array, weights: Tree, run: Run, attention: str) -> jax.Array:
    """One layer of (sequences, tokens, width) in BF16."""
    own = {name: weight.astype(jnp.bfloat16) for name, weight in weights.items()}
    width = int(run["head_dim"])
    seen = normalised(stream, weights["norm"])
    queries, keys, values = (
        (seen @ own[name]).reshape(*seen.shape[:2], -1, width)
        for name in ("queries", "keys", "values")
    )
    if "query_norm" in weights:
        queries = normalised(queries, weights["query_norm"])
        keys = normalised(keys, weights["key_norm"])
    mixed = jax.nn.dot_product_attention(
        rotated(queries), rotated(keys), values, is_causal=True, implementation=attention
    )
    stream = stream + mixed.reshape(*seen.shape[:2], -1) @ own["out"]
    seen = normalised(stream, weights["second_norm"])
    return stream + (jax.nn.silu(seen @ own["gate"]) * (seen @ own["up"])) @ own["down"]


def loss(weights: Tree, tokens: jax.Array, run: Run, attention: str) -> jax.Array:
    """Mean cross-entropy of the next token, its logarithms in FP32."""
    one_layer = partial(layer, run=run, attention=attention)
    if run["recompute"] != "none":
        kept = PRODUCTS_KEPT if run["recompute"] == "selective" else None
        one_layer = jax.checkpoint(one_layer, prevent_cse=False, policy=kept)
    stream = weights["embedding"].astype(jnp.bfloat16)[tokens]
    stream, _ = jax.lax.scan(
        lambda now, own: (one_layer(now, own), None), stream, weights["layers"]
    )
    stream = normalised(stream, weights["norm"])
    head = weights.get("head", weights["embedding"]).astype(jnp.bfloat16)
    logits = (stream @ head.T)[:, :-1].astype(jnp.float32)
    told = jnp.take_along_axis(logits, tokens[:, 1:, None], axis=-1)[..., 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - told)


def step(state: Tree, tokens: jax.Array, run: Run, attention: str) -> tuple[Tree, jax.Array]:
    """Forward, backward and AdamW's update (Loshchilov and Hutter 2019, algorithm 2)."""
    found, gradients = jax.value_and_grad(loss)(state["weights"], tokens, run, attention)
    count = state["steps"] + 1
    first = jax.tree.map(lambda m, g: FIRST * m + (1 - FIRST) * g, state["first"], gradients)
    second = jax.tree.map(
        lambda v, g: SECOND * v + (1 - SECOND) * g * g, state["second"], gradients
    )
    done = count.astype(jnp.float32)
    near, far = 1 - FIRST**done, 1 - SECOND**done

    def moved(weight: jax.Array, m: jax.Array, v: jax.Array) -> jax.Array:
        return weight - RATE * ((m / near) / (jnp.sqrt(v / far) + LEAST) + DECAY * weight)

    weights = jax.tree.map(moved, state["weights"], first, second)
    return {"weights": weights, "first": first, "second": second, "steps": count}, found


def compiled(run: Run, state: Tree, tokens: jax.Array) -> tuple[jax.stages.Compiled, str]:
    """The step as a program for these sizes, and which attention it has. Raises what the last kind of attention raises."""
    for attention in ATTENTION:
        try:
            whole = jax.jit(partial(step, run=run, attention=attention), donate_argnums=0)
            return whole.lower(state, tokens).compile(), attention
        except TimeoutError:
            raise
        except Exception as error:
            if attention == ATTENTION[-1]:
                raise
            print(f"jax_steps: {attention}: {first_lines(error)}", file=sys.stderr, flush=True)
    raise AssertionError


def needed_gib(program: jax.stages.Compiled) -> str:
    """GiB of the program's arguments and own buffers, as XLA lays them out; nothing where it does not say."""
    told = program.memory_analysis()
    if told is None:
        return ""
    taken = told.argument_size_in_bytes + told.output_size_in_bytes - told.alias_size_in_bytes
    return f"{(taken + told.temp_size_in_bytes) / GIB:.3f}"


def timed(run: Run, quick: bool) -> dict[str, object]:
    """Build the run's state and program, warm up, time steps."""
    if run["global_batch"] != run["micro_batch"]:
        raise ValueError("gradients are not accumulated here; expected one micro-batch a step")
    began = time.perf_counter()
    state = jax.block_until_ready(jax.jit(partial(initial, run))())
    shape = int(run["micro_batch"]), int(run["seq_len"])
    tokens = jax.random.randint(jax.random.key(2), shape, 0, int(run["vocab"]))
    parameters = sum(weight.size for weight in jax.tree.leaves(state["weights"]))
    program, attention = compiled(run, state, tokens)
    built = time.perf_counter()
    seconds: list[float] = []
    ready, count, first = 0.0, 0, 0
    while not ready or len(seconds) < count:
        before = time.perf_counter()
        state, found = jax.block_until_ready(program(state, tokens))
        seconds.append(time.perf_counter() - before)
        if not ready and warm(len(seconds), seconds[-1]):
            ready, first = time.perf_counter(), len(seconds)
            count = first + timed_steps(seconds[-1], quick)
    kept = seconds[first:]
    middle, value = statistics.median(kept), float(found)
    return {
        "status": "ok" if math.isfinite(value) else "loss not finite",
        "step_s": f"{middle:.6g}",
        "step_s_min": f"{min(kept):.6g}",
        "step_s_max": f"{max(kept):.6g}",
        "steps": len(kept),
        "tokens_per_s": f"{tokens.size / middle:.6g}",
        "allocated_gib": needed_gib(program),
        "parameters": parameters,
        "loss": f"{value:.4f}",
        "build_s": f"{built - began:.2f}",
        "warm_up_s": f"{ready - built:.2f}",
        "notes": f"{attention} attention",
    }


def measured(run: Run, quick: bool) -> dict[str, object]:
    """The run's row, whatever happens to it."""
    try:
        with at_most(SLOW_MACHINE * LONGEST_RUN_S if quick else LONGEST_RUN_S):
            return timed(run, quick)
    except Exception as error:
        full = "RESOURCE_EXHAUSTED" in str(error)
        status = "out of memory" if full else "failed"
        return {"status": status, "notes": f"{type(error).__name__}: {first_lines(error)}"}


def main() -> None:
    """Measure the set's runs under JAX until the time is up."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("outdir", type=Path)
    parser.add_argument("--set", choices=sorted(SETS), default="third", help="which runs")
    parser.add_argument("--small", action="store_true", help="only show that the code works")
    parser.add_argument("--budget-seconds", type=float, default=60, help="all together")
    parser.add_argument("--began", type=float, default=STARTED, help="when the budget began (Unix)")
    asked = parser.parse_args()
    every = runs(asked.set, "jax", asked.small)
    if not every:
        return
    asked.outdir.mkdir(parents=True, exist_ok=True)
    table = Table(asked.outdir / "steps.csv", COLUMNS, "run_id")
    fixed = {
        "device": jax.devices()[0].device_kind,
        "software": f"JAX {jax.__version__}",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    for run in waiting(every, table, asked.began + asked.budget_seconds):
        table.add({"run_id": run["run_id"]} | measured(run, asked.small) | fixed)
        jax.clear_caches()
        gc.collect()


if __name__ == "__main__":
    main()

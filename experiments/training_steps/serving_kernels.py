"""Times on a GPU the kernels that one step of serving is made of: serving_kernels.py FILE.csv [--small] [--seconds 150]

Decoding reads every weight for few tokens, so that what counts is the share of the memory's bandwidth that a product of 1 to
1,024 rows reaches, attention over a cache, what lies between products, sampling, and the gaps between launches. Calls are
captured as a CUDA graph and replayed, as engines do, unless a row says `eager`: then Python launches them one by one. Operands
are taken in turn from as many copies as fill twice the last-level cache. Bytes count each operand read and each result written
once, FLOPs two a multiplication; peaks and bandwidths are those of the book's table of chips.
"""

from __future__ import annotations

import argparse
import csv
import gc
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from decode_layers import Decoder
from product_grid import COLD_BYTES, FP8, MOST_COPIES
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

STARTED = time.time()
CHIPS = {"NVIDIA H100 80GB HBM3": "h100-sxm", "NVIDIA H200": "h200"}
COLUMNS = (
    *("kernel", "setting", "format", "rows", "inner", "columns", "launched", "seconds"),
    *("tflops", "share_of_peak", "gb_per_s", "share_of_bandwidth", "device", "software", "notes"),
)
BF16 = torch.bfloat16
ROWS = (1, 4, 16, 64, 128, 256, 512, 1024)
PRODUCTS = {
    "Llama 8B, queries, keys and values": (4096, 6144),
    "Llama 8B, attention's output": (4096, 4096),
    "Llama 8B, gate and up": (4096, 28672),
    "Llama 8B, down": (14336, 4096),
    "Llama 8B, output head": (4096, 128256),
    "Llama 70B, queries, keys and values": (8192, 10240),
    "Llama 70B, attention's output": (8192, 8192),
    "Llama 70B, gate and up": (8192, 57344),
    "Llama 70B, down": (28672, 8192),
    "one expert of 2,048 at width 7,168, gate and up": (7168, 4096),
    "one expert of 2,048 at width 7,168, down": (2048, 7168),
}
"""Inputs and outputs of a layer."""
EXPERTS, EACH = 32, (1, 4, 16, 64, 256)
"""Experts of a chip that are multiplied in one grouped product, rows that each of them gets."""
CACHES = (
    *((1, 1024), (1, 8192), (1, 65536), (8, 1024), (8, 8192), (32, 1024), (32, 4096)),
    *((32, 16384), (128, 1024), (128, 4096), (256, 1024)),
)
"""Sequences, cached tokens of each."""
HEADS = {"Llama 8B": (32, 8), "Llama 70B": (64, 8)}
"""Heads, key-value heads; all are 128 wide."""
FLEXIBLE = ((8, 8192), (32, 4096), (128, 1024))
STREAMS = tuple(itertools.product((1, 16, 64, 256, 1024, 4096), (4096, 8192)))
SAMPLED, WORDS = (1, 16, 64, 256), 128_256
STEPS = ((1, 1024), (16, 1024), (64, 1024), (256, 1024), (16, 8192))
"""Sequences and cached tokens of a whole decoding step of Llama 3.1 8B."""
READINGS, READING_S, MOST_CALLS = 3, 0.01, 200
Call = Callable[[], object]


class Kernel(NamedTuple):
    """One kernel: `prepare` gives the calls to take in turn; FLOPs and bytes of one of them."""

    name: str
    setting: str
    form: str
    sizes: tuple[int, int, int]
    flops: float
    moved: float
    prepare: Callable[[torch.device], list[Call]]
    eager: bool = False


def _random(device: torch.device, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, device=device, dtype=BF16)


def _copies(moved: float) -> int:
    return int(min(max(COLD_BYTES / moved, 1), MOST_COPIES)) + 1


def products(scale: int) -> Iterator[Kernel]:
    """Products of few rows with a layer's weights, in BF16 and FP8."""
    for (name, (inner, columns)), form, m in itertools.product(
        PRODUCTS.items(), ("bf16", "fp8"), ROWS
    ):
        k, n, size = inner // scale, columns // scale, 1 if form == "fp8" else 2
        moved = size * (m * k + k * n) + 2.0 * m * n
        made = partial(_products, form=form, m=m, k=k, n=n, copies=_copies(moved))
        yield Kernel("product", name, form, (m, k, n), 2.0 * m * k * n, moved, made)


def _products(device: torch.device, form: str, m: int, k: int, n: int, copies: int) -> list[Call]:
    pairs = [(_random(device, m, k), _random(device, n, k)) for _ in range(copies)]
    if form != "fp8":
        return [partial(F.linear, *pair) for pair in pairs]
    one = torch.ones((), device=device)
    eight = [(values.to(FP8), weights.to(FP8).t()) for values, weights in pairs]
    return [
        partial(torch._scaled_mm, *pair, one, one, out_dtype=BF16, use_fast_accum=True)
        for pair in eight
    ]


def grouped(scale: int) -> Iterator[Kernel]:
    """Products of all experts of a chip in one kernel, each with as many rows."""
    for each, (k, n) in itertools.product(EACH, ((7168, 4096), (2048, 7168))):
        k, n, rows = k // scale, n // scale, each * EXPERTS
        moved = 2.0 * (rows * k + EXPERTS * k * n + rows * n)
        name, made = f"{EXPERTS} experts, {each} rows each", partial(_grouped, each=each, k=k, n=n)
        yield Kernel("grouped product", name, "bf16", (rows, k, n), 2.0 * rows * k * n, moved, made)


def _grouped(device: torch.device, each: int, k: int, n: int) -> list[Call]:
    values, weights = _random(device, each * EXPERTS, k), _random(device, EXPERTS, n, k)
    ends = torch.arange(1, EXPERTS + 1, device=device, dtype=torch.int32) * each
    return [lambda: F.grouped_mm(values, weights.transpose(-2, -1), offs=ends)]


def attention(scale: int) -> Iterator[Kernel]:
    """One query a sequence over a plain cache of keys and values: PyTorch's choice of kernel, FlashAttention's and cuDNN's by
    name, a group's heads as rows of one head, and FlexAttention's kernel for decoding."""
    ways: dict[str, Callable[..., object]] = {
        "PyTorch's choice": _repeated,
        "FlashAttention": partial(_by, SDPBackend.FLASH_ATTENTION),
        "cuDNN": partial(_by, SDPBackend.CUDNN_ATTENTION),
        "a group's heads as rows": _as_rows,
        "FlexAttention, compiled": _flexible,
    }
    for (way, call), (model, heads) in itertools.product(ways.items(), HEADS.items()):
        for batch, tokens in FLEXIBLE if call is _flexible else CACHES:
            length, (own, kept) = max(tokens // scale, 128), heads
            flops = 4.0 * batch * own * length * 128
            moved = 4.0 * batch * 128 * (kept * length + own)
            made = partial(_caches, batch=batch, length=length, heads=heads, call=call, moved=moved)
            sizes = (batch, length, own)
            yield Kernel("decode attention", f"{model}, {way}", "bf16", sizes, flops, moved, made)


def _caches(
    device: torch.device,
    batch: int,
    length: int,
    heads: tuple[int, int],
    call: Callable[..., object],
    moved: float,
) -> list[Call]:
    own, kept = heads
    return [
        partial(
            call,
            _random(device, batch, own, 1, 128),
            _random(device, batch, kept, length, 128),
            _random(device, batch, kept, length, 128),
        )
        for _ in range(_copies(moved))
    ]


def _repeated(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> object:
    return F.scaled_dot_product_attention(query, key, value, enable_gqa=True)


def _by(backend: SDPBackend, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> object:
    with sdpa_kernel(backend):
        return _repeated(query, key, value)


def _as_rows(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> object:
    batch, _, _, width = query.shape
    return F.scaled_dot_product_attention(query.reshape(batch, key.shape[1], -1, width), key, value)


def _flexible(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> object:
    from torch.nn.attention.flex_attention import flex_attention

    return _compiled(flex_attention, False)(query, key, value, enable_gqa=True)


_COMPILED: dict[object, Callable[..., object]] = {}


def _compiled(call: Callable[..., object], dynamic: bool) -> Callable[..., object]:
    if call not in _COMPILED:
        _COMPILED[call] = torch.compile(call, dynamic=dynamic)
    return _COMPILED[call]


def _norm(stream: torch.Tensor, added: torch.Tensor, weight: torch.Tensor) -> object:
    total = stream + added
    return total, F.rms_norm(total, (total.shape[-1],), weight, 1e-5)


def _gated(gate: torch.Tensor, up: torch.Tensor, _: torch.Tensor) -> object:
    return F.silu(gate) * up


def between(scale: int) -> Iterator[Kernel]:
    """What lies between products: the residual sum with its norm, and the gated unit, one by one and compiled."""
    for (m, width), kept in itertools.product(STREAMS, (False, True)):
        n = width // scale
        for name, call, tensors in (("sum and norm", _norm, 4), ("gated unit", _gated, 3)):
            way = "compiled" if kept else "one by one"
            made = partial(_streams, call=call, m=m, n=n, kept=kept)
            moved = 2.0 * tensors * m * n
            yield Kernel("between products", f"{name}, {way}", "bf16", (m, n, 0), 0, moved, made)


def _streams(
    device: torch.device, call: Callable[..., object], m: int, n: int, kept: bool
) -> list[Call]:
    run = _compiled(call, True) if kept else call
    copies = min(_copies(6.0 * m * n), 16)
    return [
        partial(run, _random(device, m, n), _random(device, m, n), _random(device, n))
        for _ in range(copies)
    ]


def _greedy(logits: torch.Tensor) -> object:
    return logits.argmax(-1)


def _drawn(logits: torch.Tensor) -> object:
    shares = torch.softmax(logits.float() / 0.7, -1)
    return shares.div_(torch.empty_like(shares).exponential_()).argmax(-1)


def _nucleus(logits: torch.Tensor) -> object:
    ordered, places = (logits.float() / 0.7).sort(-1, descending=True)
    shares = torch.softmax(ordered, -1)
    left = torch.where(shares.cumsum(-1) - shares > 0.9, 0.0, shares)
    drawn = left.div_(torch.empty_like(left).exponential_()).argmax(-1, keepdim=True)
    return places.gather(-1, drawn)


def _fifty(logits: torch.Tensor) -> object:
    best, places = (logits.float() / 0.7).topk(50, -1)
    shares = torch.softmax(best, -1)
    drawn = shares.div_(torch.empty_like(shares).exponential_()).argmax(-1, keepdim=True)
    return places.gather(-1, drawn)


def sampling(scale: int) -> Iterator[Kernel]:
    """The next token from BF16 logits."""
    ways = {"greedy": _greedy, "drawn": _drawn, "top-k 50": _fifty, "top-p 0.9": _nucleus}
    for (name, call), m, eager in itertools.product(ways.items(), SAMPLED, (False, True)):
        n = WORDS // scale
        made = partial(_sampled, call=call, m=m, n=n)
        yield Kernel("sampling", name, "bf16", (m, n, 0), 0, 2.0 * m * n, made, eager)


def _sampled(device: torch.device, call: Callable[..., object], m: int, n: int) -> list[Call]:
    return [partial(call, _random(device, m, n)) for _ in range(min(_copies(2.0 * m * n), 8))]


def launches(scale: int) -> Iterator[Kernel]:
    """A kernel that does next to nothing, and whole decoding steps of Llama 3.1 8B, each by Python and as a graph."""
    for eager in (False, True):
        made = partial(_sampled, call=_nothing, m=1, n=1024)
        yield Kernel("launch", "one addition of 1,024", "bf16", (1, 1024, 0), 0, 4096, made, eager)
    decoders: dict[torch.device, Decoder] = {}
    for (batch, tokens), eager in itertools.product(STEPS, (False, True)):
        length = max(tokens // scale, 16)
        made = partial(_step, decoders=decoders, batch=batch, length=length, scale=scale)
        flops, moved = Decoder.work(batch, length, scale)
        sizes = (batch, length, 0)
        yield Kernel("decoding step", "Llama 3.1 8B", "bf16", sizes, flops, moved, made, eager)


def _nothing(values: torch.Tensor) -> object:
    return values.add_(1)


def _step(
    device: torch.device, decoders: dict[torch.device, Decoder], batch: int, length: int, scale: int
) -> list[Call]:
    if device not in decoders:
        decoders[device] = Decoder(device, scale)
    return [decoders[device].prepared(batch, length)]


def captured(calls: list[Call], passes: int) -> Call:
    """The calls as one CUDA graph, so many times over."""
    for call in calls[:2]:
        call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(passes):
            for call in calls:
                call()
    return graph.replay


def _reading(call: Call, device: torch.device) -> float:
    if device.type != "cuda":
        began = time.perf_counter()
        call()
        return time.perf_counter() - began
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def seconds(calls: list[Call], device: torch.device, eager: bool) -> float:
    """Median seconds of one of the calls, taken in turn."""

    def every() -> None:
        for call in calls:
            call()

    every()
    once = min(_reading(every, device) for _ in range(2)) / len(calls)
    passes = max(1, min(MOST_CALLS, int(READING_S / max(once, 1e-6))) // len(calls))
    if device.type == "cuda" and not eager:
        run = captured(calls, passes)
        run()
    else:

        def run() -> None:
            for _ in range(passes):
                every()

    return statistics.median(_reading(run, device) for _ in range(READINGS)) / passes / len(calls)


def ceilings(device: torch.device) -> dict[str, float]:
    """TFLOP/s of the card by format, and TB/s of its memory, by the book's table; empty for one that it does not have."""
    if device.type != "cuda":
        return {}
    wanted = CHIPS.get(torch.cuda.get_device_name())
    with (Path(__file__).parents[2] / "data" / "chips.csv").open(newline="") as file:
        known = {row["id"]: row for row in csv.DictReader(file)}
    if wanted not in known:
        return {}
    row = known[wanted]
    return {name: float(row[f"{name}_tflops"]) for name in ("bf16", "fp8")} | {
        "bandwidth": float(row["hbm_tb_per_s"])
    }


def record(kernel: Kernel, taken: float, most: dict[str, float]) -> dict[str, object]:
    """The row's numbers."""
    rate, moved = kernel.flops / taken / 1e12, kernel.moved / taken / 1e9
    found: dict[str, object] = {"seconds": f"{taken:.6g}", "gb_per_s": f"{moved:.5g}"}
    if kernel.flops:
        found["tflops"] = f"{rate:.5g}"
    if most:
        found["share_of_bandwidth"] = f"{moved / 1e3 / most['bandwidth']:.4f}"
        if kernel.flops:
            found["share_of_peak"] = f"{rate / most[kernel.form]:.4f}"
    return found


PARTS = (launches, products, attention, grouped, sampling, between)


def main() -> None:
    """Write a row for each kernel until the time is up."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", type=Path)
    parser.add_argument("--small", action="store_true", help="only show that the code works")
    parser.add_argument("--seconds", type=float, default=150, help="all together")
    given = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    most, scale = ceilings(device), 16 if given.small else 1
    torch._dynamo.config.recompile_limit = 64
    given.target.parent.mkdir(parents=True, exist_ok=True)
    with given.target.open("w", newline="") as file, torch.no_grad():
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        for kernel in (one for part in PARTS for one in part(scale)):
            if time.time() - STARTED > given.seconds:
                break
            row = dict(zip(("rows", "inner", "columns"), kernel.sizes))
            row |= {"kernel": kernel.name, "setting": kernel.setting, "format": kernel.form}
            row |= {"launched": "eager" if kernel.eager else "graph", "device": name}
            row |= {"software": f"PyTorch {torch.__version__}"}
            try:
                row |= record(kernel, seconds(kernel.prepare(device), device, kernel.eager), most)
            except Exception as error:
                row["notes"] = f"{type(error).__name__}: {error}"[:200].replace("\n", " ")
            table.writerow(row)
            file.flush()
            if kernel.moved > 1e9:  # what a graph held is given back before the next large one
                gc.collect()
                torch.cuda.empty_cache()


if __name__ == "__main__":
    main()

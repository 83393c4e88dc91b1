"""Trains every model of a set of runs for a few steps on one GPU and writes down what a step takes.

    python experiments/training_steps/steps.py OUTDIR                # one GPU with 80 GB; about two minutes
    python experiments/training_steps/steps.py OUTDIR --small        # tiny models through the same code, in half a minute
    python experiments/training_steps/steps.py OUTDIR --set first    # the other set

Writes OUTDIR/steps.csv, a row as soon as it is measured, and OUTDIR/kernels.csv (see `kernels.py`, `small_kernels.py`). Rows
that are there already are not measured again, so that a broken run can be taken up. Models are those of Hugging Face's
transformers with random weights; a step is forward, backward and AdamW's update of one fixed batch. Needs PyTorch,
transformers and, for adapters, peft. Runs of another framework are `jax_steps.py`'s.
"""

from __future__ import annotations

import argparse
import gc
import math
import statistics
import sys
import time
from collections.abc import Callable
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

import fp8  # isort: skip  (the clock of the budget starts before slow imports)
import torch  # isort: skip
import training_loop
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM
from transformers import __version__ as transformers_version
from transformers.utils import logging

BROKEN = 3
"""Exit status where the GPU's context is lost: the next process takes up what is left."""
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
OWN_HEADS = ("llama", "mistral", "qwen3", "qwen3_moe", "gemma", "gemma3_text")
"""Architectures whose heads have a width of their own."""
EXPERT_WORDS = {
    "qwen3_moe": ("num_experts", "moe_intermediate_size"),
    "qwen2_moe": ("num_experts", "moe_intermediate_size"),
    "olmoe": ("num_experts", "intermediate_size"),
    "mixtral": ("num_local_experts", "intermediate_size"),
}
"""What an architecture calls the number of its experts, and their width."""


def configuration(run: Run) -> dict[str, object]:
    """The run's shape in the words of its architecture in transformers."""
    size = {name: int(run[name]) for name in ("layers", "hidden", "heads", "kv_heads", "head_dim")}
    size |= {name: int(run[name]) for name in ("ffn", "vocab", "seq_len", "experts", "expert_ffn")}
    common = {
        "vocab_size": size["vocab"],
        "use_cache": False,
        "tie_word_embeddings": run["tied_embeddings"] == "1",
        "pad_token_id": None,
    }
    if run["architecture"] == "gpt2":
        silent = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
        shape = {"n_layer": size["layers"], "n_embd": size["hidden"], "n_head": size["heads"]}
        return common | shape | silent | {"n_inner": size["ffn"], "n_positions": size["seq_len"]}
    common |= {
        "num_hidden_layers": size["layers"],
        "hidden_size": size["hidden"],
        "num_attention_heads": size["heads"],
        "num_key_value_heads": size["kv_heads"],
        "intermediate_size": size["ffn"],
        "max_position_embeddings": size["seq_len"],
    }
    if run["architecture"] in OWN_HEADS:
        common["head_dim"] = size["head_dim"]
    if size["experts"]:
        number, width = EXPERT_WORDS[run["architecture"]]
        common |= {number: size["experts"], width: size["expert_ffn"]}
        common["num_experts_per_tok"] = int(run["experts_per_token"])
    if shared := int(run.get("shared_experts") or 0):
        common["shared_expert_intermediate_size"] = shared * size["expert_ffn"]
    if window := int(run.get("attention_window") or 0):
        common["sliding_window"] = window
    return common


def build(run: Run, device: torch.device) -> torch.nn.Module:
    """The run's model with random weights on the device, ready to train."""
    config = AutoConfig.for_model(run["architecture"], **configuration(run))
    kernel = run.get("attention") or "sdpa"
    chosen: dict[str, object] = {"attn_implementation": kernel, "dtype": TYPES[run["weights"]]}
    if run["expert_products"]:
        loop = run["expert_products"] == "loop"
        chosen["experts_implementation"] = "eager" if loop else "grouped_mm"
    with device:
        model = AutoModelForCausalLM.from_config(config, **chosen)
    if int(run["lora_rank"]):
        from peft import LoraConfig, get_peft_model  # slow to import, and only adapters need it

        adapters = LoraConfig(
            r=int(run["lora_rank"]), target_modules="all-linear", task_type="CAUSAL_LM"
        )
        model = get_peft_model(model, adapters)
    model = model.to(device).train()
    if run["recompute"] != "none":
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if run["recompute"] == "selective":  # every second layer is redone
        for layer in model.model.layers[1::2]:
            layer.gradient_checkpointing = False
    if run["precision"] == "fp8" or run["compiled"] == "1":
        inner = model.transformer.h if run["architecture"] == "gpt2" else model.model.layers
        if run["precision"] == "fp8":
            fp8.convert(inner)
        for layer in inner if run["compiled"] == "1" else ():
            layer.compile()
    return model


def _next_token_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def loss_of(run: Run) -> Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]:
    """The loss as the run's software makes it: by transformers, or compiled as torchtitan does."""
    if run["compiled"] != "1":
        return lambda model, tokens: model(input_ids=tokens, labels=tokens, use_cache=False).loss
    compiled = torch.compile(_next_token_loss)

    def loss(model: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
        targets = F.pad(tokens[:, 1:], (0, 1), value=-100)
        return compiled(model(input_ids=tokens, use_cache=False).logits, targets)

    return loss


def stepper(run: Run, model: torch.nn.Module, device: torch.device) -> Callable[[], torch.Tensor]:
    """What does one step of the run and gives its loss."""
    update = training_loop.Update(run, model, device)
    shape = int(run["micro_batch"]), int(run["seq_len"])
    tokens = torch.randint(int(run["vocab"]), shape, device=device)
    passes = int(run["global_batch"]) // int(run["micro_batch"])
    # Adapters are FP32 beside a 16-bit base, so that they need autocast as FP32 weights do.
    mixed = run["weights"] == "fp32" or int(run["lora_rank"]) > 0
    mixed = mixed and run["precision"] != "tf32"
    sixteen = torch.float16 if run["precision"] == "fp16" else torch.bfloat16
    torch.set_float32_matmul_precision("high" if run["precision"] == "tf32" else "highest")
    loss_function = loss_of(run)

    def step() -> torch.Tensor:
        total = torch.zeros((), device=device)
        for _ in range(passes):
            with torch.autocast(device.type, dtype=sixteen, enabled=mixed):
                loss = loss_function(model, tokens) / passes
            update.backward(loss)
            total += loss.detach()
        update.step()
        return total

    return step


class Clock:
    """Times between marks: by the GPU's own clock where there is one, so that steps need not wait for one another."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"
        self.marks: list = []

    def mark(self) -> None:
        """Remember the moment, on the GPU the one at which all work given to it so far is done."""
        if not self.cuda:
            self.marks.append(time.perf_counter())
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self.marks.append(event)

    def seconds(self) -> list[float]:
        """Seconds between each mark and the next."""
        pairs = list(zip(self.marks[:-1], self.marks[1:]))
        if not self.cuda:
            return [after - before for before, after in pairs]
        torch.cuda.synchronize()
        return [before.elapsed_time(after) / 1e3 for before, after in pairs]


def settle(device: torch.device) -> None:
    """Wait until all work is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def timed(run: Run, device: torch.device, quick: bool) -> dict[str, object]:
    """Build the run's model, warm up, time steps, read the memory."""
    torch.manual_seed(1)
    before = allocated(device)
    began = time.perf_counter()
    model = build(run, device)
    step = stepper(run, model, device)
    settle(device)
    built = time.perf_counter()
    done, took = 0, 0.0
    while not warm(done, took):
        last = time.perf_counter()
        step()
        settle(device)
        done, took = done + 1, time.perf_counter() - last
    ready = time.perf_counter()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    count = timed_steps(took, quick)
    clock = Clock(device)
    clock.mark()
    for _ in range(count):
        loss = step()
        clock.mark()
    found = clock.seconds()
    middle = statistics.median(found)
    tokens = int(run["global_batch"]) * int(run["seq_len"])
    return {
        "status": "ok" if math.isfinite(loss.item()) else "loss not finite",
        "step_s": f"{middle:.6g}",
        "step_s_min": f"{min(found):.6g}",
        "step_s_max": f"{max(found):.6g}",
        "steps": count,
        "tokens_per_s": f"{tokens / middle:.6g}",
        **memory(device),
        "allocated_before_gib": f"{before:.3f}",
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "loss": f"{loss.item():.4f}",
        "build_s": f"{built - began:.2f}",
        "warm_up_s": f"{ready - built:.2f}",
        "notes": _graphs(run),
    }


def _graphs(run: Run) -> str:
    """How often the compiler made a graph: two where every layer shares one and the loss has the other."""
    if run["compiled"] != "1":
        return ""
    return f"{torch._dynamo.utils.counters['stats']['unique_graphs']} compiled graphs"


def allocated(device: torch.device) -> float:
    """GiB of tensors on the GPU now; zero without one."""
    return torch.cuda.memory_allocated() / GIB if device.type == "cuda" else 0.0


def memory(device: torch.device) -> dict[str, str]:
    """The peaks since they were last forgotten, in GiB: tensors, what the allocator held for them, and all that the card had
    in use, the CUDA context included; nothing without a GPU."""
    if device.type != "cuda":
        return {}
    free, whole = torch.cuda.mem_get_info()
    return {
        "allocated_gib": f"{torch.cuda.max_memory_allocated() / GIB:.3f}",
        "reserved_gib": f"{torch.cuda.max_memory_reserved() / GIB:.3f}",
        "device_used_gib": f"{(whole - free) / GIB:.3f}",
    }


def measured(run: Run, device: torch.device, quick: bool) -> dict[str, object]:
    """The run's row, whatever happens to it."""
    try:
        with at_most(SLOW_MACHINE * LONGEST_RUN_S if quick else LONGEST_RUN_S):
            return timed(run, device, quick)
    except torch.OutOfMemoryError as error:
        return {"status": "out of memory", "notes": first_lines(error)}
    except Exception as error:
        return {"status": "failed", "notes": f"{type(error).__name__}: {first_lines(error)}"}


def let_go(device: torch.device) -> bool:
    """Free what the last run held; False where the GPU's context is lost."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    gc.collect()
    if device.type != "cuda":
        return True
    try:
        torch.cuda.synchronize()
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()
    except RuntimeError:
        return False
    return True


def all_runs(
    every: list[dict[str, str]], table: Table, device: torch.device, small: bool, until: float
) -> int:
    """Measure what the table lacks until the time is up; the exit status."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    fixed = {
        "device": name,
        "software": f"PyTorch {torch.__version__}, transformers {transformers_version}",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    for run in waiting(every, table, until):
        table.add({"run_id": run["run_id"]} | measured(run, device, small) | fixed)
        if not let_go(device):
            return BROKEN
    return 0


def main() -> int:
    """Measure all runs, then the kernels, each until its time is up."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("outdir", type=Path)
    parser.add_argument("--set", choices=sorted(SETS), default="third", help="which runs")
    parser.add_argument("--small", action="store_true", help="only show that the code works")
    parser.add_argument("--budget-seconds", type=float, default=200, help="all together")
    parser.add_argument("--kernel-seconds", type=float, default=30, help="of them for kernels")
    parser.add_argument("--began", type=float, default=STARTED, help="when the budget began (Unix)")
    parser.add_argument("--device", default="cuda")
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        sys.exit("steps: no GPU is visible to PyTorch; run on a machine that has one.")
    logging.set_verbosity_error()
    asked.outdir.mkdir(parents=True, exist_ok=True)
    device, end = torch.device(asked.device), asked.began + asked.budget_seconds
    steps = Table(asked.outdir / "steps.csv", COLUMNS, "run_id")
    every = runs(asked.set, "pytorch", asked.small)
    status = all_runs(every, steps, device, asked.small, end - asked.kernel_seconds)
    if status == 0 and asked.kernel_seconds > 0:
        import kernels
        import small_kernels

        parts = kernels.PARTS if asked.set == "first" else small_kernels.PARTS
        with torch.no_grad():
            table = Table(asked.outdir / "kernels.csv", kernels.COLUMNS, "kernel_id")
            kernels.measure(table, parts, device, asked.small, end)
    return status


if __name__ == "__main__":
    sys.exit(main())

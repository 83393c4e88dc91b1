"""The larger form of the low-precision experiment, on one GPU with FP8 matrix units.

    python experiments/low_precision/larger.py --design second --out OUTDIR --budget-seconds 400

Needs PyTorch. What it runs and how it is judged was fixed before: `training_moat.numerics.design_larger` (`first`) and
`design_second`. Writes the design's table, a row per finished run, at once, and a manifest beside it. Seeds are
outermost, so that a call that runs out of time leaves whole sets. `--small` runs a tiny network for a few steps, to show
that everything works; its rows are no result.
"""

from __future__ import annotations

import argparse
import bz2
import csv
import dataclasses
import hashlib
import json
import os
import platform
import re
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import torch
from corpus import Corpus
from numpy_loop import DIVERGED_NATS
from torch_arithmetic import FUSED, WIDE, compared, wide_product
from torch_model import Runs, far_apart

from training_moat.numerics.design import Shape
from training_moat.numerics.design_larger import UNITS, LargerDesign, placed
from training_moat.numerics.design_second import EXPERIMENTS, NOVELS_SHA256, Experiment
from training_moat.numerics.recipes import recipe

COLUMNS = (
    "study", "recipe", "seed", "log2_learning_rate", "log2_loss_scale", "steps", "initial_loss_nats",
    "train_loss_nats", "val_loss_nats", "skipped_steps", "diverged", "source", "confirmed", "date",
)  # fmt: skip
HELD_OUT_EVERY = 10  # of the files in the order of their names, or of the chapters
FUSED_MAY_DIFFER = 1e-4  # share of numbers; above it nothing is compiled
FUSED_MAY_BE_APART = 1e-2  # relative; a step of BF16, as sums are taken in another order
COMPILED_WHEN_SMALL = ("bf16_mixed", "fp8_units", "nvfp4")  # the small form compiles few
NEVER_COMPILED = ("fp8_fnuz_ported_nan",)  # its runs are over after a step or two
WARM_UP_STEPS = 3
RESET_SECONDS = 0.3  # first weights and text of an arm, at most
LOST_CHECK_STEPS = 50


def library() -> tuple[list[bytes], bytes, dict]:
    """The interpreter's own standard library, file by file, what joins its files, and what names it."""
    folder = Path(os.__file__).parent
    files = sorted(folder.glob("*.py"), key=lambda path: path.name)
    what = "Lib/*.py of the Python that ran it, in order of names, every tenth file held out (PSF License)"
    said = {"what": what, "python": platform.python_version(), "files": len(files)}
    return [path.read_bytes() for path in files], b"\n", said


def novels() -> tuple[list[bytes], bytes, dict]:
    """Two novels that come with this script, chapter by chapter, what joins the chapters, and what names them."""
    whole = bz2.decompress(Path(__file__).with_name("novels.txt.bz2").read_bytes())
    if hashlib.sha256(whole).hexdigest() != NOVELS_SHA256:
        sys.exit("larger: novels.txt.bz2 is not the text that the design names; restore the file.")
    chapters = re.split(rb"(?im)^(?=chapter (?:\d+|[ivxl]+)$)", whole)[1:]
    what = "Pride and Prejudice, Emma (Jane Austen, public domain), every tenth chapter held out"
    return chapters, b"", {"what": what, "chapters": len(chapters)}


def text(name: str) -> tuple[Corpus, dict]:
    """A text byte by byte, every tenth part held out; and what names it."""
    raw, between, said = {"library": library, "novels": novels}[name]()
    held = between.join(raw[::HELD_OUT_EVERY])
    train = between.join(one for number, one in enumerate(raw) if number % HELD_OUT_EVERY)
    codes = (np.frombuffer(part, dtype=np.uint8) for part in (train, held))
    said |= {
        "train_bytes": len(train),
        "held_out_bytes": len(held),
        "train_sha256": hashlib.sha256(train).hexdigest(),
        "held_out_sha256": hashlib.sha256(held).hexdigest(),
    }
    return Corpus(256, *codes), said


class Program:
    """One call: the text, the time that is left, the arms captured so far, the table that grows."""

    def __init__(
        self, form: Experiment, design: LargerDesign, device: torch.device, out: Path, budget: float
    ) -> None:
        self.form, self.design, self.device, self.budget = form, design, device, budget
        self.started = time.monotonic()
        self.corpus, self.said = text(form.text)
        self.arms: dict[str, tuple[Runs, torch.cuda.CUDAGraph | None]] = {}
        self.took: dict[str, float] = {}
        self.compiled = False
        out.mkdir(parents=True, exist_ok=True)
        self.out = out
        self.file = (out / f"{form.table}.csv").open("w", newline="")
        self._write([COLUMNS])

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def _write(self, rows: Sequence[Sequence[object]]) -> None:
        csv.writer(self.file, lineterminator="\n").writerows(rows)
        self.file.flush()

    def batches(self, seed: int) -> np.ndarray:
        """Text of every step (steps, sequences, context + 1): the seed alone fixes it."""
        design, order = self.design, np.random.default_rng([seed, 2])
        drawn = (
            self.corpus.batch(order, design.sequences, design.shape.context)
            for _ in range(design.steps)
        )
        return np.stack([np.concatenate([one, other[:, -1:]], 1) for one, other in drawn])

    def arm(self, name: str, log2_rates: Sequence[float], seed: int) -> Runs:
        """The runs of a recipe, set to their start; captured as one graph the first time."""
        key = f"{name}/{len(log2_rates)}"
        if key not in self.arms:
            rates = [2.0**rate for rate in log2_rates]
            own = recipe(UNITS.get(name, name))
            runs = Runs(
                own, self.design.shape, rates, self.design.steps, self.device, name in UNITS
            )
            runs.reset(seed, self.batches(seed))
            self.arms[key] = runs, captured(runs) if self.device.type == "cuda" else None
        runs, _ = self.arms[key]
        runs.reset(seed, self.batches(seed))
        return runs

    def train(self, study: str, name: str, seed: int, log2_rates: Sequence[float]) -> np.ndarray:
        """Train the runs of a recipe side by side, write their rows; returns their held-out losses."""
        began = time.monotonic()
        worth = name in COMPILED_WHEN_SMALL or self.design is self.form.design
        FUSED["on"] = self.compiled and worth and name not in NEVER_COMPILED
        runs = self.arm(name, log2_rates, seed)
        ready = time.monotonic() - began
        _, graph = self.arms[f"{name}/{len(log2_rates)}"]
        for step in range(self.design.steps):
            graph.replay() if graph else runs.step()
            lost = step % LOST_CHECK_STEPS == LOST_CHECK_STEPS - 1
            if lost and not runs.losses[step].isfinite().any():
                runs.losses[step + 1 :] = float("nan")
                break
        FUSED["on"] = False  # evaluation happens once
        held_out = runs.validation(*self.corpus.validation(self.design.shape.context))
        self._write(self.rows(study, name, seed, log2_rates, runs, held_out))
        self.took[name] = time.monotonic() - began - ready
        shown = " ".join(f"{loss:.4f}" for loss in held_out)
        line = f"{self.elapsed:6.1f} s  {study:8} {name:24} seed {seed}  {shown}  "
        print(f"{line}({ready:.1f} + {self.took[name]:.1f} s)", flush=True)
        return held_out

    def rows(
        self, study: str, name: str, seed: int, log2_rates: Sequence[float], runs: Runs, held_out: np.ndarray
    ) -> list[list[object]]:  # fmt: skip
        """The table's rows of finished runs."""
        losses, skipped = runs.losses.cpu().numpy(), runs.skipped.cpu().numpy()
        last = losses[-max(1, len(losses) // 10) :].mean(0)
        found = []
        for place, rate in enumerate(log2_rates):
            first, val = losses[0, place], held_out[place]
            ended = np.isfinite(val) and np.isfinite(last[place])
            diverged = not ended or val > first + DIVERGED_NATS
            shown = [f"{x:.5f}" if np.isfinite(x) else "" for x in (first, last[place], val)]
            found.append([
                study, name, seed, repr(float(rate)), "", self.design.steps, *shown, int(skipped[place]),
                str(bool(diverged)).lower(), self.form.table, "yes", date.today().isoformat(),
            ])  # fmt: skip
        return found

    def pilot(self) -> float:
        """Run the pilot; the centre of the grid that follows from it."""
        design = self.design
        rates = design.pilot_log2_rates
        losses = [self.train("pilot", "bf16_mixed", seed, rates) for seed in design.pilot_seeds]
        means = np.round(np.stack(losses).astype(float), 5).mean(0)
        found = placed(dict(zip(rates, means.tolist(), strict=True)), design)
        print(
            f"centre 2^{found.centre_log2_rate:g}, yardstick {found.little_nats:g} nats", flush=True
        )
        self.arms.clear()  # nine runs side by side are not used again
        return found.centre_log2_rate

    def run(self) -> None:
        """Pilot, then seed after seed as long as there is time."""
        centre = self.pilot()
        grid = [centre + step for step in self.design.offsets]
        for seed in self.design.seeds:
            whole = sum(self.took.values()) + len(self.took) * RESET_SECONDS
            arms = [] if self.elapsed + whole > self.budget else self.design.studies()
            for study, name in arms:
                self.train(study, name, seed, grid)
            if not arms:  # a seed that is cut short would not be judged
                print(f"budget of {self.budget:g} s: no time for seed {seed}", flush=True)
                return

    def manifest(self, machine: str, differs: float) -> None:
        """Write what tells this call from others."""
        self.file.close()
        table = self.out / f"{self.form.table}.csv"
        said = {
            "table": table.name,
            "network": self.form.network,
            "machine": machine,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "date": date.today().isoformat(),
            "seconds": round(self.elapsed),
            "budget_seconds": self.budget,
            "text": self.said,
            "compiled": self.compiled,
            "share_that_compiling_changes": differs,
            "design": dataclasses.asdict(self.design),
            "table_sha256": hashlib.sha256(table.read_bytes()).hexdigest(),
        }
        table.with_suffix(".manifest.json").write_text(json.dumps(said, indent=2) + "\n")


def captured(runs: Runs) -> torch.cuda.CUDAGraph:
    """The step as one graph, after a few steps that compile and choose kernels; their effects stay in `runs`."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP_STEPS):
            runs.step()
            runs.at.zero_()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        runs.step()
    return graph


def settle(shape: Shape, device: torch.device, eager: bool) -> float:
    """Set how products are computed; compile the elementwise parts if that changes nothing; share that it changes."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    if device.type != "cuda":
        return 0.0
    WIDE["on"] = can_widen(device)
    print(f"FP32 results of 16-bit operands: {WIDE['on']}", flush=True)
    if eager:
        return 0.0
    import torch._dynamo as dynamo
    import torch._inductor.config as inductor
    from torch.fx.experimental import _config as shapes

    shapes.use_duck_shape = False  # two lengths that happen to be equal are not taken for one
    dynamo.config.recompile_limit = 64
    dynamo.config.specialize_int = dynamo.config.specialize_float = True  # formats are constants
    inductor.eager_numerics.division_rounding = True
    try:
        differs, apart = compared(device), far_apart(shape, device)
    except Exception as error:  # whatever a compiler says, the plain form runs
        print(f"nothing compiled: {type(error).__name__}: {str(error)[:300]}", flush=True)
        differs = apart = 1.0
    FUSED["on"] = differs <= FUSED_MAY_DIFFER and apart < FUSED_MAY_BE_APART
    print(
        f"compiled: {FUSED['on']}; {differs:.2g} of the numbers differ, {apart:.2g} apart",
        flush=True,
    )
    return differs


def can_widen(device: torch.device) -> bool:
    """Whether the product that `WIDE` stands for works and adds in FP32."""
    a, b = (torch.ones(1, 32, 4096, device=device, dtype=torch.bfloat16) for _ in range(2))
    a[..., 0] = 2.0**-8
    WIDE["on"] = True
    try:
        found = wide_product(a, b.transpose(1, 2))
    except (RuntimeError, TypeError, NotImplementedError) as error:
        print(f"no FP32 results of BF16 operands: {str(error)[:200]}", flush=True)
        return False
    return bool((found == 4095 + 2.0**-8).all())


def main() -> None:
    """Run the experiment and write its table and manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--design", choices=list(EXPERIMENTS), default="first")
    parser.add_argument("--out", type=Path, default=Path("again"))
    parser.add_argument("--budget-seconds", type=float, default=240.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="a tiny network, a few steps")
    parser.add_argument("--eager", action="store_true", help="compile nothing")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("larger: no GPU is visible to PyTorch; run on a machine that has one.")
    device = torch.device(arguments.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    form = EXPERIMENTS[arguments.design]
    design = form.small if arguments.small else form.design
    program = Program(form, design, device, arguments.out, arguments.budget_seconds)
    differs = settle(design.shape, device, arguments.eager)
    program.compiled = FUSED["on"]
    program.run()
    program.manifest(f"one {name}, PyTorch {torch.__version__.split('+')[0]}", differs)
    print(arguments.out / f"{form.table}.csv")


if __name__ == "__main__":
    main()

"""What re-running costs: points of a sweep, runs of a notebook and builds, beside stock papermill and jupyter-book.

    python -m benchmarks.costs                 everything small (minutes)
    python -m benchmarks.costs --book          the builds on the whole book (many minutes)
    python -m benchmarks.costs --store         keep the table, which the page on clusters shows

Seconds are CPU seconds of the work and of all processes it starts: other programs on the machine change them
little. Papermill is timed on fewer runs than we are; both are given per run.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from .peers.environment import ONE_THREAD
from .report import machine
from .timing import round_to

if __name__ == "__main__":  # before NumPy is loaded: seconds are those of one thread
    os.environ.update(ONE_THREAD)

ROOT = Path(__file__).resolve().parents[1]
STORED = ROOT / "benchmarks" / "costs.csv"
TOUCHED = "The words of one sentence are others now."
CELLS = (
    "from training_moat import figures\nfrom training_moat.catalog import chips",
    'chip = "h100-sxm"\nscale = 1.0',
    'frame = chips.frame().dropna(subset=["hbm_gb"]).head(12)\nframe = frame.assign(shown=frame["hbm_gb"] * scale)',
    'figures.sentence(f"{chips.chip(chip).name}, times {scale:g}.", scale=scale)',
    'chart = figures.bars(frame, value="shown", category="id", title="Memory", value_title="GB")\n'
    'figures.publish(chart, caption="Memory.", alt="Bars of memory.", source="zach_be_why_is_sambanova_giving_up")',
)
"""A small chapter: imports, parameters, a table, a sentence, a figure."""


@dataclass(frozen=True)
class Cost:
    """CPU seconds of one piece of work, on how many it was measured, and how many times less it is than the peer's."""

    work: str
    by: str
    measured_on: int
    cpu_s: float
    times_less: float | None = None


def _used() -> float:
    """CPU seconds so far of this process and of those it has waited for."""
    spent = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in spent)


def _seconds(work: Callable[[], object]) -> float:
    before = _used()
    work()
    return _used() - before


def points(count: int) -> Cost:
    """A request to the model with its layout given, from its fields to its row of the table."""
    import numpy as np

    from training_moat.press import sweep_points
    from training_moat.press.sweep_spec import Sweep

    grid: dict[str, tuple] = {
        "chip": ("h100-sxm", "mi300x", "b200"),
        "chips": (64, 128, 256, 512),
        "seq_len": tuple(range(1024, 9216, 128)),
        "global_batch": tuple(512 * times for times in range(1, 1000)),
    }
    base = {"model": "llama3.1-70b", "tp": 8, "pp": 4, "micro_batch": 1}
    sweep = Sweep("points", "training", base, grid, (), (), 1, 0)
    sweep_points.results(sweep, np.arange(10))
    spent = _seconds(lambda: sweep_points.results(sweep, np.arange(count)))
    return Cost("a point of the model", "moat sweep", count, spent / count)


def runs(ours: int, stock: int) -> Iterator[Cost]:
    """Runs of a small chapter: our engine, one kernel a run, and the ratio."""
    import nbformat
    import papermill

    from training_moat.press import forking

    forking.preload()
    with tempfile.TemporaryDirectory(prefix="moat-costs-") as scratch:
        source, made = Path(scratch) / "small.ipynb", nbformat.v4.new_notebook()
        made.cells = [nbformat.v4.new_code_cell(text) for text in CELLS]
        made.cells[1].metadata["tags"] = ["parameters"]
        made.metadata = {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        }
        nbformat.write(made, source)

        def run(count: int, engine: str | None) -> float:
            def work() -> None:
                for number in range(count):
                    papermill.execute_notebook(
                        str(source), str(Path(scratch) / "out.ipynb"),
                        parameters={"scale": 1.0 + number}, cwd=str(ROOT), progress_bar=False,
                        kernel_name="python3", engine_name=engine,
                    )  # fmt: skip
                forking.rest()  # the process that drew counts once it has ended

            return _seconds(work) / count

        kernel = run(stock, None)
        fork = run(ours, forking.NAME)
    yield Cost("a run of a small chapter", "papermill, a kernel a run", stock, kernel)
    yield Cost("a run of a small chapter", "moat, a fork a run", ours, fork, kernel / fork)


def builds(whole: bool) -> Iterator[Cost]:
    """Builds of a book: jupyter-book that executes every notebook, and ours cold, again, and after a change of words."""
    which = "the book" if whole else "a book of two chapters"
    with tempfile.TemporaryDirectory(prefix="moat-costs-") as scratch:
        root = Path(scratch) / "book"
        _lay_out(root, whole)
        stock = Path(scratch) / "stock"
        shutil.copytree(root, stock)
        config = (stock / "_config.yml").read_text(encoding="utf-8")
        (stock / "_config.yml").write_text(
            config.replace('execute_notebooks: "off"', 'execute_notebooks: "force"')
        )
        book = _called(stock, "jupyter_book.cli.main", "main", "build", str(stock))
        yield Cost(f"{which}, cold", "jupyter-book with execution", 1, book)
        cold = _moat(root)
        yield Cost(f"{which}, cold", "moat build", 1, cold, book / cold)
        again = _moat(root)
        yield Cost(f"{which}, nothing changed", "moat build", 1, again, book / again)
        _reword(root / "chapters" / ("switching.ipynb" if whole else "bars.ipynb"))
        changed = _moat(root)
        yield Cost(
            f"{which}, one notebook's words changed", "moat build", 1, changed, book / changed
        )


def _lay_out(root: Path, whole: bool) -> None:
    if whole:
        kept = shutil.ignore_patterns("_build", ".*", "__pycache__", "src", "tests")
        shutil.copytree(ROOT, root, ignore=kept)
        return
    sys.path.insert(0, str(ROOT / "tests"))
    from small_book import make

    root.mkdir(parents=True)
    make(root)


def _reword(notebook: Path) -> None:
    import nbformat

    made = nbformat.read(notebook, as_version=4)
    made.cells.append(nbformat.v4.new_markdown_cell(TOUCHED))
    nbformat.write(made, notebook)


def _moat(root: Path) -> float:
    return _called(root, "training_moat.cli", "main", "build")


def _called(root: Path, module: str, function: str, *arguments: str) -> float:
    code = f"import sys; from {module} import {function}; sys.exit({function}())"
    call = [sys.executable, "-c", code, *arguments]
    given = os.environ | {"MOAT_ROOT": str(root), "PYTHONPATH": str(ROOT / "src")}
    return _seconds(
        lambda: subprocess.run(call, cwd=root, env=given, check=True, capture_output=True)
    )


def table(found: list[Cost]) -> str:
    """The costs as Markdown."""
    lines = [
        "| work | by | measured on | CPU seconds | times less |",
        "| --- | --- | --- | --- | --- |",
    ]
    for cost in found:
        times = f"{cost.times_less:.3g}" if cost.times_less is not None else ""
        lines.append(
            f"| {cost.work} | {cost.by} | {cost.measured_on:,} | {cost.cpu_s:.3g} | {times} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a few each, to see that it runs")
    parser.add_argument("--book", action="store_true", help="the builds on the whole book")
    parser.add_argument("--long", action="store_true", help="1,000 runs beside 30 of papermill's")
    parser.add_argument("--no-builds", action="store_true", help="points and runs only")
    parser.add_argument("--store", action="store_true", help="write benchmarks/costs.csv")
    options = parser.parse_args(arguments)
    found = [points(100 if options.tiny else 20_000)]
    found += runs(*((2, 1) if options.tiny else (1000, 30) if options.long else (100, 10)))
    if not options.no_builds:
        found += builds(options.book)
    print(f"Measured on {machine()}.\n\n{table(found)}")
    if options.store:
        with STORED.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([field.name for field in fields(Cost)])
            for cost in found:
                row = asdict(cost)
                row["cpu_s"] = round_to(cost.cpu_s, 3)
                row["times_less"] = "" if cost.times_less is None else round_to(cost.times_less, 3)
                writer.writerow(row.values())
    return 0


if __name__ == "__main__":
    sys.exit(main())

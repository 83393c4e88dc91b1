"""The verbs of the command `moat`: what each takes and what it does. Each imports what it needs only when it runs."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shlex
import sys
from pathlib import Path
from types import ModuleType

from training_moat.core.errors import InputError, require_known
from training_moat.predict import request_fields
from training_moat.press.declaring import VERBS as VERBS
from training_moat.press.declaring import argument, chapter_options, scenario, verb
from training_moat.press.failures import WorkFailed


@verb(
    "unpack the book into a folder, to change it and run it again",
    "moat new my-book && cd my-book && moat build",
    argument("folder", metavar="FOLDER", help="a new or an empty folder"),
)
def new(options: argparse.Namespace) -> None:
    from training_moat.press import unpacking

    place = unpacking.unpack(options.folder)
    print(place)
    here = str(place) == os.getcwd()
    then = "moat build" if here else f"cd {shlex.quote(str(place))} && moat build"
    print(f"change what you like there, then: {then}", file=sys.stderr)


@verb(
    "build the book: every chapter, then the site",
    "moat build -p chips=sn40l --out mine/site",
    *chapter_options(
        "for every chapter that has it; CHAPTER.NAME=VALUE for one",
        "where the site goes (default: _build/html)",
    ),
)
def build(options: argparse.Namespace) -> None:
    from training_moat.press import building

    print(building.build(options.parameter, options.scenario, options.out).as_uri())


@verb(
    "run one chapter to an executed notebook and a standalone page",
    "moat run memory -p chips=sn40l --out mine",
    argument("chapter", metavar="CHAPTER"),
    *chapter_options(
        "see `moat params CHAPTER`", "where the notebook and the page go (default: here)"
    ),
)
def run(options: argparse.Namespace) -> None:
    from training_moat.press import forking

    with forking.begun(options.chapter):
        from training_moat.press import standalone  # while the other process imports what draws

        asked = options.chapter, options.parameter, options.scenario, options.out
        made = standalone.run(*asked)
    for path in made:
        print(path)


@verb(
    "list a chapter's parameters",
    "moat params memory",
    argument("chapter", metavar="CHAPTER", nargs="?", help="default: all chapters"),
)
def params(options: argparse.Namespace) -> None:
    from training_moat.press import fillers, notebooks

    if options.chapter:
        notebooks.chapter_file(options.chapter)
    for chapter in [options.chapter] if options.chapter else notebooks.chapter_names():
        rows = fillers.parameter_rows(chapter)
        print(f"{chapter}" if rows else f"{chapter} (no parameters)")
        for row in rows:
            unit = f" {row['unit']}" if row["unit"] else ""
            print(f"  {row['name']} = {row['default']}{unit}  [{row['type']}: {row['allowed']}]")
            print(f"      {row['meaning']}")


@verb(
    "re-execute chapters and store the outputs that tests compare",
    "moat refresh memory",
    argument("chapters", metavar="CHAPTER", nargs="*", help="default: all chapters"),
)
def refresh(options: argparse.Namespace) -> None:
    from training_moat.press import refreshing

    for line in refreshing.refresh(options.chapters):
        print(line)


@verb("validate every data table, source and scenario", "moat check")
def check(options: argparse.Namespace) -> None:
    from training_moat.catalog import checking, inventory
    from training_moat.press import scenarios

    problems = [str(problem) for problem in checking.run()]
    if not problems:
        from training_moat import claims

        problems = scenarios.problems() + claims.problems()
    for problem in problems:
        print(problem)
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise WorkFailed(f"{count} in tables and scenarios")
    tables = inventory.overview()
    print(f"{len(tables)} tables with {tables['rows'].sum():,} rows are right")


_LISTED = (
    argument("pattern", metavar="PATTERN", nargs="?", default="", help="part of an id, a name or a maker"),
    scenario(),
)  # fmt: skip


@verb("list the chips that the tables hold", "moat chips cerebras", *_LISTED)
def chips(options: argparse.Namespace) -> None:
    from training_moat.press.verbs import listing

    listing.listed(options, "chips")


@verb("list the models that the tables hold", "moat models llama", *_LISTED)
def models(options: argparse.Namespace) -> None:
    from training_moat.press.verbs import listing

    listing.listed(options, "models")


@verb(
    "predict training steps or serving, JSON lines in and out",
    """echo '{"id": 1, "model": "llama3.1-405b", "chip": "h100-sxm", "chips": 16384}' | moat predict training""",
    argument("kind", metavar="training|serving", help="what to predict"),
    argument(
        "file", metavar="FILE", nargs="?", default="-",
        help="JSON lines, one case each (default: standard input)",
    ),
    scenario(),
    lists={
        "fields of a case, of which model and chip, in training chips as well, must be there": request_fields.COMMON,
        "more of a training case": request_fields.TRAINING,
        "more of a serving case": request_fields.SERVING,
    },
)  # fmt: skip
def predict(options: argparse.Namespace) -> int:
    from training_moat.press.verbs import predict

    return predict.run(options)


@verb(
    "set two scenarios of the book side by side",
    "moat compare default groq-with-hbm --out compared.html",
    *(
        argument(name, metavar=name.upper(), help="default, a name in scenarios/, or a YAML file")
        for name in ("first", "second")
    ),
    argument("--chapters", metavar="A,B", help="only these (default: all)"),
    argument("--json", action="store_true", help="print JSON"),
    argument("--out", metavar="FILE.html", help="write a page with the figures, too"),
)
def compare(options: argparse.Namespace) -> None:
    from training_moat.core.whole_files import write_text
    from training_moat.press import comparing, output

    if options.out:
        output.page_file(options.out)
    chapters = [name.strip() for name in (options.chapters or "").split(",") if name.strip()]
    found = comparing.compare(options.first, options.second, chapters)
    if options.out:
        write_text(output.page_file(options.out), output.sealed(comparing.page(found)))
    as_json = json.dumps(comparing.record(found), indent=1) if options.json else ""
    print(as_json or "\n".join(comparing.lines(found)))


@verb(
    "run the book under the ready-made scenarios and keep what differs",
    "moat gallery groq-with-hbm",
    argument("scenarios", metavar="SCENARIO", nargs="*", help="files of scenarios/ (default: all)"),
)
def gallery(options: argparse.Namespace) -> None:
    from training_moat.press import gallery

    for line in gallery.store(options.scenarios):
        print(line, flush=True)


@verb(
    "compute many points of the model or of a chapter on Dask, into one table",
    "moat sweep sweeps/chips-and-clusters.yaml --out plans.parquet",
    argument("spec", metavar="SPEC.yaml", help="grids, lists and distributions"),
    argument("--out", metavar="FILE.parquet", required=True, help="the table to write"),
    argument("--workers", metavar="N", type=int, help="processes (default: one a core)"),
    argument("--scheduler", metavar="tcp://HOST:PORT", help="a running Dask cluster"),
)
def sweep(options: argparse.Namespace) -> None:
    from training_moat.core import processes
    from training_moat.press import sweeping

    processes.require_count(options.workers)
    done = sweeping.run(options.spec, options.out, options.workers, options.scheduler)
    said = f"{done.points:,} points, {done.computed:,} computed now, {done.failed:,} failed"
    print(said + (f", the first: {done.why}" if done.failed else ""), file=sys.stderr)
    print(done.path)


@verb(
    "find the fastest plans that fit",
    "moat search --model gpt3-175b --chip a100-80 --chips 4096 --seq-len 2048 --global-batch 4096",
    argument("--model", required=True, help="a name from `moat models`"),
    argument("--chip", required=True, help="an id from `moat chips`"),
    argument("--chips", type=int, required=True, help="how many"),
    argument("--seq-len", type=int, help="tokens per sequence"),
    argument("--global-batch", type=int, help="sequences per step"),
    argument("--precision", help="matmul format, such as bf16 or fp8"),
    argument("--software", help="software stack, such as nemo or fsdp"),
    argument("--top", type=int, default=10, help="how many plans (default: 10)"),
    scenario(),
)
def search(options: argparse.Namespace) -> int:
    from training_moat.press.verbs import search

    return search.run(options)


_GROUPS = ("source", "chip_id", "family", "kind", "format", "stack")


@verb(
    "compare predictions with published measurements",
    "moat validate --by chip_id",
    argument(
        "--by", default="source",
        help=f"group rows by {', '.join(_GROUPS[:-1])} or {_GROUPS[-1]} (default: source)",
    ),
)  # fmt: skip
def validate(options: argparse.Namespace) -> None:
    from training_moat.calibrate import training_errors, unseen_runs

    require_known("group", options.by, _GROUPS, "--by")
    by = [options.by] if options.by == "kind" else [options.by, "kind"]
    table, apart = training_errors.accuracy(by), unseen_runs.not_met(by)
    shares = table.columns.difference([*by, "rows"])
    table[shares] = (100 * table[shares]).round(1)
    memory = training_errors.memory_rows()
    off = 100 * memory["error"].abs().mean()
    print("mean absolute percentage error of predicted step times")
    print(table.to_string(index=False))
    if len(apart):
        apart["error"] = (100 * apart["error"]).round(1)
        print("\nthe same of runs that no fit has met, by the constants as they are")
        print(apart.to_string(index=False))
    print(f"\npeak memory: {off:.1f}% over {len(memory)} measured runs")
    for row in training_errors.coverage(by_support=False).itertuples():
        kind, held = training_errors.KINDS[row.interval_kind], f"{100 * row.coverage:.0f}%"
        alike = (
            f"{100 * row.coverage_by_source:.0f}% with each of {row.sources} sources counted once"
        )
        print(f"90% interval, {kind}: holds {held} of {row.rows} runs of sources left out, {alike}")
    unused = int(training_errors.unused()["rows"].sum())
    print(f"not usable: {unused} configurations (see the validation chapter)")


_OUT = Path("_build") / "experiment"


@verb(
    "run the low-precision training experiment",
    "moat experiment low-precision --quick",
    argument("name", metavar="low-precision", help="which experiment"),
    [
        argument(
            "--quick", action="store_true",
            help="the short form (about a minute) that continuous integration checks",
        ),
        argument(
            "--manifest", type=Path, metavar="FILE",
            help="run again what this manifest of an earlier run records",
        ),
    ],
    argument("--seeds", metavar="N,N,...", help="other seeds than the design's: are the verdicts the same?"),
    argument("--workers", type=int, metavar="N", help="processes (default: two, or one on a single core)"),
    argument(
        "--out", type=Path, default=_OUT, metavar="DIR",
        help=f"folder for table and manifest (default: {_OUT}); an interrupted run continues there",
    ),
)  # fmt: skip
def experiment(options: argparse.Namespace) -> None:
    import pandas as pd

    from training_moat.core import processes
    from training_moat.numerics import analysis
    from training_moat.press import output

    require_known("experiment", options.name, ("low-precision",))
    output.refuse_read_only(options.out.absolute())
    processes.require_count(options.workers)
    seeds = None if options.seeds is None else _seeds(options.seeds)
    asked = options.quick, options.out, seeds, options.workers, options.manifest
    table = _experiment().run(*asked)
    for row in analysis.verdicts(pd.read_csv(table)).itertuples():
        found = f" ({row.number:.3g} against {row.threshold:g} {row.unit})"
        shown = "" if pd.isna(row.number) else found
        print(f"{row.hypothesis} {row.verdict:12} {row.claim}{shown}")
    print(table)


def _experiment() -> ModuleType:
    """What runs the experiment: a script of the book's folder, no part of this package."""
    from training_moat.press.folders import ROOT

    folder = ROOT / "experiments" / "low_precision"
    if not folder.is_dir():
        raise InputError(f"experiment: there is no folder {folder}; `moat new` unpacks one.")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return importlib.import_module("numpy_runs")


def _seeds(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        expected = "expected whole numbers separated by commas, such as 21,22,23,24."
        raise InputError(f"--seeds {text}: {expected}") from None


@verb(
    "fit the model's constants on the measurements",
    "moat calibrate training",
    argument(
        "kind", metavar="training|serving|frameworks|collectives", nargs="?", default="training",
        help="whose constants (default: training)",
    ),
)  # fmt: skip
def calibrate(options: argparse.Namespace) -> None:
    from datetime import date

    from training_moat.calibrate import refit

    require_known("kind", options.kind, refit.KINDS, "calibrate")
    takes = refit.KINDS[options.kind].takes
    print(f"fitting, and fitting again with sources left out; this takes {takes}", file=sys.stderr)
    changed = refit.refit(options.kind, date.today().isoformat())
    unmoved = "nothing changed by more than a thousandth"
    print(changed.to_string(index=False) if len(changed) else unmoved)

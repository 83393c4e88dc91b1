"""Odd but valid re-runs: every chapter with every chip alone, with every chip that lacks a number among others, and
every parameter at the ends of its range.

    python -m benchmarks.reruns                 all of them (an hour of processor time)
    python -m benchmarks.reruns --sample 40     some, drawn with a fixed seed
    python -m benchmarks.reruns --mixed 8       so many of each chapter with several parameters changed at once
    python -m benchmarks.reruns memory          one chapter's

No finding and no chip may stop a reader, and no sentence may be broken: each is read for words that only a fault
puts there. A row a fault; exit status 1 when there is one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from training_moat.catalog import chips, models, parameters
from training_moat.contest import chip_factors, reference_jobs
from training_moat.core import tiers
from training_moat.core.errors import Unpublished
from training_moat.core.machine import Chip
from training_moat.press import forking, notebooks
from training_moat.press.folders import CHAPTERS

SEED = 20261125
OTHERS = ("gaudi2", "mi300x")
"""Chips of which every chapter knows what it needs."""
SLOW = ("draws", "seed")
"""Parameters whose ends say nothing about the page."""
WORDS = ("text", "texts")
"""Types whose values no schema lists."""

BROKEN = (
    (re.compile(r"\b(nan|NaN|inf|NaT)\b|\bNone\b(?! [a-z])"), "a value that is none"),
    (
        re.compile(
            r"(?<![\d,.])1 (chips|runs|sources|cases|rows|companies|set-ups|days|months|users|moves)\b"
        ),
        "1 of many",
    ),
    (re.compile(r"\(\s*\)|: \)"), "brackets with nothing in them"),
    (re.compile(r"without limit the"), "'without limit the'"),
    (re.compile(r"\d\.\d{9,}"), "more digits than anyone can mean"),
    (re.compile(r"(?<![\d,.])(\d[\d,.]*) to \1\b(?![\d,.%])"), "a range whose ends are equal"),
    (re.compile(r"\bbetween (\S+) and \1\b"), "a range whose ends are equal"),
    (re.compile(r"(?<!\d)-\d[\d.,]* (chips|days|tokens|dollars|GiB|GB)\b"), "a negative amount"),
    (re.compile(r"\d(e[+-]?\d+)\b(?! FLOP\b)"), "an exponent"),
)
"""What no sentence for a reader holds, and what it is."""

ESCAPED = re.compile(r"\\[&<>_*\[\]|]")
"""A name made safe for a sentence, which titles and captions show as it is."""

OPPOSITES = (
    *(("most", "least"), ("most", "fewest"), ("highest", "lowest"), ("largest", "smallest")),
    *(("fastest", "slowest"), ("longest", "shortest"), ("best", "worst"), ("dearest", "cheapest")),
)
"""Superlatives that one sentence does not give to the same chip."""


@dataclass(frozen=True)
class Rerun:
    """One re-run of a chapter."""

    chapter: str
    parameters: dict[str, Any]

    @property
    def of_chips(self) -> bool:
        """Whether it asks about other chips, each of which has to become a page."""
        schema = parameters.schema(self.chapter)
        return all(schema[name].type in ("chip", "chips") for name in self.parameters)

    def __str__(self) -> str:
        values = " ".join(f"-p {name}={value}" for name, value in self.parameters.items())
        return f"moat run {self.chapter} {values}"


def every(names: list[str]) -> Iterator[Rerun]:
    """Each chip alone in each chapter that takes one, and among others where it lacks a number; each parameter at each of
    its ends."""
    known = chips.all_chips()
    for chapter in names:
        for name, parameter in parameters.schema(chapter).items():
            if parameter.type == "chips":
                yield from (Rerun(chapter, {name: [chip]}) for chip in known)
                lacking = [key for key, chip in known.items() if lacks(chip)]
                yield from (Rerun(chapter, {name: [*OTHERS, chip]}) for chip in lacking)
            elif parameter.type == "chip":
                yield from (Rerun(chapter, {name: chip}) for chip in known)
            elif name not in SLOW:
                for value in _ends(parameter):
                    yield Rerun(chapter, {name: value})


def lacks(chip: Chip) -> bool:
    """Whether a number is unpublished without which a chip cannot be compared: peak, memory or date."""
    asked = (
        lambda: chip_factors.wide_peak(chip),
        lambda: reference_jobs.launched(chip),
        *(lambda job=job: tiers.home(chip, job) for job in ("training", "serving")),
    )
    for ask in asked:
        try:
            ask()
        except Unpublished:
            return True
    return False


def _ends(parameter: parameters.Parameter) -> list[Any]:
    several = parameter.type in ("choices", "chips", "models", "texts", "numbers", "integers")
    found: list[Any] = [[c] for c in parameter.choices] if several else list(parameter.choices)
    if parameter.low is not None and not several:
        found += [parameter.low, parameter.high]
    if parameter.optional:
        found.append([] if several else None)
    if parameter.type == "boolean":
        found += [True, False]
    return found


def faults(rerun: Rerun) -> list[str]:
    """What is wrong with the page of a re-run; nothing where all is well."""
    import nbformat
    import papermill

    os.environ["MOAT_STRICT"] = ""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.ipynb"
        try:
            papermill.execute_notebook(
                str(CHAPTERS / f"{rerun.chapter}.ipynb"), str(target), cwd=str(CHAPTERS),
                parameters=rerun.parameters, engine_name=forking.NAME, progress_bar=False,
            )  # fmt: skip
        except papermill.PapermillExecutionError as error:
            if error.ename == "InputError" and not rerun.of_chips:
                # A sentence that says which valid values do not go together.
                print(f"{rerun}: stops and says: {error.evalue}", flush=True)
                return []
            return [f"cell {error.cell_index + 1}: {error.ename}: {str(error.evalue)[:160]}"]
        return broken(nbformat.read(target, 4))


def broken(notebook: Any) -> list[str]:
    """Sentences, titles and captions that only a fault can have written."""
    found = []
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            texts = [data["text/markdown"]] if "text/markdown" in data else []
            shown = "".join(data.get("text/html", ""))
            titles = re.findall(r'<p class="moat-title">(.*?)</p>', shown, re.S)
            titles += re.findall(r"<figcaption[^>]*>(.*?)</figcaption>", shown, re.S)
            found += [
                f"cell {index + 1}: Markdown in a title: {text[:200]}"
                for text in titles
                if ESCAPED.search(text)
            ]
            texts += titles
            for text in texts:
                plain = re.sub(r"<details.*?</details>|<[^>]+>", " ", text, flags=re.S)
                if chip := same_at_both_ends(plain):
                    found.append(f"cell {index + 1}: {chip} at both ends: {plain[:200]}")
                for pattern, what in BROKEN:
                    if hit := pattern.search(plain):
                        near = plain[max(0, hit.start() - 50) : hit.end() + 30].strip()
                        found.append(f"cell {index + 1}: {what}: ...{near}...")
    return found


@cache
def _chips() -> re.Pattern[str]:
    names = sorted(set(chips.frame()["name"]), key=lambda name: (-len(name), name))
    return re.compile("|".join(map(re.escape, names)))


def same_at_both_ends(text: str) -> str:
    """A chip that one sentence names twice, with opposite superlatives; empty where there is none."""
    for sentence in re.split(r"(?<=[.;])\s", text):
        words = set(re.findall(r"[a-z]+", sentence))
        if any(words.issuperset(pair) for pair in OPPOSITES):
            named = _chips().findall(sentence)
            if twice := [name for name in named if named.count(name) > 1]:
                return twice[0]
    return ""


def mixed(names: list[str], count: int, dice: random.Random) -> Iterator[Rerun]:
    """So many re-runs of each chapter with one to three parameters changed at once, each to anything within its range."""
    for chapter in names:
        schema = parameters.schema(chapter)
        known = [
            name
            for name, one in schema.items()
            if name not in SLOW and (one.optional or one.type not in WORDS)
        ]
        for _ in range(count if known else 0):
            changed = dice.sample(known, min(len(known), dice.choice((1, 1, 2, 3))))
            yield Rerun(chapter, {name: _within(dice, schema[name]) for name in changed})


def _within(dice: random.Random, parameter: parameters.Parameter) -> Any:
    """A valid value: none where that is allowed, now and then; of a wide range, any order of size."""
    if parameter.type in WORDS or (parameter.optional and dice.random() < 0.15):
        return None
    kind = parameters._LISTS.get(parameter.type, parameter.type)
    offered: dict[str, Any] = {"chip": chips.all_chips(), "model": models.all_models()}
    if kind == "boolean" or kind in offered or kind == "choice":
        pool = sorted(offered.get(kind) or parameter.choices or (False, True))
        if kind == parameter.type:
            return dice.choice(pool)
        return dice.sample(pool, min(len(pool), dice.choice((1, 2, 3, 5))))
    low, high = parameter.low or 0, parameter.high if parameter.high is not None else 100
    wide = low > 0 and high / low > 100
    value = low * (high / low) ** dice.random() if wide else dice.uniform(low, high)
    value = int(value) if kind == "integer" else min(high, max(low, float(f"{value:.3g}")))
    return value if kind == parameter.type else [value]


def warm(chapter: str) -> None:
    """Compute a chapter once in this process: its forks find what does not depend on the parameters."""
    names = ", ".join(f"{name}={name}" for name in parameters.schema(chapter))
    space: dict[str, Any] = {}
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        for cell in notebooks.read(CHAPTERS / f"{chapter}.ipynb").cells:
            if cell.cell_type == "code":
                # Outside a kernel the check is handed the values it would read from there.
                checked = f'parameters.check("{chapter}", {names})'
                source = cell.source.replace(f'parameters.check("{chapter}")', checked)
                exec(compile(source, f"{chapter} {cell.id}", "exec"), space)  # noqa: S102


def sampled(names: list[str], count: int | None) -> list[Rerun]:
    """Re-runs of some chapters: all, or `count` drawn with the fixed seed."""
    all_of_them = list(every(names))
    if count is None or count >= len(all_of_them):
        return all_of_them
    return random.Random(SEED).sample(all_of_them, count)


def main() -> int:
    """Print a row a fault and the count; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, metavar="N", help="only so many")
    parser.add_argument("--mixed", type=int, metavar="N", help="several parameters at once")
    parser.add_argument("--seed", type=int, default=SEED, help="of what --mixed draws")
    parser.add_argument("chapters", nargs="*", help="default: all")
    options = parser.parse_args()
    from benchmarks.machines import draw_nothing

    forking.preload(draws=False)
    draw_nothing()
    bad = 0
    names = options.chapters or notebooks.chapter_names()
    drawn = options.mixed and list(mixed(names, options.mixed, random.Random(options.seed)))
    asked = drawn or sampled(names, options.sample)
    warmed = ""
    for rerun in sorted(asked, key=lambda each: each.chapter):
        if rerun.chapter != warmed:
            warm(warmed := rerun.chapter)
        found = faults(rerun)
        bad += bool(found)
        for line in found:
            print(f"{rerun}: {line}", flush=True)
    print(f"{len(asked)} re-runs, {bad} with a fault")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())

"""What a hostile user types where a word belongs: into every argument of every verb."""

from __future__ import annotations

import argparse
import random
from functools import cache

from benchmarks.fuzz_inputs import Call
from training_moat import cli

WORDS = (
    *("", " ", "\n", "\t", "\x1b[31mred", "\x07", "\udcff\udcfe", "\u202egnp", "\u200b", "\u0130", "\u00df"),
    *("\u00e9" * 400, "x" * 100_000, "9" * 5000, "-", "--", "---", "-h-", "--help=1", "-p", "--out", "--out="),
    *("--scenario", "--scenario=", "*", "?", "[", "(", ".*", "\\", "\\\\", "'", '"', "%", "%s", "{}", "{0}", "{x!r}"),
    *("$HOME", "~", "~root", "..", "/", "/dev/null", "/dev/zero", "/etc/shadow", "/proc/self/mem", "NaN", "None"),
    *("null", "True", "0", "-1", "1e400", "\u0661\u0662", "<b>", "=1+1", "@x", "a,b", ",", ";", "a=b", "&", "|"),
)  # fmt: skip
"""Nothing, blanks, control and foreign letters, options, patterns, quotes, formats, places, numbers, code."""

GOOD = {
    "predict": ("training",),
    "run": ("memory",),
    "experiment": ("low-precision", "--seeds", "1,2"),
    "sweep": ("given.yaml", "--out", "out.parquet"),
    "search": ("--model", "llama3.1-8b", "--chip", "h100-sxm", "--chips", "8"),
    "compare": ("default", "default"),
}
"""What a verb needs besides the word."""
SPEC = "level: training\nbase: {model: llama3.1-8b, chip: h100-sxm, chips: 8}\n"


@cache
def places() -> tuple[tuple[str, str | None], ...]:
    """Every verb with each of its options that take a word, and once for a word by itself; first as the verb."""
    found: list[tuple[str, str | None]] = [("", None)]
    for verb in cli.VERBS:
        parser = cli._parser()
        verbs = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
        options = [a for a in verbs.choices[verb]._actions if a.option_strings and a.nargs != 0]
        found += [(verb, None), *((verb, option.option_strings[-1]) for option in options)]
    return tuple(found)


def call(dice: random.Random, bad: bool = True) -> Call:
    """A verb with a hostile word in one place: alone, behind an option, or as a parameter's value."""
    verb, option = dice.choice(places())
    word = dice.choice(WORDS)
    if not verb:
        return Call((word,))
    if option == "--parameter" and dice.random() < 0.7:
        word = f"{dice.choice(('model', 'batch', 'chips', 'chip', 'precision'))}={word}"
    if option is None:
        return Call((verb, word, *GOOD.get(verb, ())[1:]), spec=SPEC)
    return Call((verb, *GOOD.get(verb, ()), option, word), spec=SPEC)

"""Random inputs for `benchmarks.fuzz`: valid ones over the catalogue, and malformed ones made from them."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import yaml

from training_moat.catalog import chips, models, parameters
from training_moat.predict import request_fields, requests
from training_moat.predict import software as stacks

SPEC = "given.yaml"
"""Name of the scenario or sweep that a call reads."""
TABLE = "out.parquet"
"""Name of the table that a sweep writes."""

JUNK: tuple[Any, ...] = (
    *(
        None,
        "",
        " ",
        "\n",
        "\x00",
        "nan",
        "-inf",
        "1e5",
        "٣",
        "h100-smx",
        "<img src=x>",
        "x" * 5000,
    ),
    *(True, False, 0, -1, 0.5, -0.0, 1e-300, 1e300, -1e300, 10**12, 10**30, 2**63, "=1+1", "{}"),
    *([], {}, [1], [[]], ["h100-sxm"], {"base": "h100-sxm"}, {"base": []}, {"a": {"b": [None]}}),
)
"""Values that belong nowhere, or in few places."""

NUMBERS = (1, 2, 3, 7, 8, 64, 1000, 4096, 16384, 10**6)
CHIP_COLUMNS = ("hbm_gb", "hbm_tb_per_s", "bf16_tflops", "scaleup_gb_per_s_per_direction", "tdp_w")
BARE_COLUMNS = (
    *CHIP_COLUMNS,
    *("fp32_tflops", "fp16_tflops", "fp8_tflops", "fp4_tflops", "int8_tops", "sram_mb", "sram_tb_per_s"),
    *("ddr_gb", "ddr_gb_per_s", "scaleup_domain_chips", "scaleup_topology", "scaleout_gbit_per_s_per_chip"),
)  # fmt: skip
"""What a chip without a base may say of itself."""
SHAPE = {"layers": 32, "hidden": 4096, "heads": 32, "kv_heads": 8, "ffn": 14336, "vocab": 128256}


@dataclass(frozen=True)
class Call:
    """One call of the command: its words, what it reads from standard input, and its YAML file."""

    arguments: tuple[str, ...]
    stdin: str = ""
    spec: str = ""

    def __str__(self) -> str:
        """What to repeat it with, cut where it is long."""
        read = self.stdin or self.spec
        return f"moat {' '.join(self.arguments)!r:.300}" + (f" with {read!r:.600}" if read else "")


def chip(dice: random.Random) -> Any:
    """An id of the table, or now and then a chip of one's own: a changed one, or one that says little of itself."""
    named = dice.choice(sorted(chips.all_chips()))
    chance = dice.random()
    if chance < 0.7:
        return named
    columns = list(CHIP_COLUMNS if chance < 0.85 else BARE_COLUMNS)
    known = chips.frame().set_index("id").loc[named, columns].dropna()
    changed = {
        column: value if isinstance(value, str) else float(value) * dice.choice((0.5, 1, 2))
        for column, value in known.items()
    }
    kept = dice.sample(sorted(changed), dice.randint(0, len(changed)))
    based = {"base": named} if chance < 0.85 else {"name": "Own"}
    return {**based, "id": "own", **{column: changed[column] for column in kept}}


def model(dice: random.Random) -> Any:
    """A name of the table, or now and then a shape of one's own: whole, changed, or known by its weights alone."""
    chance = dice.random()
    if chance < 0.8:
        return dice.choice(sorted(models.all_models()))
    if chance < 0.85:
        weights = dice.choice((0.3, 3, 30, 300, 3000))
        return {"params_b": weights, **({"active_params_b": weights / 8} if chance < 0.83 else {})}
    scale = dice.choice((1, 2, 4))
    if chance < 0.9:
        named = dice.choice(sorted(models.all_models()))
        return {"base": named, "id": "own", "layers": int(models.model(named).layers) * scale}
    own = {"name": "own", **SHAPE, "layers": SHAPE["layers"] * scale}
    if dice.random() < 0.3:
        own |= {"experts": 8, "experts_per_token": 2, "expert_ffn": 1024 * scale}
    return own


def training_case(dice: random.Random) -> dict[str, Any]:
    """A training request that leaves most of its plan open."""
    count = dice.choice((1, 8, 16, 64, 96, 256, 1024, 4096, 16384))
    case = {"model": model(dice), "chip": chip(dice), "chips": count}
    optional = {
        "seq_len": dice.choice((128, 2048, 8192, 131072)),
        "global_batch": dice.choice((1, 24, 512, 4096)) * dice.choice((1, count)),
        "precision": dice.choice(requests.PRECISIONS),
        "recompute": dice.choice(("none", "selective", "full")),
        "optimizer": dice.choice(("adamw", "sgd", "adam8bit")),
        "zero_stage": dice.choice((0, 1, 2, 3)),
        "tp": dice.choice((1, 2, 4, 8)),
        "pp": dice.choice((1, 2, 4)),
        "lora_rank": dice.choice((8, 64)),
        "lora_targets": dice.choice((["q_proj", "v_proj"], "mlp", "attention,down_proj")),
        "shard_group": dice.choice((2, 8)),
        "offload": dice.choice(("none", "optimizer", "all")),
        "price_usd_per_chip_hour": dice.choice((0, 0.5, 3.0)),
        "tokens_b": dice.choice((1, 15_000)),
        "goodput": dice.choice((0.1, 1)),
        "software": dice.choice((*sorted(stacks.all_software()), "home-made")),
        "released": dice.choice(("2021-06", "2024", "2026-07-01")),
        "cp": dice.choice((1, 2, 16)),
        "ep": dice.choice((1, 2, 8)),
        "expert_tp": dice.choice((1, 2)),
        "micro_batch": dice.choice((1, 4)),
        "virtual_stages": dice.choice((1, 2)),
        "recompute_share": dice.choice((0, 0.3, 1)),
        "dispatcher": dice.choice(("all-to-all", "deepep", "hybridep")),
        "matmul_tflops": dice.choice((1, 50, 400)),
    }
    yes_or_no = (
        "sequence_parallel",
        "master_weights",
        "flash_attention",
        "overlapped_exchange",
        "balanced_routing",
    )
    optional |= {name: dice.choice((True, False)) for name in yes_or_no}
    case |= {name: value for name, value in optional.items() if dice.random() < 0.15}
    if dice.random() < 0.1:
        layout = {name: case[name] for name in ("chips", "tp", "pp") if name in case}
        runs = ({}, layout, {**layout, "seq_len": 4096, "recompute": "full"})
        seconds = (0.01, 1, 30, 1000)
        case["anchors"] = [
            {**dice.choice(runs), "measured_step_s": dice.choice(seconds)}
            for _ in range(dice.randint(0, 3))
        ]
    return case


ENGINES = (
    *("vllm", "vllm 0.6.3", "sglang", "sglang-2026", "trt-llm", "tgi", "llama.cpp", "deepseek"),
    *("cerebras", "groq", "sambanova", "d-matrix"),
)
"""Serving software: of eras, of releases, not measured, and of makers for their own chips alone."""


def serving_case(dice: random.Random) -> dict[str, Any]:
    """A serving request that leaves most of its plan open."""
    case = {"model": model(dice), "chip": chip(dice)}
    optional = {
        "chips": dice.choice((1, 2, 3, 8, 16, 64)),
        "batch": dice.choice((1, 3, 32, 500, 4096)),
        "input_len": dice.choice((1, 128, 1024, 131072)),
        "output_len": dice.choice((1, 128, 1024, 8192)),
        "precision": dice.choice(requests.PRECISIONS),
        "kv_precision": dice.choice(("bf16", "fp8", "int4")),
        "software": dice.choice(ENGINES),
        "price_usd_per_chip_hour": dice.choice((0, 0.5, 12.0)),
        "tp": dice.choice((1, 2, 8)),
        "pp": dice.choice((1, 2, 8)),
        "ep": dice.choice((1, 8)),
    }
    return case | {name: value for name, value in optional.items() if dice.random() < 0.5}


CASES = {"training": training_case, "serving": serving_case}


YAML_JUNK = (*JUNK, date(2024, 1, 1), b"bytes", {"a", "b"}, 10**400, float("nan"), float("inf"))


def spoilt(dice: random.Random, value: Any, junk: tuple[Any, ...] = JUNK) -> Any:
    """A mapping with one to three places of it made wrong: values, names, or what lies deeper."""
    found = dict(value)
    for _ in range(dice.randint(1, 3)):
        key = dice.choice(sorted(found, key=str)) if found else "x"
        kind = dice.randrange(5)
        if kind == 0 and isinstance(found.get(key), Mapping):
            found[key] = spoilt(dice, found[key], junk)
        elif kind == 1:
            found[_misspelt(dice, str(key))] = found.pop(key, None)
        elif kind == 2:
            found.pop(key, None)
        else:
            found[key] = dice.choice(junk)
    return found


def _misspelt(dice: random.Random, word: str) -> str:
    place = dice.randrange(len(word) + 1)
    return word[:place] + dice.choice("xé<\n\"'=- ") + word[place + dice.randrange(2) :]


def broken_text(dice: random.Random, text: str) -> str:
    """Text cut, doubled, or with some of its letters changed."""
    place = dice.randrange(len(text) + 1)
    return dice.choice(
        (
            text[:place],
            text[place:],
            text[:place] + dice.choice("{}[],:\"'\\\x00\ufeff&*!|-#") + text[place:],
            text[:place] + text,
            text.replace(":", "", 1),
        )
    )


def bad_line(dice: random.Random, kind: str) -> str:
    """One line for `moat predict` that is not what it should be."""
    case = CASES[kind](dice)
    own = request_fields.TRAINING if kind == "training" else request_fields.SERVING
    known = [*request_fields.COMMON, *own]
    case |= {dice.choice(known): dice.choice(JUNK), "id": dice.choice(JUNK)}
    text = json.dumps(spoilt(dice, case))
    chance = dice.random()
    if chance < 0.05:
        text = text.replace("{", '{"deep": ' + "[" * 3000 + "]" * 3000 + ", ", 1)
    elif chance < 0.1:
        text = text.replace("{", '{"chips": ' + "9" * 5000 + ", ", 1)
    elif chance < 0.3:
        text = broken_text(dice, text)
    return text.replace("\n", " ").replace("\r", " ")


def given(dice: random.Random, parameter: parameters.Parameter) -> Any:
    """A valid value of a chapter's parameter."""
    kind = parameters._LISTS.get(parameter.type, parameter.type)
    if kind == "choice":
        value: Any = dice.choice(parameter.choices)
    elif kind == "chip":
        value = dice.choice(sorted(chips.all_chips()))
    elif kind == "model":
        value = dice.choice(sorted(models.all_models()))
    elif kind == "boolean":
        value = dice.choice((True, False))
    elif kind == "text":
        value = "words"
    else:
        low, high = parameter.low or 0, parameter.high if parameter.high is not None else 100
        value = dice.choice((low, high, dice.uniform(low, high)))
        value = int(value) if kind == "integer" else value
    return value if kind == parameter.type else [value] * dice.randint(1, 3)


def _word(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def run_call(dice: random.Random, bad: bool) -> Call:
    """`moat run` with some of a chapter's parameters."""
    chapter = dice.choice([name for name in parameters.chapters() if parameters.schema(name)])
    known = parameters.schema(chapter)
    names = dice.sample(sorted(known), dice.randint(1, min(4, len(known))))
    values: dict[str, Any] = {name: given(dice, known[name]) for name in names}
    if bad:
        values = spoilt(dice, values)
        chapter = _misspelt(dice, chapter) if dice.random() < 0.1 else chapter
    words = [w for name, value in values.items() for w in ("-p", f"{name}={_word(value)}")]
    if bad and dice.random() < 0.2:
        words.insert(dice.randrange(len(words) + 1), dice.choice(("--out", "-p", "--ouz", "")))
    return Call(("run", chapter, *words))


def scenario(dice: random.Random) -> dict[str, Any]:
    """A valid scenario."""
    chapter = dice.choice([name for name in parameters.chapters() if parameters.schema(name)])
    name, parameter = dice.choice(sorted(parameters.schema(chapter).items()))
    own = chip(dice)
    own = own if isinstance(own, dict) else {"base": own}
    return {
        "title": "Mine",
        "chips": {"own-chip": {k: v for k, v in own.items() if k != "id"}},
        "models": {"own-model": {k: v for k, v in SHAPE.items()}},
        "parameters": {chapter: {name: given(dice, parameter)}},
    }


def scenario_call(dice: random.Random, bad: bool) -> Call:
    """A verb with a scenario of the caller's."""
    content = scenario(dice)
    chapter = next(iter(content["parameters"]))
    words = dice.choice((("chips", "own"), ("models", "own"), ("run", chapter)))
    return Call((*words, "--scenario", SPEC), spec=_written(dice, content, bad))


def _written(dice: random.Random, content: Any, bad: bool) -> str:
    content = spoilt(dice, content, YAML_JUNK) if bad else content
    text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
    if bad and dice.random() < 0.1:
        bomb = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
        return f"a0: &a0 [1]\n{bomb}{text}"
    return broken_text(dice, text) if bad and dice.random() < 0.3 else text


def sweep_call(dice: random.Random, bad: bool) -> Call:
    """`moat sweep` of a model's or a chapter's points."""
    if dice.random() < 0.2:
        chapter = dice.choice([name for name in parameters.chapters() if parameters.schema(name)])
        known = sorted(parameters.schema(chapter).items())
        grid = {name: [given(dice, one) for _ in range(2)] for name, one in dice.sample(known, 1)}
        spec = _written(dice, {"level": chapter, "grid": grid}, bad)
        return Call(("sweep", SPEC, "--out", TABLE), spec=spec)
    level = dice.choice(("training", "serving"))
    base = {k: v for k, v in CASES[level](dice).items() if k != "chips"}
    content: dict[str, Any] = {
        "level": level,
        "base": base,
        "grid": {"chips": dice.sample(NUMBERS, dice.randint(1, 4))},
    }
    for name, made in (("model", model), ("chip", chip)):
        if dice.random() < 0.3:
            content["grid"][name] = [made(dice) for _ in range(2)]
            del base[name]
    if dice.random() < 0.4:
        low, high = sorted(dice.sample(NUMBERS, 2))
        content["grid"]["chips"] = {"from": low, "to": high, "steps": dice.randint(2, 9)}
    if dice.random() < 0.3:
        ends = {"p05": 0.5, "median": 1.0, "p95": 2.0}
        values = {"price_usd_per_chip_hour": ends}
        content["draw"] = {"count": dice.randint(1, 9), "seed": 1, "values": values}
    return Call(("sweep", SPEC, "--out", TABLE), spec=_written(dice, content, bad))


def search_call(dice: random.Random, bad: bool) -> Call:
    """`moat search` for a plan."""
    options: dict[str, Any] = {
        "--model": dice.choice(sorted(models.all_models())),
        "--chip": dice.choice(sorted(chips.all_chips())),
        "--chips": dice.choice((1, 8, 64, 96, 1024)),
    }
    optional = {"--seq-len": dice.choice((128, 4096)), "--precision": "bf16", "--top": 3}
    optional["--global-batch"] = dice.choice((1, 64, 1024))
    options |= {name: value for name, value in optional.items() if dice.random() < 0.4}
    options = spoilt(dice, options) if bad else options
    return Call(("search", *(word for pair in options.items() for word in map(_word, pair))))


def listing_call(dice: random.Random, bad: bool) -> Call:
    """`moat chips`, `moat models` or `moat params`."""
    verb = dice.choice(("chips", "models", "params"))
    known = {
        "chips": sorted(chips.all_chips()),
        "models": sorted(models.all_models()),
        "params": parameters.chapters(),
    }
    word = dice.choice(known[verb])
    return Call((verb, _word(dice.choice((*JUNK, _misspelt(dice, word))))) if bad else (verb, word))

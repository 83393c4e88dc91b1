"""The pieces of our own work that are timed, and the cases that every tool is given."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import fields
from itertools import cycle, islice, product
from typing import Any

import numpy as np

from training_moat.core.plan import RECOMPUTE_LEVELS, Plan
from training_moat.core.training_step import step_time
from training_moat.core.workload import params
from training_moat.predict import planning, training, training_nodes, training_plans
from training_moat.predict import training_constants as known

from .peers.environment import ONE_THREAD

GPT3 = {
    "model": "gpt3-175b",
    "chip": "a100-80",
    "chips": 4096,
    "seq_len": 2048,
    "global_batch": 1536,
}
"""GPT-3 175B on 4,096 A100: sequence and batch of Narayanan et al. 2021, table 2."""
GPT3_IN_2021 = GPT3 | {"precision": "fp16", "software": "megatron", "flash_attention": False}
"""The same with the software of that paper: FP16, no fused attention."""


class Search:
    """One plan search: the request, its candidate plans, and what the model needs to time them."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.request = request
        self.case = training_plans.parse(request)
        constants, case = known.load(), self.case
        self.node = training_nodes.node(constants, case.chip, case.precision)
        self.efficiency = known.efficiency(
            constants, known.kind(case.chip, case.precision, case.software, case.released)
        )
        self.plan = training_plans.plan(case, planning.written_out(case.layouts, case.levels))

    def best(self) -> dict[str, Any]:
        """The whole search as a caller asks for it: parse, list, time, weigh, sort, answer."""
        return training.search(self.request, top=1)[0]

    def tiled(self, count: int) -> Plan:
        """The candidate plans over and over, as arrays of `count`."""
        return _each(self.plan, lambda column: np.resize(column, count))

    def batch(self, count: int) -> Callable[[], object]:
        """Timing `count` plans given as arrays, in one call."""
        plan = self.tiled(count)
        return lambda: step_time(self.case.model, plan, self.node, self.efficiency).total

    def singles(self, count: int) -> Callable[[], object]:
        """Timing `count` plans one by one, plain numbers in, plain numbers out."""
        plans = [
            _each(self.plan, lambda column, i=i: float(column[i]))
            for i in range(len(self.case.plans))
        ]
        chosen = list(islice(cycle(plans), count))
        return lambda: [
            step_time(self.case.model, plan, self.node, self.efficiency).total for plan in chosen
        ]

    def requests(self, count: int) -> list[dict[str, Any]]:
        """`count` prediction requests, each with one of the candidate plans written out."""
        words = {code: word for word, code in RECOMPUTE_LEVELS.items()}
        plans = islice(cycle(self.case.plans), count)
        return [
            {**self.request, **plan, "id": i, "recompute": words[plan["recompute"]]}
            for i, plan in enumerate(plans)
        ]

    def for_peers(self) -> list[dict[str, Any]]:
        """The candidate plans in the words of the peers' workers."""
        model = self.case.model
        shared = {
            **{
                key: int(getattr(model, key))
                for key in ("layers", "hidden", "heads", "ffn", "vocab")
            },
            "params": float(params(model)),
            "chips": self.case.chips,
            "seq_len": self.case.seq_len,
            "global_batch": self.case.global_batch,
            "flash_attention": int(self.case.flash_attention),
        }
        return [
            {**shared, **plan, "sequence_parallel": int(plan["tp"] > 1)} for plan in self.case.plans
        ]


def free_requests(count: int) -> list[dict[str, Any]]:
    """`count` different requests that leave the whole plan free: models with and without experts, chips, their numbers."""
    mix = product(
        ("llama3.1-8b", "llama3.1-70b", "gpt3-175b", "mixtral-8x7b", "qwen3-32b", "llama3.1-405b"),
        ("a100-80", "h100-sxm", "h200", "b200", "mi300x", "tpu-v5p", "trainium2", "gaudi3"),
        (32, 64, 128, 256, 512, 1024, 2048, 4096),
        (1024, 2048, 4096, 8192, 16384, 32768),
        (512, 768, 1024, 1280, 1536, 1792, 2048, 3072, 4096),
    )
    names = ("model", "chip", "chips", "seq_len", "global_batch")
    every = [dict(zip(names, one, strict=True)) for one in mix]
    random.Random(0).shuffle(every)
    return [case | {"id": place} for place, case in enumerate(islice(cycle(every), count))]


def _each(plan: Plan, change: Callable[[np.ndarray], Any]) -> Plan:
    values = {field.name: getattr(plan, field.name) for field in fields(Plan)}
    return Plan(
        **{
            name: change(value) if isinstance(value, np.ndarray) else value
            for name, value in values.items()
        }
    )


def command_line_seconds(requests: list[dict[str, Any]]) -> float:
    """CPU seconds of `moat predict training` on these requests as JSON lines, its start included."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write("".join(json.dumps(request) + "\n" for request in requests))
        file.flush()
        before = _children_seconds()
        command = [sys.executable, "-m", "training_moat.cli", "predict", "training", file.name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | ONE_THREAD)
        return _children_seconds() - before


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

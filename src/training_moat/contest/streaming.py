"""What streaming its weights from a store outside costs a chip, in words for its page: by what makers say, and by the other
reading that public logs leave open."""

from __future__ import annotations

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import tables
from training_moat.contest import best_plan, gates, reference_jobs
from training_moat.contest.chip_factors import JOB
from training_moat.contest.due_diligence import Report
from training_moat.contest.reference_jobs import Job
from training_moat.core import tiers
from training_moat.core.machine import Chip
from training_moat.core.optimizer_states import WEIGHT_BYTES
from training_moat.core.units import GB, GIB
from training_moat.core.workload import params
from training_moat.inquiry.wording import counted, digits, percent
from training_moat.predict import training

LARGE = "llama3.1-405b"
"""The reference job that streams most weights for each operation: the largest dense one."""
LOGGED = "alcf_series_cerebras-0002"
"""A run whose log says that the whole batch passes at once (row of training_measurements)."""
LOGGED_LENGTH = 2048
"""Tokens of its sequences: the shorter of the two lengths in the public configurations of that example."""


def words(found: Report) -> str:
    """How long a chip waits for its weights on the job of its day and on a large one, and what would be if the activations
    had room elsewhere; an empty string for chips that stream none."""
    chip = found.chip
    if JOB not in chip.streamed:
        return ""
    machine = gates.largest_known(chip)
    count = max(one for one in best_plan.COUNTS if one <= (machine.chips if machine else 1))
    port = digits((tiers.home(chip, JOB)[-1].bytes_per_s or 0.0) / GB)
    jobs = dict.fromkeys((found.job, reference_jobs.job(LARGE)))
    steps = " ".join(_step(chip, job, count) for job in jobs)
    return (
        f"{chip.name} keeps no weights: each pass of each micro-batch streams all of them in from the store through a port of "
        f"{port} GB/s, while the layer before computes. Several of them share out the batch and nothing else. {steps} {_logged()}"
    )


def _step(chip: Chip, job: Job, count: int) -> str:
    """A step of one job: what waits, and what it would take with room for all activations."""
    settled = training.predict([job.request(chip, count)])[0]
    if not settled["ok"]:
        return ""
    where = f"On {counted(count, 'chip')} a step of {job.named}"
    if not settled["fits"]:
        return f"{where} finds no room: one sequence needs {digits(settled['memory_gib']['total'])} GiB aboard."
    seconds, waited = settled["step_time_s"], settled["seconds"]["data_parallel"]
    sizes = settled["plan"]
    whole = sizes["global_batch"] // sizes["dp"]
    roomy = training.predict([job.request(chip, count, micro_batch=whole, recompute="none")])[0]
    passes = whole // sizes["micro_batch"]
    share = f"{counted(passes, 'micro-batch', 'micro-batches')} of {sizes['micro_batch'] * job.seq_len:,} tokens a chip"
    room = "all that its SRAM has room for" if passes > 1 else "its whole share of the batch"
    more = "all activations at once" if passes > 1 else "activations that are now made again"
    return (
        f"{where} takes {digits(seconds)} s, of which {percent(waited / seconds)} wait for weights, "
        f"{digits(WEIGHT_BYTES * params(job.model) / GB)} GB a pass: {share}, {room}. With room for {more} it would take "
        f"{digits(roomy['step_time_s'])} s."
    )


def _logged() -> str:
    """What a public log says of that room."""
    rows = tables.load("training_measurements")
    row = rows[rows["config_id"] == LOGGED].iloc[0]
    chip, batch = chip_catalog.chip(row["chip_id"]), int(row["global_batch"])
    asked = {"model": row["model_id"], "chip": chip.id, "chips": 1, "seq_len": LOGGED_LENGTH}
    asked |= {"global_batch": batch, "micro_batch": batch, "recompute": "full"}
    needs = training.predict([asked])[0]["memory_gib"]["total"]
    has = tiers.room_for(chip, JOB).space / GIB
    return (
        f"Its maker says that activations stay on the wafer, and the model follows. A public log says that more may have room: "
        f"a {chip.name} took {counted(batch, 'sequence')} of {row['model']} through in one pass. At {LOGGED_LENGTH:,} tokens each, "
        f"the leanest plan of this model would need {digits(needs / has)} times its SRAM for them. If so, a step takes less than the model says."
    )

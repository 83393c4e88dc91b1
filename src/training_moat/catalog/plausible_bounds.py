"""Numbers of a row that lie within bounds: parts over wholes, multiples, prices and power for a peak, a figure over what
the others of its kind, or another table, lead to expect. One line a check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import inf
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from training_moat.catalog import models
from training_moat.catalog.dates import starts
from training_moat.catalog.problems import Problem
from training_moat.catalog.sheets import Check, Sheet, check_each, outside
from training_moat.core.workload import Transformer, derived_active_params, derived_params

TOKENIZERS = (30522, 50257, 100277)
"""Vocabularies of an odd number of words that models kept: those of BERT, GPT-2 and GPT-4."""

FEW = 3
"""Least rows of a kind, or of a source, that make a custom."""

GIGABYTES = {"GB": 1.0, "MB": 1e-3, "GiB": 2**30 / 1e9, "MiB": 2**20 / 1e9, "TB": 1e3}
"""Units of memory."""

BUS_FACTORS = {
    "all_reduce": lambda ranks: 2 * (ranks - 1) / ranks,
    "all_gather": lambda ranks: (ranks - 1) / ranks,
    "reduce_scatter": lambda ranks: (ranks - 1) / ranks,
    "alltoall": lambda ranks: (ranks - 1) / ranks,
}
"""Bus bandwidth over size per time, by collective (the convention of nccl-tests)."""

PEAKS = {
    "bf16": ("bf16_tflops", "fp16_tflops"),
    "fp16": ("fp16_tflops", "bf16_tflops"),
    "fp8": ("fp8_tflops",),
    "fp4": ("fp4_tflops",),
    "int8": ("int8_tops",),
    "tf32": ("tf32_tflops",),
}
"""Columns of a chip's peak, by format, any of which answers."""

WIDENING = {"fp8": 4, "fp4": 8, "int8": 4}
"""Most by which a chip's peak grows from sixteen bits to a narrower format."""

MOST_OFF = {"shape": 0.035, "published": 0.1}
"""Most by which a model's weights may differ from those of its shape, by what its row says of them."""


def sixteen_bit_peak(of: Sheet) -> pd.Series:
    """Dense peak of each chip in sixteen bits, TFLOP/s, of either format."""
    return of["bf16_tflops"].fillna(of["fp16_tflops"])


def _peak(of: Sheet, chips: Sheet, form: str) -> pd.Series:
    """Dense peak of each row's chip in a format, TFLOP/s."""
    peak = pd.Series(np.nan, index=chips.frame.index)
    for column in PEAKS[form]:
        peak = peak.fillna(chips[column])
    return of.of_chip(chips, peak)


def best_peak(of: Sheet, chips: Sheet) -> pd.Series:
    """The highest dense peak of each row's chip, TFLOP/s."""
    peaks = pd.concat([chips[name] for columns in PEAKS.values() for name in columns], axis=1)
    return of.of_chip(chips, peaks.max(axis=1))


def _usual(value: pd.Series) -> pd.Series:
    """Each value over the median of all."""
    return value / value.median()


def over_median(value: pd.Series, kind: Any) -> pd.Series:
    """Each value over the median of its kind, where `FEW` of the kind are known."""
    own = value.groupby(kind)
    return (value / own.transform("median")).where(own.transform("count") >= FEW)


def _size(of: Sheet, column: str) -> pd.Series:
    """What a memory of at least 10 GB is beyond whole halves of a GB: mostly GiB that were converted."""
    return (of[column] % 0.5).where(of[column] >= 10)


def _use_of_peak(of: Sheet, chips: Sheet) -> pd.Series:
    """Training FLOP over what the chip hours of a run come to at the peak in sixteen bits."""
    hours = of["chip_hours"].fillna(of["chips"] * of["training_hours"])
    return of["training_flop"] / (hours * 3600 * _peak(of, chips, "bf16") * 1e12)


def _told_use(of: Sheet) -> pd.Series:
    """Measured training rates that are, or are over the chip's peak, a use of it; NaN for others."""
    metric = of.frame["metric"]
    use = metric.isin(["mfu", "hfu", "pct_peak_hw"]) | metric.str.endswith("tflops_per_gpu")
    return of["value"].where(use)


def _training_share(of: Sheet, chips: Sheet) -> pd.Series:
    """Measured training rates over the best peak of their chip."""
    rate = of.frame["metric"].str.endswith("tflops_per_gpu")
    return _told_use(of) / best_peak(of, chips).where(rate, 100)


def _matmul_share(of: Sheet, chips: Sheet) -> pd.Series:
    """Measured matmul rates over the chip's peak in their format, or the most that it can be."""
    share = pd.Series(np.nan, index=of.frame.index)
    for form in PEAKS:
        most = _peak(of, chips, "bf16") * WIDENING.get(form, 1)
        own = of["tflops"] / _peak(of, chips, form).fillna(most)
        share = share.mask(of.frame["format"] == form, own)
    return share


def _bandwidth_share(of: Sheet, chips: Sheet) -> pd.Series:
    """Measured bandwidths over that of the chip's stacked memory, or of its card."""
    stack = of.of_chip(chips, chips["hbm_tb_per_s"] * 1e3)
    return of["gb_per_s"] / stack.where(stack > 0, of.of_chip(chips, chips["ddr_gb_per_s"]))


def _bus_factor(of: Sheet) -> pd.Series:
    """Bus bandwidth over size per time of each measured collective; NaN where the convention has none."""
    pairs = zip(of.frame["collective"], of["n_ranks"], strict=True)
    factors = [BUS_FACTORS[k](n) if k in BUS_FACTORS and n else np.nan for k, n in pairs]
    return pd.Series(factors, index=of.frame.index)


def _moved(of: Sheet) -> pd.Series:
    """Size over time of a collective, GB/s."""
    return of["msg_bytes"] / of["time_us"] / 1e3


def _off_bus(of: Sheet) -> pd.Series:
    """How far a bus bandwidth is from what size, time and ranks give, over what rounding does."""
    bus = of["busbw_gb_per_s"]
    return (bus - _moved(of) * _bus_factor(of)) / (0.001 * bus + 0.01)


def _bus_over_algorithm(of: Sheet) -> pd.Series:
    """The ratio of the two bandwidths of a collective over that of so many ranks, but of the smallest."""
    bus, algorithm = of["busbw_gb_per_s"], of["algbw_gb_per_s"]
    return (bus / (algorithm * _bus_factor(of))).where(np.maximum(bus, algorithm) >= 1)


def _whole(of: Sheet) -> pd.Series:
    """Shares of one market together; where they are held against a ratio, they may be less than all of it."""
    whole = of["training_share"] + of["inference_share"] + of["rd_experiments_share"].fillna(0)
    return whole.mask(of["inference_to_training_ratio"].notna() & (whole < 1))


def _lone_memory(of: Sheet, size: str, kind: str, rate: str) -> pd.Series:
    """One where a chip's memory is not there together with its kind or its bandwidth."""
    told = of.frame[kind].notna() | (of[rate] > 0)
    return ((of[size] > 0) != told).astype(float)


def _old_eight_bits(of: Sheet) -> pd.Series:
    """Rate in eight bits over that in sixteen of chips of the history alone that have units for it."""
    ratio = of["int8_tops"] / of["bf16_tflops"]
    return ratio.where((ratio > 0.1) & of.frame["chip_id"].isna())


def _same_units(of: Sheet, column: str, usual: tuple[float, ...]) -> pd.Series:
    """How far the ratio of a peak to that in BF16 is from the usual ones, where both come from the same units."""
    ratio = of[column] / of["bf16_tflops"]
    off = pd.concat([(ratio / each - 1).abs() for each in usual], axis=1).min(axis=1)
    return off.where((ratio > 0.4) & (ratio < 2.5))


def _of_shape(of: Sheet, count: Callable[[Transformer], float]) -> pd.Series:
    """Weights that a model's shape has, in billions."""
    counted = [float(count(models.build(row))) / 1e9 for row in of.frame.to_dict("records")]
    return pd.Series(counted, index=of.frame.index)


def _cluster_kw(of: Sheet) -> pd.Series:
    """Power per chip of a whole cluster, kW."""
    return of["power_mw"] * 1e3 / of["chips"]


def _over_usual_rent(of: Sheet) -> pd.Series:
    """Rents over the median of their chip."""
    hourly = of.frame["category"] == "cloud_chip_hour"
    return over_median(of["value"], of.frame["chip_id"].fillna(of.frame["item"]).where(hourly))


def _over_list(chips: Sheet, prices: Sheet) -> pd.Series:
    """A chip's rent over the nearer of the least and the median of the price list; one between them."""
    rent = prices["value"].where(prices.frame["category"] == "cloud_chip_hour")
    own = rent.groupby(prices.frame["chip_id"])
    least, most = (chips.frame["id"].map(end) for end in (own.min(), own.median()))
    return chips["cloud_usd_per_h"] / chips["cloud_usd_per_h"].clip(least, most)


def _growth(of: Sheet) -> pd.Series:
    """Sales of AI chips over those of the year before, as one house counts them."""
    rows = of.frame.sort_values("year", kind="stable")
    series = rows.groupby(["organisation", "item"])
    since = series["year"].diff()
    grown = (rows["value"] / series["value"].shift()) ** (1 / since.where(since > 0))
    return grown.reindex(of.frame.index)


def _over_chips(mine: str, theirs: str, of: Sheet, chips: Sheet) -> pd.Series:
    """A figure of a memory beside a chip over the same figure in the table of chips."""
    return of[mine] / of.of_chip(chips, chips[theirs])


def _reading_time(of: Sheet) -> pd.Series:
    """Time to read the memory beside a chip once, over that of its kind (graphics memory, DDR, LPDDR)."""
    kind = of.frame["ddr_type"].astype("string").str.extract(r"^([A-Z]*DDR|DRAM)")[0]
    return over_median(of["ddr_gb"] / of["ddr_gb_per_s"], kind)


class Bounds(NamedTuple):
    """What a row's `value` may be at `least` and at `most`; who leaves these bounds is told at `column` what was `expected`,
    unless the notes say why (`named`: and name the column; not `excused`: whatever they say). `beside`: another table, which
    `value` is given too."""

    tables: str
    column: str
    value: Callable[..., pd.Series]
    least: float
    most: float
    expected: str
    named: bool = False
    excused: bool = True
    beside: str | None = None


LINKS = ("scaleup_gb_per_s_per_direction", "scaleout_gbit_per_s_per_chip")
OLD_LINKS = ("intranode_gb_per_s_both_directions", "internode_gbit_per_s")
MULTIPLE = "a multiple of {}, or 'checked:' in notes"

BOUNDS = {
    "large_runs": Bounds("training_runs", "training_flop", lambda of: of["training_flop"], 5e22, inf,
        "at least 5e+22: this table is of large runs"),
    "whole_chips": Bounds("training_runs runs_non_nvidia gpu_clusters", "chips", lambda of: of["chips"] % 1, 0, 0,
        "a whole number", excused=False),
    "chip_hours": Bounds("training_runs runs_non_nvidia", "chip_hours",
        lambda of: of["chip_hours"] / (of["chips"] * of["training_hours"]), 0.8, 1.25,
        "the chips times the hours, or 'checked:' in notes"),
    "training_hours": Bounds("training_runs runs_non_nvidia", "training_hours", lambda of: of["training_hours"], 0, 4400,
        "at most 4400, or 'checked training_hours:' in notes", named=True),  # half a year
    "split_ratios": Bounds("market_splits", "inference_to_training_ratio",
        lambda of: of["inference_to_training_ratio"] * of["training_share"] / of["inference_share"], 0.999, 1.001,
        "share over share"),
    "entry_shares": Bounds("mlperf_submissions", "entry_share",  # shares of four digits
        lambda of: of["entry_share"] - of["result_entries"] / of["round_total_entries"], -1e-4, 1e-4,
        "result_entries over round_total_entries"),
    "system_shares": Bounds("mlperf_submissions", "system_share",
        lambda of: of["system_share"] - of["systems"] / of["round_total_systems"], -1e-4, 1e-4,
        "systems over round_total_systems"),
    "benchmarks_run": Bounds("mlperf_submissions", "closed_benchmarks",
        lambda of: of["round_closed_benchmarks"] - of["closed_benchmarks"], 0, inf, "at most round_closed_benchmarks"),
    "chip_memories": Bounds("chips", "hbm_gb", lambda of: _size(of, "hbm_gb"), 0, 0, "the capacity in GB as it is sold"),
    "old_memories": Bounds("hardware_history", "memory_gb", lambda of: _size(of, "memory_gb"), 0, 0,
        "the capacity in GB as it is sold"),
    **{f"{name}_widths": Bounds("models", name, lambda of, name=name: of[name] % 64, 0, 0, MULTIPLE.format(64))
       for name in ("hidden", "ffn", "expert_ffn")},
    "vocabularies": Bounds("models", "vocab", lambda of: of["vocab"].mask(of["vocab"].isin(TOKENIZERS)) % 16, 0, 0,
        MULTIPLE.format(16)),
    "chip_links": Bounds("chips", LINKS[0], lambda of: of[LINKS[0]] * 8 / of[LINKS[1]], 3, 52,  # bits for bytes
        f"3 to 52 times what {LINKS[1]} has, or 'checked:' in notes"),
    "old_links": Bounds("hardware_history", OLD_LINKS[0], lambda of: of[OLD_LINKS[0]] * 4 / of[OLD_LINKS[1]], 1.2, 13,
        f"1.2 to 13 times what {OLD_LINKS[1]} has, or 'checked:' in notes"),
    "bits": Bounds("number_formats", "exponent_bits",
        lambda of: (1 + of["exponent_bits"] + of["mantissa_bits"] - of["bits"]).where(of["mantissa_bits"] > 0), 0, 0,
        "one bit of sign, and the bits of the mantissa"),
    "sparsity": Bounds("training_runs", "params_b", lambda of: of["params_b"] / of["active_params_b"], 1, 64,
        "1 to 64 times the active parameters"),
    "ranks": Bounds("memory_measurements", "n_chips",
        lambda of: of["n_chips"].fillna(0) - of["tp"] * of["pp"] * of["dp"] * of["cp"].fillna(1), 0, 0,
        "tp x pp x dp x cp, or 'checked:' in notes"),
    "prices": Bounds("chips", "price_usd", lambda of: _usual(of["price_usd"] / sixteen_bit_peak(of)), 1 / 5, 5,
        "within 5 times the usual price of a TFLOP/s, or 'checked:' in notes"),
    "rents": Bounds("chips", "cloud_usd_per_h", lambda of: _usual(of["cloud_usd_per_h"] / sixteen_bit_peak(of)), 1 / 3, 3,
        "within 3 times the usual rent of a TFLOP/s", excused=False),
    "power": Bounds("chips", "tdp_w",
        lambda of: _usual(of["tdp_w"] / sixteen_bit_peak(of).fillna(of["int8_tops"] / 2)), 1 / 4, 4,
        "within 4 times the usual power of a TFLOP/s, or 'checked tdp_w:' in notes"),
    "uses_of_chips": Bounds("training_runs runs_non_nvidia", "training_flop", _use_of_peak, 0.08, 0.75,
        "8% to 75% of the chip hours at peak, or 'checked:' in notes", beside="chips"),
    "training_shares": Bounds("training_measurements", "value", _training_share, 0.01, 0.9,
        "1% to 90% of the chip's peak, or 'checked:' in notes", beside="chips"),
    "uses_of_the_peak": Bounds("training_measurements", "value",
        lambda of: over_median(_told_use(of), [of.frame["source"], of.frame["metric"]]), 0.12, 5,
        "about what its source has for other runs, or 'checked:' in notes"),
    "measured_matmuls": Bounds("matmul_maxima", "tflops", _matmul_share, 0.25, 1.03,  # clocks above the data sheet's
        "25% to 103% of the chip's peak, or 'checked:' in notes", beside="chips"),
    "measured_bandwidths": Bounds("memory_bandwidth_measured", "gb_per_s", _bandwidth_share, 0.25, 1.03,
        "25% to 103% of the chip's peak, or 'checked:' in notes", beside="chips"),
    "links": Bounds("collective_measurements", "busbw_gb_per_s",  # sums in the switch count as if moved twice
        lambda of, chips: of["busbw_gb_per_s"] / of.of_chip(chips, chips[LINKS[0]]), -inf, 1.15,
        "at most what the chip's links carry", beside="chips"),
    "bus_rates": Bounds("collective_measurements", "busbw_gb_per_s", _off_bus, -1, 1, "what size, time and ranks give"),
    "algorithm_rates": Bounds("collective_measurements", "algbw_gb_per_s",
        lambda of: (of["algbw_gb_per_s"] / _moved(of)).where(of["algbw_gb_per_s"] >= 1), 0.94, 1.06, "the size over the time"),
    "bus_over_algorithm": Bounds("collective_measurements", "algbw_gb_per_s", _bus_over_algorithm, 0.94, 1.06,
        "busbw_gb_per_s by the factor of so many ranks"),
    "memory_units": Bounds("memory_measurements", "value_gb",
        lambda of: of["value_gb"] / (of["value"] * of.frame["unit"].map(GIGABYTES)), 0.999, 1.001,
        "the value in its own unit, converted", excused=False),
    "percentages": Bounds("prices custom_models training_costs scaling_measurements serving_measurements training_measurements",
        "value", lambda of: of["value"].where(of.frame["unit"].isin(("%", "percent"))), 0, 100,
        "0 to 100 percent, or 'checked:' in notes"),
    "whole_markets": Bounds("market_splits", "inference_share", _whole, 0.989, 1.011, "shares that make one"),
    "stacks": Bounds("chips", "hbm_gb", lambda of: _lone_memory(of, "hbm_gb", "hbm_type", "hbm_tb_per_s"), 0, 0,
        "a memory where a kind or a bandwidth of it is told"),
    "boards": Bounds("chips", "ddr_gb", lambda of: _lone_memory(of, "ddr_gb", "ddr_type", "ddr_gb_per_s"), 0, 0,
        "a memory where a kind or a bandwidth of it is told"),
    "eight_bits": Bounds("hardware_history", "bf16_tflops", _old_eight_bits, 1.76, 2.24,
        "half of int8_tops, or 'checked:' in notes"),
    "fp16_peaks": Bounds("chips", "fp16_tflops", lambda of: _same_units(of, "fp16_tflops", (1,)), 0, 0.03,
        "1 times bf16_tflops"),
    "tf32_peaks": Bounds("chips", "tf32_tflops", lambda of: _same_units(of, "tf32_tflops", (0.5, 1)), 0, 0.03,
        "0.5 or 1 times bf16_tflops"),
    "counted_weights": Bounds("models", "params_b",
        lambda of: (_of_shape(of, derived_params) / of["params_b"] - 1) / of.frame["params_basis"].map(MOST_OFF), -1, 1,
        "about the weights that its shape has"),
    "active_weights": Bounds("models", "active_params_b",
        lambda of: of["active_params_b"] / _of_shape(of, derived_active_params), 0.84, 1.16,
        "about the active weights of its shape"),
    "run_sizes": Bounds("training_runs", "params_b",
        lambda of, known: of["params_b"] / of.frame["model_id"].map(known.frame.set_index("id")["params_b"]), 0.95, 1.05,
        "the parameters of its model in models.csv", beside="models"),
    "run_dates": Bounds("training_runs", "date",
        lambda of, known: starts(of.frame["date"]) - of.frame["model_id"].map(starts(known.frame.set_index("id")["released"])),
        -0.75, 0.75, "a date within 0.75 years of its model's release", beside="models"),
    "cluster_power": Bounds("gpu_clusters", "power_mw", _cluster_kw, 0.2, 6, "the power that so many of its chip need"),
    "cluster_outliers": Bounds("gpu_clusters", "power_mw",
        lambda of: over_median(_cluster_kw(of), of.frame["chip_id"].fillna(of.frame["chip"])), 1 / 3, 3,
        "the power that so many of its chip need"),
    "listed_rents": Bounds("prices", "value", _over_usual_rent, 1 / 3, 3,
        "within 3 times the median of its chip, or 'checked:' in notes"),
    "rents_at_all": Bounds("prices", "value", _over_usual_rent, 1 / 8, 8, "within 8 times the median of its chip",
        excused=False),
    "chip_rents": Bounds("chips", "cloud_usd_per_h", _over_list, 1 / 2, 2,
        "a rent about as those of the chip in prices.csv, or 'checked:' in notes", beside="prices"),
    **{f"slower_{mine}": Bounds("memory_tiers", mine, partial(_over_chips, mine, theirs), 0.98, 1.02,
        f"the same figure as {theirs} in chips.csv", excused=False, beside="chips")
       for mine, theirs in (("gb", "ddr_gb"), ("gb_per_s", "ddr_gb_per_s"))},
    "reading_times": Bounds("chips", "ddr_gb", _reading_time, 1 / 10, 10,
        "a size that its kind of memory is read in about as fast, or 'checked:' in notes"),
    "fitted_constants": Bounds("calibration_training", "value",  # in standard deviations: most lie within two
        lambda of: np.log(of["value"] / of["prior"]) / of["prior_log_sd"], -6, 6, "a value within 6 prior_log_sd of its prior",
        excused=False),
    **{name: Bounds("training_blind training_left_out", name, lambda of, name=name: of[name] / of["measured_s"], 1 / 9, 9,
        "within 9 times measured_s", excused=False)  # a point in the wrong place is more
       for name in ("predicted_s", "without_source_s", "without_chip_s", "without_family_s")},
    **{f"{name}_beside": Bounds("training_left_out", name, lambda of, name=name: of[name] / of["without_source_s"], 1 / 4, 4,
        "within 4 times without_source_s", excused=False) for name in ("without_chip_s", "without_family_s")},
    "spend_growth": Bounds("accelerator_spend", "value", _growth, 1.05, 4,
        "1.05 to 4 times the year before, as the same house counts it, or 'checked:' in notes"),
}  # fmt: skip
"""Every such check, by name. Bounds are somewhat wider than what any row needs."""


def _bounded(bounds: Bounds) -> Check:
    @check_each(*bounds.tables.split(), beside=bounds.beside)
    def checked(sheet: Sheet, *beside: Sheet) -> Iterator[Problem]:
        value = bounds.value(sheet, *beside)
        wrong = outside(value, bounds.least, bounds.most)
        if bounds.excused:
            yield from sheet.flagged(wrong, bounds.column, bounds.expected, bounds.named)
        else:
            yield from sheet.refused(wrong, bounds.column, bounds.expected)

    return checked


CHECKS = {name: _bounded(bounds) for name, bounds in BOUNDS.items()}
"""The checks themselves."""

"""Plausible slips in single cells: each is said by the check of its kind. That none speaks of the tables as they stand is
held by `tests/catalog/test_tables.py`."""

import json
import shutil

import pandas as pd
import pytest

from training_moat.catalog import (
    descriptor,
    files,
    paths,
    plausible_bounds,
    plausible_fits,
    plausible_machines,
    plausible_numbers,
    plausible_pointers,
    plausible_rates,
    plausible_rows,
    plausible_runs,
    plausible_twice,
    plausible_words,
)
from training_moat.catalog.plausible_bounds import CHECKS, OLD_LINKS
from training_moat.catalog.sheets import CHECKS as ALL_CHECKS
from training_moat.catalog.sheets import Sheet


@pytest.fixture(scope="module")
def book():
    """All tables of the project."""
    found = {name: files.inspect(name) for name in descriptor.table_names()}
    return {name: Sheet(name, item.frame, item.lines) for name, item in found.items()}


def edited(book, table, row, column, value):
    """The tables with one cell changed; `value` may be a function of the cell."""
    sheet = book[table]
    frame = sheet.frame.copy()
    position = frame[frame.iloc[:, 0] == row].index[0]
    old = frame.at[position, column]
    frame[column] = frame[column].astype(object)
    frame.at[position, column] = value(old) if callable(value) else value
    return {**book, table: Sheet(table, frame, sheet.lines)}, sheet.lines[position]


OLD_LINK = OLD_LINKS[0]
EDITS = [
    (plausible_numbers.chip_units, "chips", "h100-sxm", "sram_mb", 126.0),
    (plausible_numbers.chip_units, "chips", "mi300x", "bf16_tflops", lambda peak: 2 * peak),
    (plausible_numbers.second_places, "chips", "h100-sxm", "hbm_gb", 141.0),
    (plausible_rows.chip_sources, "chips", "b200", "source_network", None),
    (plausible_rows.future_dates, "chips", "b200", "announced", "2032"),
    (plausible_rows.future_dates, "models", "gpt2-774m", "released", "2028-08"),
    (plausible_pointers.corrected_chips, "corrections", "D39", "row", "tpu-v5e, tpu-v5p"),
    (plausible_words.named_memories, "chips", "h100-pcie", "hbm_gb", 64.0),
    (CHECKS["percentages"], "prices", "P268", "value", 600.0),
    (CHECKS["memory_units"], "memory_measurements", "M0418", "value", 411.06),
    (plausible_rows.chip_dates, "chips", "gaudi2", "available", "2019"),
    (plausible_rows.chip_makers, "chips", "gaudi2", "vendor", "Acme"),
    (plausible_rows.challengers, "challengers", "gaudi2", "chip_id", "gaudi"),
    (CHECKS["prices"], "chips", "b200", "price_usd", lambda price: 10 * price),
    (CHECKS["power"], "chips", "gc200", "tdp_w", 1800.0),
    (plausible_numbers.measured_dies, "matmul_maxima", "MX046", "tflops", lambda n: 10 * n),
    (plausible_fits.expectations, "training_priors", "generic", "expected", 1.95),
    (plausible_fits.expectations, "serving_priors", "factor", "expected", 10.0),
    (plausible_fits.expectations, "serving_priors", "factor", "share", "yes"),
    (plausible_fits.expectations, "serving_priors", "generic", "most", None),
    (plausible_fits.expected_of_fits, "training_priors", "generic", "log_sd", 0.5),
    (plausible_fits.expected_of_fits, "training_priors", "generic", "expected", 0.095),
    (plausible_fits.intervals, "calibration_training", "interval", "value", 7.08),
    (plausible_fits.intervals, "calibration_serving", "interval", "value", 0.0489),
    (plausible_fits.told_of_runs, "calibration_training", "support", "value", 0.9),
    (plausible_fits.told_of_runs, "calibration_training", "scatter", "value", 0.0078),
    (CHECKS["fitted_constants"], "calibration_training", "generic", "value", 9.1),
    (
        plausible_fits.blind_predictions,
        "training_blind",
        "dlperf_oneflow-0009",
        "predicted_s",
        6.21194,
    ),
    (CHECKS["predicted_s"], "training_blind", "dlperf_oneflow-0009", "measured_s", 60.0),
    *(
        (CHECKS[name], "training_left_out", "narayanan2021_t1-0001", name, 34.4)
        for name in ("without_source_s", "without_chip_s", "without_family_s")
    ),
    *(
        (
            CHECKS[f"{name}_beside"],
            "training_left_out",
            "alst_2025-0001",
            name,
            lambda time: 10 * time,
        )
        for name in ("without_chip_s", "without_family_s")
    ),
    (plausible_machines.buses, "host_links", "h100-nvl", "gb_per_s_per_direction", 640.0),
    (CHECKS["slower_gb"], "memory_tiers", "MT012", "gb", 2400.0),
    (CHECKS["slower_gb_per_s"], "memory_tiers", "MT003", "gb_per_s", 20.0),
    (CHECKS["reading_times"], "chips", "gb200", "ddr_gb", 2400.0),
    (
        plausible_machines.networks_of_runs,
        "training_networks",
        "bloom_prequel",
        "gbit_per_s",
        3200.0,
    ),
    (
        plausible_machines.told_of_runs,
        "training_dispatchers",
        "megatron_bridge",
        "training_source",
        "megatron",
    ),
    (
        plausible_machines.told_of_runs,
        "training_dispatchers",
        "megatron_bridge",
        "models",
        "deepseek-v4",
    ),
    (
        plausible_machines.told_of_runs,
        "training_graphs",
        "dgxc_2025",
        "training_source",
        "megatron",
    ),
    (plausible_machines.told_of_runs, "training_graphs", "dgxc_2025", "models", "deepseek-v4"),
    (CHECKS["links"], "collective_measurements", "C00224", "busbw_gb_per_s", 518.0),
    (CHECKS["training_shares"], "training_measurements", "T00153", "value", 9340.0),
    (CHECKS["large_runs"], "training_runs", "R073", "training_flop", 1.1e22),
    (plausible_words.stated_tokens, "tokens_served", "T24", "tokens_per_day", lambda n: n * 10),
    (CHECKS["listed_rents"], "prices", "P123", "value", lambda price: 10 * price),
    (plausible_rates.token_prices, "prices", "P199", "value", lambda price: price / 10),
    (plausible_rates.system_prices, "chips", "blackhole", "price_usd", 1399.0),
    (plausible_rows.statement_dates, "market_splits", "S02", "date", "2012"),
    (CHECKS["split_ratios"], "market_splits", "S02", "inference_to_training_ratio", 5.3),
    (plausible_words.stated_tokens, "tokens_served", "T02", "tokens_per_day", lambda n: n * 10),
    (plausible_numbers.training_flop, "training_runs", "R010", "training_flop", lambda n: n / 10),
    (CHECKS["chip_hours"], "training_runs", "R002", "chips", 102),
    (plausible_numbers.serving_rates, "serving_measurements", None, "value", lambda n: n / 10),
    (CHECKS["memory_units"], "memory_measurements", "M0022", "value", 37.0),
    (CHECKS["bus_rates"], "collective_measurements", "C00002", "time_us", 4.68),
    (CHECKS["measured_matmuls"], "matmul_maxima", "MX004", "tflops", lambda n: 10 * n),
    (CHECKS["spend_growth"], "accelerator_spend", "X12", "value", lambda n: n * 10),
    (plausible_rates.fitted_rates, "training_measurements", "T02000", "value", lambda n: n / 10),
    (plausible_rows.opening_words, "low_precision_runs", "N24", "bearing", "against"),
    (plausible_rows.second_codes, "startup_events", "E50", "direction", "inference"),
    (plausible_rows.addresses, "sources", "deepgemm", "url", None),
    (plausible_twice.names, "training_measurements", "T00001", "chip_id", "a100-40"),
    (plausible_twice.blocks, "training_measurements", "T00003", "source", "dgxc_h100"),
    (CHECKS["entry_shares"], "mlperf_submissions", "L001", "entry_share", 0.5597),
    (CHECKS["whole_markets"], "market_splits", "S02", "inference_share", lambda share: share + 0.2),
    (CHECKS["chip_memories"], "chips", "h200", "hbm_gb", 131.3),
    (CHECKS["hidden_widths"], "models", "gpt3-175b", "hidden", 12828),
    (CHECKS["counted_weights"], "models", "gpt3-175b", "layers", 69),
    (CHECKS["cluster_outliers"], "gpu_clusters", "G002", "power_mw", lambda power: power / 10),
    (CHECKS["fp16_peaks"], "chips", "h100-sxm", "fp16_tflops", 898.4),
    (plausible_twice.order, "training_runs", "R058", "date", "2014-01-01"),
    (plausible_twice.order, "hardware_history", "H022", "released", "2021-03-14"),
    (plausible_twice.order, "models", "mpt-350m", "released", "2026-05"),
    (plausible_twice.strays, "training_measurements", "T03855", "source", "mlperf_train"),
    (plausible_twice.strays, "prices", "P249", "source", "epoch_hardware_prices"),
    (plausible_twice.alike, "memory_measurements", "M0022", "chip_id", "v100"),
    (plausible_twice.alike, "models", "megatron-310b", "vocab", 15200),
    (plausible_twice.alike, "serving_measurements", "I00145", "framework", "tgi"),
    (plausible_words.link_words, "chips", "trainium2", "scaleup_gb_per_s_per_direction", 1280.0),
    (plausible_words.link_words, "chips", "a10", "scaleup_gb_per_s_per_direction", 64.0),
    (plausible_words.link_words, "chips", "gaudi3", "scaleup_gb_per_s_per_direction", 262.5),
    (plausible_words.link_words, "chips", "mi300x", "scaleup_gb_per_s_per_direction", 896.0),
    (CHECKS["chip_links"], "chips", "h200", "scaleout_gbit_per_s_per_chip", 50.0),
    (plausible_twice.narrower, "chips", "h200", "fp8_tflops", 989.4 * 1.5),
    (plausible_twice.siblings, "hardware_history", "H116", "tdp_w", 350.0),
    (CHECKS["bits"], "number_formats", "Q23", "exponent_bits", 3.0),
    (CHECKS["active_weights"], "models", "mixtral-8x7b", "active_params_b", 32.0),
    (CHECKS["sparsity"], "training_runs", "R108", "params_b", 14800.0),
    (CHECKS["bus_over_algorithm"], "collective_measurements", "C00060", "algbw_gb_per_s", 8),
    (CHECKS["ranks"], "memory_measurements", "M0021", "n_chips", 20),
    (plausible_words.noted_bounds, "accelerator_spend", "X20", "value", 500.0),
    (plausible_words.noted_bounds, "lab_ledgers", "L27", "value", 0.01422),
    (plausible_twice.twins, "accelerator_spend", "X16", "value", 50.0),
    (plausible_twice.twins, "prices", "P249", "value", 50.0),
    (plausible_twice.ledger_counts, "lab_ledgers", "L01", "value", 0.18),
    (plausible_twice.ledger_counts, "lab_ledgers", "L18", "value", 44.0),
    (plausible_rows.chip_dates, "chips", "mi325x", "announced", "2021-10"),
    (plausible_rows.chip_dates, "chips", "h800", "available", "2026"),
    (plausible_rows.statement_dates, "models", "bert-large", "released", "2015-10"),
    (plausible_rows.statement_dates, "models", "maxtext-52b", "released", "2026-11"),
    (CHECKS["ffn_widths"], "models", "nemotron4-15b", "ffn", 25476),
    (CHECKS["vocabularies"], "models", "glm-4.7", "vocab", 151525),
    (CHECKS["stacks"], "chips", "rubin", "hbm_gb", 0.0),
    (CHECKS["stacks"], "chips", "wormhole", "hbm_gb", 94.0),
    (CHECKS["boards"], "chips", "mtia-v1", "ddr_gb", 0.0),
    (CHECKS["boards"], "chips", "h100-sxm", "ddr_gb", 80.0),
    (CHECKS["eight_bits"], "hardware_history", "H009", "bf16_tflops", 4619.2),
    (CHECKS["rents"], "chips", "mi355x", "cloud_usd_per_h", 21.0),
    (CHECKS["uses_of_the_peak"], "training_measurements", "T03800", "value", 3.8),
    (CHECKS["training_hours"], "training_runs", "R024", "training_hours", 6960.0),
    (plausible_pointers.repeated_moves, "switching_cases", "W03", "same_move", "W44"),
    (plausible_pointers.repeated_moves, "switching_cases", "W03", "same_move", "W05"),
    (plausible_pointers.repeated_moves, "switching_cases", "W04", "same_move", "W03"),
    (plausible_pointers.repeated_statements, "split_classes", "S61", "repeats", "S92"),
    (plausible_pointers.repeated_statements, "split_classes", "S61", "repeats", "S30"),
    (plausible_pointers.repeated_statements, "split_classes", "S61", "repeats", "S61"),
    (plausible_pointers.continued_rows, "history_events", "HE001", "extends", "E75;E557"),
    (plausible_pointers.same_runs, "runs_non_nvidia", "X001", "same_as", "R9"),
    (plausible_twice.ledger_counts, "lab_ledgers", "L14", "value", 1.156),
    (plausible_twice.ledger_counts, "lab_ledgers", "L03", "value", 0.047),
    (plausible_twice.message_times, "collective_measurements", "C00834", "time_us", 15.21),
    (plausible_words.stated_tokens, "tokens_served", "T20", "tokens_per_day", lambda n: n * 10),
    (plausible_words.stated_tokens, "tokens_served", "T21", "tokens_per_day", lambda n: n * 10),
    (plausible_words.stated_tokens, "tokens_served", "T28", "tokens_per_day", lambda n: n * 10),
    (plausible_words.noted_bounds, "lab_ledgers", "L28", "value", 0.0159),
    (plausible_words.noted_bounds, "lab_ledgers", "L29", "value", 0.00133),
    (plausible_words.event_words, "history_events", "HE034", "direction", "training"),
    (plausible_words.event_words, "startup_events", "E30", "direction", "inference"),
    (
        plausible_words.source_names,
        "startup_events",
        "E43",
        "source",
        "eetimes_groq_demos_fast_llms_4",
    ),
    (plausible_words.source_names, "chips", "gc200", "source", "hmc_rtx4090"),
    (CHECKS["uses_of_chips"], "training_runs", "R007", "training_flop", lambda n: n * 100),
    (
        CHECKS["measured_bandwidths"],
        "memory_bandwidth_measured",
        "MB001",
        "gb_per_s",
        lambda n: n * 10,
    ),
    (CHECKS["algorithm_rates"], "collective_measurements", "C00004", "algbw_gb_per_s", 2),
    (CHECKS["tf32_peaks"], "chips", "h100-sxm", "tf32_tflops", 449.4),
    (CHECKS["run_sizes"], "training_runs", "R007", "params_b", lambda n: n * 2),
    (CHECKS["run_dates"], "training_runs", "R007", "date", "2012"),
    (CHECKS["cluster_power"], "gpu_clusters", "G002", "power_mw", lambda power: power * 99),
    (CHECKS["rents_at_all"], "prices", "P123", "value", lambda price: 20 * price),
    (CHECKS["chip_rents"], "chips", "h100-sxm", "cloud_usd_per_h", lambda rent: rent * 10),
    (CHECKS["system_shares"], "mlperf_submissions", "L001", "systems", lambda n: n + 1),
    (CHECKS["benchmarks_run"], "mlperf_submissions", "L045", "closed_benchmarks", lambda n: n + 1),
    (CHECKS["old_memories"], "hardware_history", "H116", "memory_gb", 25.8),
    (CHECKS["expert_ffn_widths"], "models", "mixtral-8x7b", "expert_ffn", 14366),
    (CHECKS["old_links"], "hardware_history", "H116", "internode_gbit_per_s", 1e6),
    (plausible_words.source_names, "chips", "gc200", "source", "usage_ai_trainium"),
    (plausible_runs.work_over_peak, "training_measurements", "T04903", "value", 49716.0),
    (plausible_runs.work_over_peak, "training_measurements", "T04583", "value", 73202.74),
    (plausible_runs.two_rates, "training_measurements", "T04585", "value", 75.25393),
    (plausible_runs.tokens_a_weight, "training_runs", "R114", "training_tokens_b", 30000.0),
    (plausible_runs.told_tokens, "runs_non_nvidia", "X025", "training_flop", 6.5e22),
    (plausible_runs.named_sizes, "runs_non_nvidia", "X044", "params_b", 25.06),
    (plausible_runs.told_chips, "memory_measurements", "M0187", "n_chips", 7),
    (plausible_numbers.second_places, "hardware_history", "H054", "memory_gb", 0.247),
    (plausible_numbers.second_places, "hardware_history", "H071", OLD_LINK, lambda rate: 2 * rate),
    (CHECKS["whole_chips"], "training_runs", "R094", "chips", 12.8),
]


def test_every_check_of_pairs_has_a_slip():
    slipped = {check for check, *_ in EDITS}
    rooms = (
        plausible_bounds,
        plausible_fits,
        plausible_machines,
        plausible_pointers,
        plausible_runs,
        plausible_twice,
        plausible_words,
    )
    names = {room.__name__ for room in rooms}
    assert slipped >= {check for check in ALL_CHECKS if check.__module__ in names}


@pytest.mark.parametrize(("check", "table", "row", "column", "value"), EDITS)
def test_a_slip_is_said(book, check, table, row, column, value):
    if row is None:
        rows = book[table].frame
        row = rows.loc[rows["metric"] == "total_throughput_in_plus_out", "row_id"].iloc[0]
    broken, line = edited(book, table, row, column, value)
    said = list(check(broken))
    assert said
    assert any(problem.row == line or problem.file.endswith("chips.csv") for problem in said)


def test_a_measurement_under_a_new_number_is_said(book):
    sheet = book["memory_measurements"]
    again = sheet.frame.iloc[[5]].assign(row_id="M9999")
    frame = pd.concat([sheet.frame, again], ignore_index=True)
    copied = Sheet(sheet.name, frame, [*sheet.lines, sheet.lines[-1] + 1])
    (said,) = plausible_rows.copies({sheet.name: copied})
    assert str(said).endswith(f"expected a row that differs from line {sheet.lines[5]}")


def test_a_stored_result_with_swapped_digits_is_said(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    name = "experiment_low_precision"
    for kept in ("datapackage.json", f"{name}.csv", f"{name}.manifest.json"):
        shutil.copy(paths.data_folder() / kept, data)
    with paths.at(tmp_path):
        assert list(plausible_rows.stored_results({})) == []
        table = data / f"{name}.csv"
        table.write_text(table.read_text().replace("4.41914", "4.14914", 1))
        (said,) = plausible_rows.stored_results({})
        (data / f"{name}.manifest.json").write_text(json.dumps({}))
        assert len(list(plausible_rows.stored_results({}))) == 1
    assert "as data/experiment_low_precision.manifest.json records it" in str(said)


def test_a_reason_in_the_notes_lets_an_outlier_stand(book):
    broken, _ = edited(book, "prices", "P123", "value", lambda price: 20 * price)
    assert list(CHECKS["listed_rents"](broken))
    broken, _ = edited(book, "prices", "P123", "value", lambda price: 2 * price)
    noted, _ = edited(broken, "prices", "P123", "notes", "checked: a mistake of the seller")
    assert list(CHECKS["listed_rents"](noted)) == []
    worse, _ = edited(noted, "prices", "P123", "value", lambda price: 10 * price)
    assert list(CHECKS["rents_at_all"](worse))


def test_a_run_of_eight_months_stands_where_its_row_says_so_of_its_hours(book):
    broken, _ = edited(book, "training_runs", "R024", "training_hours", 6960.0)
    for words, said in (("checked:", True), ("checked training_hours:", False)):
        noted, _ = edited(broken, "training_runs", "R024", "notes", f"{words} as its maker writes")
        found = CHECKS["training_hours"](noted)
        assert any(one.column == "training_hours" for one in found) == said

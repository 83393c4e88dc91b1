"""Every claim's grade follows its evidence: the opposite data put it on another side."""

import json
import re
from dataclasses import replace
from unittest import mock

import pandas as pd
import pytest

from training_moat import claims
from training_moat.catalog import tables
from training_moat.catalog.paths import root
from training_moat.claims import base, grading, judge, judging, memory_strand, ranges, telling
from training_moat.contest import deciding
from training_moat.contest.deciding import Decision
from training_moat.core.errors import InputError
from training_moat.inquiry import chronicle, switching

CHAPTERS = root() / "chapters"
CLAIMS = tables.load("claims")["claim"].tolist()


def altered(**changes):
    """Evidence in which each named table went through a function that changes it."""
    return lambda: tables.replaced(
        **{name: change(tables.load(name)) for name, change in changes.items()}
    )


def hooked(module, **pieces):
    """A model of which pieces that a strand uses are replaced."""
    return lambda: mock.patch.multiple(module, **pieces)


def where(column, value, /, **new):
    """A change of the rows whose column has the value (or contains it, for text)."""

    def change(frame):
        rows = frame[column].astype(str).str.contains(str(value), regex=False, na=False)
        assert rows.any(), (column, value)
        for name, replacement in new.items():
            frame[name] = frame[name].astype(object).where(~rows, replacement)
            if frame[name].map(lambda item: isinstance(item, (int, float))).all():
                frame[name] = frame[name].astype(float)
        return frame

    return change


def chained(*changes):
    def change(frame):
        for one in changes:
            frame = one(frame)
        return frame

    return change


def column(name, value):
    return lambda frame: frame.assign(**{name: value})


def scaled(name, factor):
    return lambda frame: frame.assign(**{name: frame[name] * factor})


def without(name, words):
    return lambda frame: frame[~frame[name].astype(str).str.contains(words, na=False)]


def assumption(**rows):
    """Other percentiles for some uncertain inputs, given as (p05, median, p95)."""

    def change(frame):
        frame = frame.set_index("name", drop=False)
        for name, percentiles in rows.items():
            frame.loc[name, ["p05", "median", "p95"]] = percentiles
        return frame.reset_index(drop=True)

    return change


def bearing(width_words, value):
    def change(frame):
        rows = frame["format_forward"].str.contains(width_words, na=False) & frame["bearing"].isin(
            ["supports", "against"]
        )
        return frame.assign(bearing=frame["bearing"].where(~rows, value))

    return change


def four_bits_elsewhere(bend):
    """Losses of MXFP4 with their lowest point at the highest rate of the grid; `bend` in nats per octave squared."""

    def change(frame):
        rows = (frame["study"] == "transfer") & (frame["recipe"] == "mxfp4")
        away = frame.loc[rows, "log2_learning_rate"].max() - frame["log2_learning_rate"]
        return frame.assign(val_loss_nats=frame["val_loss_nats"].where(~rows, 2 + bend * away**2))

    return change


def decided_for_most(group, found, share):
    """What the counterfactual would say if one factor closed the gap of nearly every challenger."""
    return Decision(group, share, 0.9, 0.8, 0.95, ("a",) * 9, ("b",), ())


TEN_TIMES = assumption(served_tokens_t=(200_000.0, 400_000.0, 800_000.0))

OPPOSITE = {
    "C01": (-1, altered(startup_events=where("row_id", "E50", direction="both"))),
    "C02": (-1, altered(startup_events=where("company", "SambaNova", direction="inference"))),
    "C03": (-1, altered(startup_events=where("company", "SambaNova", direction="training"))),
    "C04": (1, altered(startup_events=where(
        "company", "Groq", date="2017-06", direction="training"))),
    "C05": (1, altered(startup_events=where("company", "Cerebras", direction="inference"))),
    "C06": (1, altered(startup_events=where("company", "", direction="inference"),
                       history_events=where("company", "", direction="inference"))),
    "C07": (-1, altered(startup_events=column("event", "no reason given"))),
    "C08": (1, altered(split_classes=where("house", "analyst", ratio_high=20.0))),
    "C09": (-1, altered(disclosed_service=chained(
        *(scaled(name, 0.01) for name in ("input_tokens", "output_tokens", "cached_input_tokens"))))),
    "C10": (-1, altered(disclosed_service=scaled("mean_kv_tokens", 1e9))),
    "C11": (-1, altered(disclosed_service=scaled("mean_nodes", 0.01))),
    "C12": (1, altered(lab_ledgers=where("item", "inference_compute", value=90.0))),
    "C13": (-1, altered(training_runs=column("organisation", "one laboratory"))),
    "C14": (-1, hooked(memory_strand, OPTIMIZER_BYTES={"adamw": -4.0})),
    "C15": (-1, hooked(memory_strand, OPTIMIZER_BYTES={"adamw": -4.0})),
    "C16": (1, altered(chips=column("ddr_gb", 64.0))),
    "C17": (1, altered(startup_events=where(
        "company", "Groq", event="Refused an allocation of HBM", notes=""))),
    "C18": (-1, altered(chips=where("id", "groq-lpu-v1", hbm_gb=96.0))),
    "C19": (-1, altered(models=where("id", "llama3.1-70b", kv_heads=64.0))),
    "C20": (1, altered(chips=where("id", "h100-sxm", scaleup_gb_per_s_per_direction=12.0))),
    "C21": (1, altered(serving_layouts=column("layout", "pipeline"))),
    "C22": (1, hooked(deciding, decision=decided_for_most)),
    "C23": (-1, altered(training_runs=where("hardware", "NVIDIA", hardware="AMD Instinct MI300X"))),
    "C24": (-1, altered(mlperf_submissions=where("vendor", "NVIDIA", closed_benchmarks=2))),
    "C25": (-1, altered(chips=where("id", "b200", scaleup_gb_per_s_per_direction=160.0))),
    "C26": (-1, altered(chips=where("id", "h100-sxm", hbm_gb=20.0))),
    "C27": (-1, altered(chips=where("vendor", "SambaNova", hbm_gb=0.0))),
    "C28": (-1, altered(chips=where("vendor", "NVIDIA", formats_supported="fp32"))),
    "C29": (1, altered(**{f"experiment_low_precision{part}": four_bits_elsewhere(bend)
                          for part, bend in (("", 0.2), ("_replication", 0.2), ("_larger", 1.0),
                                             ("_second", 1.0))})),
    "C30": (-1, altered(switching_cases=chained(
        where("workload_kind", "training", trouble="no"),
        lambda frame: frame.loc[frame.index.repeat(5)]))),
    "C31": (1, altered(lab_ledgers=where("item", "all_expense", value=50.0))),
    "C32": (1, altered(chips=where(
        "vendor", "Tenstorrent", hbm_tb_per_s=4.0, scaleup_gb_per_s_per_direction=900.0))),
    "C33": (-1, altered(switching_assumptions=assumption(
        realised_share=(5.0, 6.0, 7.0), horizon_years=(20.0, 25.0, 30.0)))),
    "C34": (-1, altered(training_runs=where("model", "GPT-4.5", hardware="Cerebras CS-3"))),
    "C35": (-1, altered(startup_events=where("company", "SambaNova", direction="inference"))),
    "C36": (-1, altered(scaling_measurements=scaled("efficiency_vs_smallest", 0.5))),
}  # fmt: skip


@pytest.fixture(scope="module")
def findings():
    return claims.evaluate()


def test_every_claim_has_an_opposite():
    missing = sorted(set(CLAIMS) ^ set(OPPOSITE))
    assert not missing, f"{missing}: OPPOSITE must say for each claim which data would turn it"


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_opposite_data_turn_the_grade(claim, findings):
    side, evidence = OPPOSITE[claim]
    with evidence():
        turned = judge(claim)
    before = findings[claim].grade
    assert grading.side(turned.grade) == side != grading.side(before), (
        f"{claim} is {before}; OPPOSITE should turn it to the other side ({side}), its data make it {turned.grade}"
    )


def test_a_fleet_and_a_beginning_are_no_published_runs():
    """Anthropic's fleet and Uber's beginning had counted as published runs on other makers' chips."""
    found = base.measured("organisations_elsewhere", "since=2025-05")
    names = found.note.split(", ")
    assert found.value == len(names) and not {"Anthropic", "Uber"} & set(names)
    assert {"Zyphra", "Meituan", "China Telecom"} <= set(names)


def test_runs_of_a_chips_own_maker_are_no_choice():
    """Entries of a benchmark, which makers and their partners bring, had decided who is preferred."""
    runs = chronicle.runs().query("table == 'training_runs'")
    own = runs[chronicle.by_its_maker(runs)]
    assert {"Google", "NVIDIA", "Huawei"} <= set(own["maker"])
    assert own.loc[own["organisation"] == "Google DeepMind", "maker"].eq("Google").all()
    assert not own["organisation"].isin(["Apple", "DeepSeek", "rinna"]).any()
    chosen = base.measured("chosen_hardware", "vendor=NVIDIA")
    assert len(chosen.rows) == len(runs) - len(own)
    assert chosen.number > base.measured("hardware_of_runs", "vendor=NVIDIA").number


def test_custom_training_is_counted_in_what_was_published_not_in_what_is_assumed():
    """An upper end of our own, 0.4 of all training, had decided whether custom models can move the ratio."""
    three, five, ten = (base.measured("beyond_the_few", f"few={few}").number for few in (3, 5, 10))
    assert three > five > ten > 1
    with altered(assumptions=assumption(custom_share=(0.5, 0.6, 0.7)))():
        assert base.measured("beyond_the_few", "few=5").number == five


def test_laboratories_of_one_maker_are_one_house():
    named = pd.Series(
        ["Google DeepMind", "DeepMind", "Meta AI", "Mistral AI,NVIDIA", "Zyphra (AMD)"]
    )
    assert chronicle.houses(named).tolist() == ["Google", "Google", "Meta", "Mistral AI", "Zyphra"]


def test_an_order_for_next_year_is_no_move_without_trouble():
    """A contract whose first hardware was due in the second half of 2026 had counted as one of two smooth moves of five."""
    found = base.measured("moves_by_trouble", "kind=inference;trouble=no")
    assert "switching_cases:W36" not in found.rows and len(found.rows) == 4
    assert found.value == pytest.approx(1 / 4)


def test_what_the_card_says_of_one_doubtful_case_is_so(findings):
    """Whether Anthropic's incident is a move decides how firmly inference is the easier workload; the card tells it."""
    (own,) = [one for one in findings["C14"].tests if one.name == "no_trouble"]
    assert "without it this test would be mixed and the claim strongly supported" in own.reason
    cases = tables.load("switching_cases").query("row_id != 'W08'")
    with tables.replaced(switching_cases=cases):
        bare = judge("C14")
    assert bare.grade == "strongly supported"
    assert [one.grade for one in bare.tests if one.name == "no_trouble"] == ["mixed"]


def test_a_format_that_a_chip_imitates_is_not_the_chips_own():
    """Gaudi2, which multiplies no four-bit numbers, had counted as a chip that trained in them."""
    found = base.measured("others_in_width", "width=4 bits;since=2025-05;vendor=NVIDIA")
    assert "AMD" in found.note and "Intel" not in found.note and found.value == len(found.rows)
    assert not any(row.endswith("N47") for row in found.rows)


def test_the_lab_of_a_ratio_is_the_one_that_the_question_names():
    """ "The most concentrated lab" was measured by nothing; the largest bill for inference is on record."""
    books = tables.load("lab_ledgers").query("item == 'inference_compute' and kind != 'plan'")
    assert books.loc[books["value"].idxmax(), "organisation"] == "OpenAI"


def test_that_another_startup_trained_does_not_rest_on_one_quote():
    found = base.measured(
        "companies_training",
        "besides=SambaNova;since=2024-04;before=2026-05;first_chip_before=2022",
    )
    rows = [base.row_of(*row.split(":"), "row_id") for row in found.rows]
    own = [row for row in rows if row["company"] == "Tenstorrent"]
    assert len(own) == 2 and any(row["confirmed"] == "yes" for row in own)


def test_a_labs_ratio_counts_computing_alone():
    """An expense with salaries and shares for staff had stood for R&D computing: 0.44 where the books say about one."""
    found = base.measured("per_lab", "lab=OpenAI")
    ledger = tables.load("lab_ledgers").query("organisation == 'OpenAI' and year == 2025")
    served, research = (
        ledger.loc[(ledger["item"] == item) & (ledger["kind"] != "plan"), "value"]
        for item in ("inference_compute", "rnd_compute")
    )
    assert found.low == pytest.approx(served.min() / research.max())
    assert found.high == pytest.approx(served.max() / research.min())


def test_every_claim_has_one_deciding_test_with_its_reason_and_ordered_thresholds():
    declared = tables.load("claim_tests")
    deciding = declared[declared["deciding"] == "yes"]
    assert deciding["claim"].tolist() == CLAIMS and (deciding["weight"] == 1).all()
    assert deciding["why"].notna().all() and declared["reason"].notna().all()
    up = declared["comparison"].map({">=": 1, "<=": -1})
    for first, then in (("lenient", "threshold"), ("threshold", "strict")):
        assert (up * declared[first] <= up * declared[then]).all()
    assert (up * declared["lenient"] < up * declared["strict"]).all()
    assert set(declared["measure"]) <= claims.measure_names()


def test_every_range_says_what_kind_it_is(findings):
    for finding in findings.values():
        for test in finding.tests:
            found = test.measured
            ranged = found.low is not None and found.high is not None and found.low != found.high
            if ranged:
                assert found.kind in ranges.KINDS, (finding.claim_id, test.name)
                assert found.low <= found.high


def test_a_share_of_events_tells_its_counts():
    found = base.measured("event_share", "direction=inference;company=SambaNova")
    passed, cases = map(int, re.fullmatch(r"(\d+) of (\d+) events", found.note).groups())
    assert cases == len(found.rows) and found.value == pytest.approx(passed / cases)


def test_an_event_that_points_nowhere_is_no_evidence_against_a_direction():
    """Groq's founding and its way out of stealth had made "none in three" of one launch up to 2019."""
    found = base.measured("event_share", "company=Groq;before=2020;direction=training")
    assert found.note == "0 of 1 events"
    silent = tables.load("startup_events").query("direction in ('unclear', 'other')")["row_id"]
    assert {"E02", "E11"} <= set(silent)
    assert not set(found.rows) & set("startup_events:" + silent)


def test_a_report_of_a_month_is_published_in_it():
    """A report of October that quotes the first one had made two sources of April out of one."""
    found = judge("C01").deciding.measured
    published = tables.load("sources").set_index("key")["published"]
    assert found.value == len(found.sources) == 1
    assert all(published[key].startswith("2025-04") for key in found.sources)
    assert set(found.sources) < set(
        tables.load("startup_events").set_index("row_id").loc["E50", "source"].split(";")
    )


def test_what_was_advertised_in_2017_is_not_read_off_a_launch_of_2019():
    """One launch of November 2019, for inference, had decided what Groq advertised two years before."""
    found = judge("C04")
    assert found.grade == grading.OPEN and not found.deciding.measured.rows
    later = next(test for test in found.tests if not test.deciding)
    assert "startup_events:E34" not in later.measured.rows  # of 2023, where the claim says 2022


def test_one_architecture_for_both_is_counted_on_offers_of_both():
    """An offer of training alone (SN30) had counted for one architecture that does both."""
    found = judge("C02").deciding.measured
    assert "startup_events:E28" in found.rows and found.note == "3 of 5 events"


def test_what_inference_holds_is_compared_with_what_training_holds():
    """The article says that inference needs less memory than training; whether its cache is small beside its own weights
    had decided instead."""
    found, cache = judge("C19"), base.measured("kv_cache", "users=64").number
    both = (2 + 2 * cache) / (2 + 4 + 12)  # BF16 weights and cache; weights, FP32 gradients, AdamW
    assert found.deciding.measured.number == pytest.approx(both)
    assert found.deciding.measured.low < both < found.deciding.measured.high
    assert base.measured("serving_footprint", "users=0").number == pytest.approx(1 / 9)
    assert {test.name for test in found.tests} >= {"kv_cache", "state", "hierarchy"}


def test_what_cards_tell_of_their_rows_is_so():
    """Who tells the scaling, who never trained and which rounds tell vendors apart stand in words beside the numbers."""
    told = tables.load("scaling_measurements").set_index("row_id")
    rows = [row.split(":")[1] for row in judge("C36").deciding.measured.rows]
    last = told.loc[rows].groupby("source")["efficiency_vs_smallest"].median()
    makers = tables.load("sources").set_index("key")["publisher"].reindex(last.index)
    assert len(last) == 2 and "NVIDIA" in set(makers) and last.max() - last.min() < 0.02
    events = tables.load("startup_events").set_index("row_id")
    why = [events.loc[row.split(":")[1], "company"] for row in judge("C07").deciding.measured.rows]
    chips = tables.load("chips").groupby("vendor")["supports_training"].agg(set)
    assert "d-Matrix" in why and chips["d-Matrix"] == {"no"}


def test_memory_of_training_chips_is_counted_on_notable_runs_alone():
    """Eight runs on wafers, found by a search for other chips, had made most of the share with DDR."""
    found = base.measured("runs_with_memory", "column=ddr_gb")
    assert all(row.startswith("training_runs:") for row in found.rows)
    assert "training_runs:R147" in found.rows and found.value < 0.05


def test_at_most_a_fifth_is_mixed_and_never_because_tests_disagree(findings):
    mixed = [one for one in findings.values() if one.grade == "mixed"]
    assert len(mixed) <= len(findings) / 5
    assert all(one.deciding.grade == "mixed" for one in mixed)


def test_every_finding_cites_known_sources_and_existing_rows(findings):
    known = set(tables.load("sources")["key"])
    names = set(tables.names())
    for finding in findings.values():
        told = set(finding.sources)
        assert told <= known and (told or finding.grade == "open"), (finding.claim_id, told - known)
        assert {row.split(":")[0] for row in finding.rows} <= names
        assert claims.rows_behind(finding)["confirmed"].notna().all()


def test_other_thresholds_and_codings_regrade_what_was_measured(findings):
    sets = claims.under_sets(findings).set_index("claim")
    assert (sets["ours"] == [one.grade for one in findings.values()]).all()
    order = {name: place for place, name in enumerate(grading.GRADES)}
    known = sets[(sets[["lenient", "ours", "strict"]] != "open").all(axis=1)]
    assert (known["lenient"].map(order) <= known["strict"].map(order)).all()
    assert sets["moves"].any() and not sets["moves"].all()


def test_a_second_reading_replaces_the_cells_it_names():
    told = {"table": ["low_precision_runs"], "coded_row": ["N24"], "column": ["bearing"]}
    coding = (
        tables.load("claims")
        .head(0)[[]]
        .assign(**{**told, "first": ["supports"], "second": ["against"], "rule": ["r"]})
    )
    first = judge("C29")
    with tables.replaced(second_coding=coding):
        again = judging.second_reading()
    assert list(again) == ["low_precision_runs"]
    assert base.row_of("low_precision_runs", "N24", "row_id")["bearing"] == "supports"
    with tables.replaced(**again):
        assert base.row_of("low_precision_runs", "N24", "row_id")["bearing"] == "against"
        second = judge("C29")
    before, after = (
        next(test.measured.value for test in one.tests if test.name == "fp8")
        for one in (first, second)
    )
    assert after < before


def test_the_second_reading_is_of_cells_that_exist_and_turns_few_claims(findings):
    cells = tables.load("second_coding")
    for name, group in cells.groupby("table"):
        assert set(group["coded_row"]) <= set(tables.load(name)["row_id"]), name
    coded = claims.under_codings(findings)
    assert coded["claim"].tolist() == CLAIMS and coded["turns"].le(coded["moves"]).all()
    assert coded["turns"].sum() <= len(coded) / 10


def test_the_claims_that_do_not_hold_are_told_worst_first_and_none_is_left_out(findings):
    failing = claims.not_supported(findings)
    kept = set(claims.supported(findings))
    assert set(failing["claim"]) == set(findings) - kept and not failing["claim"].duplicated().any()
    order = ("strongly against", "leans against", "mixed", "open")
    places = [order.index(grade) for grade in failing["grade"]]
    assert places == sorted(places) and set(places) >= {0, 1}
    assert failing[["paraphrase", "quantity", "number"]].map(bool).all().all()


def test_the_first_page_reads_the_same_findings(findings):
    table = claims.verdict_table(findings)
    assert table["argument"].tolist() == ["market", "memory", "networking", "precision"]
    assert set(table["grade"]) <= set(claims.GRADES)
    assert (table[["number", "threshold", "flips", "link", "says"]].map(len) > 0).all().all()
    for row in tables.load("arguments").itertuples():
        claim, _, name = row.deciding_test.partition(":")
        one = next(test for test in findings[claim].tests if test.name == name)
        assert table.set_index("argument").loc[row.argument, "number"] == one.shown


def test_what_bears_on_an_argument_is_not_chosen_by_hand(findings):
    """Tests had been listed by hand: what speaks for the article on networks stood on the claim's card alone, and the test
    that decides the claim on gradients was not there."""
    table = claims.verdict_table(findings).set_index("argument")
    for row in tables.load("arguments").itertuples():
        claim, _, name = row.deciding_test.partition(":")
        own = [one for one in findings.values() if one.argument == row.argument]
        questions = {one.deciding.question for one in own}
        if findings[claim].argument == row.argument:
            questions |= {test.question for test in findings[claim].tests}
        decides = next(test for test in findings[claim].tests if test.name == name)
        told = table.loc[row.argument, "beside"]
        assert len(told) == len(questions - {decides.question}), "each once, and nothing else"
        assert all(
            any(text.startswith(one) for text in told) for one in questions - {decides.question}
        )


def test_remarkable_is_one_number_on_all_pages():
    """It had begun at half as much again for the claims, and at twice on the page on switching."""
    marks = tables.load("claim_tests").set_index("test")["threshold"]
    assert {marks["speed_up"], marks["best_advantage"]} == {switching.BANDS[1][0]}
    assert switching.band(marks["speed_up"]) == switching.BANDS[2][1] == "remarkable"


def test_what_sambanova_does_now_is_told_by_what_it_offers(findings):
    """Talks of a purchase, their end and a round of money had counted as events about inference."""
    rows = {row.partition(":")[2] for row in findings["C03"].deciding.measured.rows}
    assert not {"E57", "E63", "E79"} & rows and {"E66", "E89"} <= rows


def test_who_raised_most_is_asked_of_those_who_raised_much(findings):
    """Cerebras had no round on record and Groq its first alone."""
    rank = next(one for one in findings["C01"].tests if one.name == "funding_rank")
    assert {f"startup_events:{row}" for row in ("E20", "E91", "E92")} <= set(rank.measured.rows)


def test_a_claim_about_the_future_is_asked_of_it_too(findings):
    later = next(one for one in findings["C12"].tests if one.name == "by_forecasts")
    now = next(one for one in findings["C07"].tests if one.name == "larger")
    assert later.measured.value > now.measured.value and "2030" in later.measured.note


def test_arguments_are_held_against_the_other_thresholds_too(findings):
    """The first page told of claims alone how they turn with the thresholds."""
    assert claims.arguments_that_turn(findings) == []
    near = replace(findings["C22"].deciding, measured=base.Measured(0.45, 0.42, 0.48))
    tests = (near, *findings["C22"].tests[1:])
    turned = {**findings, "C22": replace(findings["C22"], tests=tests)}
    assert claims.arguments_that_turn(turned) == ["Networking"]


def test_the_hosts_memory_is_counted_beside_the_chips_own(findings):
    """That training needs DDR was held against memory beside the chip alone, while every server has some."""
    test = next(one for one in findings["C16"].tests if one.name == "host_ddr")
    assert 0 < test.measured.value < 0.4 and test.measured.low < test.measured.value
    assert set(test.measured.sources) < set(tables.load("training_measurements")["source"])


def test_tables_for_readers(findings):
    table, counts, relative = (
        claims.table(findings),
        claims.counts(findings),
        claims.relative(findings),
    )
    assert table["claim"].tolist() == CLAIMS and counts["claims"].sum() == len(CLAIMS)
    passing = relative[relative["grade"].isin(["strongly supported", "leans supported"])]
    assert (passing["value"] >= 1).all() and (relative["low"] <= relative["high"]).all()
    assert (relative[relative["grade"].str.contains("against")]["value"] < 1).all()
    told = table.set_index("claim")
    for claim, finding in findings.items():
        others = [
            column for column in told if column.startswith("beside_") and told.loc[claim, column]
        ]
        assert len(others) == len(finding.tests) - 1


def test_bad_questions_get_one_sentence():
    with pytest.raises(InputError, match="unknown claim 'C99'"):
        judge("C99")
    wrong = altered(claim_tests=where("claim", "C10", measure="one_anser"))
    with wrong(), pytest.raises(InputError, match="unknown measure"):
        judge("C10")
    with (
        altered(claim_tests=without("claim", "C10"))(),
        pytest.raises(InputError, match="exactly one deciding"),
    ):
        judge("C10")


def test_every_claim_links_to_a_section_that_exists():
    chapters = tables.load("claims")
    for row in chapters.itertuples():
        page = json.loads((CHAPTERS / f"{row.chapter}.ipynb").read_text(encoding="utf-8"))
        cells = [
            "".join(cell["source"]) for cell in page["cells"] if cell["cell_type"] == "markdown"
        ]
        headings = re.findall(r"^##+ (.+)$", "\n".join(cells), re.M)
        anchors = {re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-") for heading in headings}
        assert row.section in anchors, f"{row.claim}: no section '{row.section}' in {row.chapter}"


def test_the_risk_of_moving_is_counted_on_moves_away_from_nvidia(findings):
    """The claim is about moving elsewhere: the moves are those of the chapter on switching, and no others."""
    rows = findings["C30"].deciding.measured.rows
    assert {row.partition(":")[2] for row in rows} == set(switching.moves_away()["row_id"])


def test_a_finding_tells_its_rows_and_which_are_second_hand(findings):
    rows = claims.rows_behind(findings["C30"])
    weak = int((rows["confirmed"] != "yes").sum())
    assert set(rows["table"]) == {"switching_cases", "move_durations"} and weak > 0
    assert f"{weak} of these rows partly confirmed" in telling.evidence_words(findings["C30"])
    bare = [replace(one, measured=replace(one.measured, rows=())) for one in findings["C20"].tests]
    assert telling.evidence_words(replace(findings["C20"], tests=tuple(bare))).startswith(
        "The model and its published formulas"
    )


def test_the_tally_counts_every_claim_once(findings):
    words = claims.tally(findings)
    assert sum(map(int, re.findall(r"\d+", words))) == len(CLAIMS)
    market = claims.tally(findings, "market")
    assert sum(map(int, re.findall(r"\d+", market))) == 6


def test_a_grade_that_its_number_alone_does_not_give_is_explained(findings):
    """The first page had one number under two grades: a claim's, and its argument's, which other quantities soften."""
    found = telling.verdict_table(findings)
    told = telling.softened_words(found)
    differ = found[found["grade"] != found["alone"]]
    assert all(claims.telling.lowered(title) in told for title in differ["title"])
    assert all(f"would be “{alone}”" in told for alone in differ["alone"])
    one = telling.softened_words(found[found["argument"] == "memory"])
    assert one.startswith("By its number alone the grade of memory") and "they" not in one
    assert telling.softened_words(found.assign(alone=found["grade"])) == ""

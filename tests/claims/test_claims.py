"""Every claim's verdict follows its evidence: the opposite data give another verdict."""

import json
import re

import numpy as np
import pytest

from training_moat import claims
from training_moat.catalog import tables
from training_moat.catalog.paths import root
from training_moat.claims import Evidence, base, judge, words
from training_moat.core.errors import InputError

CHAPTERS = root() / "chapters"
CLAIMS = tables.load("claims")["claim"].tolist()


def altered(**changes):
    """Makes evidence in which each named table went through a function that changes it."""
    return lambda: Evidence(
        replaced={name: change(tables.load(name)) for name, change in changes.items()}
    )


def hooked(**pieces):
    """Makes evidence in which pieces of the model are replaced."""
    return lambda: Evidence(hooks=pieces)


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


def predicted(data_parallel):
    return lambda requests: [
        {"ok": True, "step_time_s": 10.0, "seconds": {"data_parallel": data_parallel}}
    ]


def bearing(width_words, value):
    def change(frame):
        rows = frame["format_forward"].str.contains(width_words, na=False) & frame["bearing"].isin(
            ["supports", "against"]
        )
        return frame.assign(bearing=frame["bearing"].where(~rows, value))

    return change


TEN_TIMES = {
    "market_splits": chained(
        column("inference_to_training_ratio", 900.0), column("inference_share", 900 / 901)
    ),
    "split_classes": chained(
        column("ratio_low", np.nan), where("house", "analyst", ratio_high=2000.0, ratio_low=900.0)
    ),
    "lab_ledgers": chained(
        where("item", "inference_compute", value=1000.0),
        where("item", "cost_of_revenue", value=1000.0),
        where("item", "training_compute", value=1e-6),
    ),
    "training_runs": scaled("training_flop", 1e-3),
    "tokens_served": scaled("tokens_per_day", 1e3),
}
"""Tables in which every way to the market's split says far more than ten times."""

OPPOSITE = {
    "C01": ("partly", altered(startup_events=where("row_id", "E50", direction="both"))),
    "C02": (
        "contradicted",
        altered(startup_events=where("company", "SambaNova", direction="inference")),
    ),
    "C03": (
        "partly",
        altered(startup_events=where("row_id", "E50", event="Lays off 5 of ~500 staff")),
    ),
    "C04": ("supported", altered(startup_events=where("row_id", "E02", direction="training"))),
    "C05": ("contradicted", altered(startup_events=where("row_id", "E10", direction="inference"))),
    "C06": ("supported", altered(startup_events=without("row_id", "E47|E54"))),
    "C07": ("supported", altered(**TEN_TIMES)),
    "C08": ("supported", altered(**TEN_TIMES)),
    "C09": (
        "supported",
        altered(market_splits=where("definition", "final runs within", training_share=0.9)),
    ),
    "C10": ("contradicted", altered(disclosed_service=scaled("mean_kv_tokens", 1e9))),
    "C11": (
        "contradicted",
        altered(
            disclosed_service=scaled("mean_nodes", 0.01),
            assumptions=assumption(active_params_b=(0.01, 0.02, 0.03)),
        ),
    ),
    "C12": (
        "contradicted",
        altered(market_splits=where("definition", "final", inference_to_training_ratio=0.5)),
    ),
    "C13": (
        "supported",
        altered(
            custom_models=chained(
                where("row_id", "M07", value=60.0), where("row_id", "M05", value=2e9)
            )
        ),
    ),
    "C14": (
        "supported",
        altered(
            switching_cases=where("workload_kind", "inference", outcome="migrated", quality="")
        ),
    ),
    "C16": ("supported", altered(chips=column("ddr_gb", 500.0))),
    "C17": (
        "contradicted",
        altered(
            chips=lambda frame: frame.assign(
                hbm_gb=np.where(frame["vendor"].isin(["NVIDIA", "AMD", "Google", "AWS"]), 0.0, 80.0)
            )
        ),
    ),
    "C18": (
        "contradicted",
        altered(
            chips=chained(
                where("id", "groq-lpu-v1", hbm_gb=96.0), where("id", "corsair", ddr_gb_per_s=4000.0)
            )
        ),
    ),
    "C21": (
        "supported",
        altered(
            disclosed_service=column("decode_expert_group_chips", 2),
            serving_measurements=column("parallelism", "PP8"),
            serving_inferencex=chained(
                column("tp_size", 1), column("moe_ep_size", 1), column("pp_size", 8)
            ),
        ),
    ),
    "C22": (
        "partly",
        altered(
            chips=lambda frame: frame.assign(
                scaleup_gb_per_s_per_direction=np.where(
                    frame["vendor"] == "NVIDIA", frame["scaleup_gb_per_s_per_direction"], 50_000.0
                )
            )
        ),
    ),
    "C23": ("partly", altered(mlperf_submissions=where("row_id", "L001", entry_share=0.1))),
    "C24": (
        "contradicted",
        altered(
            mlperf_submissions=lambda frame: frame.assign(
                entry_share=np.where(frame["vendor"] == "NVIDIA", 0.2, frame["entry_share"])
            )
        ),
    ),
    "C25": (
        "contradicted",
        altered(chips=where("id", "b200", hbm_tb_per_s=1.0, scaleup_gb_per_s_per_direction=160.0)),
    ),
    "C26": ("supported", altered(switching_cases=where("row_id", "W01", per_chip_speed_high=1.5))),
    "C27": (
        "contradicted",
        altered(
            chips=where("vendor", "SambaNova", hbm_gb=0.0, hbm_tb_per_s=0.0, topology="switched")
        ),
    ),
    "C28": (
        "contradicted",
        altered(
            low_precision_runs=column("hardware_vendor", "AMD"),
            chips=where("vendor", "NVIDIA", formats_supported="fp32"),
        ),
    ),
    "C29": ("contradicted", altered(low_precision_runs=bearing(".", "against"))),
    "C30": (
        "contradicted",
        altered(
            switching_cases=where(
                "workload_kind", "training", months=0.5, outcome="completed", quality=""
            )
        ),
    ),
    "C31": (
        "contradicted",
        altered(training_runs=where("model", "GPT-4 (Mar 2023)", cost_usd_2023=1e12)),
    ),
    "C32": (
        "supported",
        altered(
            chips=where(
                "id", "sn40l", hbm_tb_per_s=4.0, hbm_tb_per_s_low=4.0, hbm_tb_per_s_high=4.0
            )
        ),
    ),
    "C33": (
        "contradicted",
        altered(
            switching_assumptions=assumption(
                realised_share=(5.0, 6.0, 7.0), horizon_years=(20.0, 25.0, 30.0)
            )
        ),
    ),
    "C34": (
        "contradicted",
        altered(
            training_runs=where("model", "GPT-4.5", hardware="Cerebras CS-3"),
            mlperf_submissions=lambda frame: frame.assign(
                vendor=frame["vendor"].replace("AMD", "Cerebras")
            ),
        ),
    ),
    "C35": ("supported", altered(mlperf_submissions=where("row_id", "L001", vendor="SambaNova"))),
    "C15": ("partly", hooked(optimizer_bytes={"adamw": -4.0})),
    "C19": ("contradicted", hooked(optimizer_bytes={"adamw": -4.0})),
    "C20": ("supported", hooked(gradient_traffic=lambda replicas: replicas - 1.0)),
    "C36": ("partly", hooked(predict_training=predicted(9.0))),
}


@pytest.fixture(scope="module")
def findings():
    return claims.evaluate()


def test_every_claim_has_an_opposite():
    assert set(OPPOSITE) == set(CLAIMS)


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_opposite_data_turn_the_verdict(claim):
    expected, evidence = OPPOSITE[claim]
    assert judge(claim, evidence()).verdict == expected != judge(claim, Evidence()).verdict


def test_every_declared_test_is_measured_and_no_other():
    declared = tables.load("claim_tests")
    assert set(zip(declared["claim"], declared["test"], strict=True)) == claims.measured_tests()
    assert set(declared["claim"]) == set(CLAIMS)


def test_every_finding_cites_known_sources_and_existing_rows(findings):
    known = set(tables.load("sources")["key"])
    names = set(tables.names())
    for finding in findings.values():
        assert finding.sources and set(finding.sources) <= known, (
            finding.claim_id,
            set(finding.sources) - known,
        )
        assert {row.split(":")[0] for row in finding.rows} <= names
        assert finding.flips.endswith(".") and finding.verdict in claims.VERDICTS


def test_what_flips_it_does_flip_it(findings):
    for finding in findings.values():
        if not finding.flips.startswith("It would be"):
            continue
        said = finding.flips.split("It would be ")[1].split(" if ")[0]
        turned = {base._turned(list(finding.tests), test) for test in finding.tests} - {
            finding.verdict
        }
        assert said in {base.VERDICT_WORDS[verdict] for verdict in turned}


@pytest.mark.parametrize(
    "outcomes, expected",
    [
        (["yes", "yes"], "supported"),
        (["yes", "no"], "partly"),
        (["yes", "unsure"], "partly"),
        (["probably"], "partly"),
        (["yes", "unknown"], "partly"),
        (["no"], "contradicted"),
        (["no", "probably not"], "contradicted"),
        (["no", "unknown"], "contradicted"),
        (["no", "unsure"], "open"),
        (["unsure"], "open"),
        (["probably not"], "open"),
        (["unknown"], "open"),
    ],
)
def test_verdict_rule(outcomes, expected):
    assert base.verdict(outcomes) == expected


@pytest.mark.parametrize(
    "measured, expected",
    [
        (base.Measured(12.0), "yes"),
        (base.Measured(8.0), "no"),
        (base.Measured(None), "unknown"),
        (base.Measured(12.0, 9.0, 15.0), "unsure"),
        (base.Measured(12.0, 11.0, 15.0), "yes"),
        (base.Measured(5.0, 1.0, 50.0, probability=0.2), "probably not"),
        (base.Measured(5.0, probability=0.05), "no"),
        (base.Measured(5.0, probability=0.7), "probably"),
        (base.Measured(5.0, probability=0.95), "yes"),
        (base.Measured(5.0, probability=0.5), "unsure"),
    ],
)
def test_outcome_rule(measured, expected):
    assert base.outcome(measured, ">=", 10.0) == expected


def test_the_ten_to_one_consensus_is_contradicted_by_houses_and_model(findings):
    finding = findings["C08"]
    assert finding.verdict == "contradicted" and finding.probability < 0.1
    assert max(test.measured.value for test in finding.tests) < 10


def test_the_first_page_reads_the_same_findings(findings):
    table = claims.verdict_table(findings)
    assert table["argument"].tolist() == ["market", "memory", "networking", "precision"]
    assert set(table["verdict"]) <= set(claims.VERDICTS)
    assert (table[["number", "threshold", "flips", "link"]].map(len) > 0).all().all()
    assert table.set_index("argument").loc["market", "probability"] == findings["C08"].probability
    turned = claims.verdict_table(claims.evaluate(altered(**TEN_TIMES)()))
    assert turned.set_index("argument").loc["market", "verdict"] == "supported"


def test_tables_for_readers(findings):
    table, counts, relative = (
        claims.table(findings),
        claims.counts(findings),
        claims.relative(findings),
    )
    assert table["claim"].tolist() == CLAIMS and counts["claims"].sum() == len(CLAIMS)
    passed = relative[relative["outcome"] == "yes"]
    assert (passed["value"] >= 1).all() and (relative["low"] <= relative["high"]).all()
    assert (relative[relative["outcome"] == "no"]["value"] < 1).all()


def test_bad_questions_get_one_sentence():
    with pytest.raises(InputError, match="unknown claim 'C99'"):
        claims.evaluate(only=["C99"])
    with pytest.raises(InputError, match="unknown measure"):
        judge("C10", altered(claim_tests=where("claim", "C10", test="one_anser"))())
    with pytest.raises(InputError, match="no test for claim C10"):
        judge("C10", altered(claim_tests=without("claim", "C10"))())


def test_every_claim_links_to_a_section_that_exists():
    chapters = tables.load("claims")
    assert chapters["section"].notna().all()
    for row in chapters.itertuples():
        page = json.loads((CHAPTERS / f"{row.chapter}.ipynb").read_text(encoding="utf-8"))
        text = "\n".join(
            "".join(cell["source"]) for cell in page["cells"] if cell["cell_type"] == "markdown"
        )
        headings = re.findall(r"^##+ (.+)$", text, re.M)
        anchors = {re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-") for heading in headings}
        assert row.section in anchors, f"{row.claim}: no section '{row.section}' in {row.chapter}"


def test_a_finding_tells_its_rows_and_which_are_second_hand(findings):
    rows = claims.rows_behind(findings["C30"])
    weak = int((rows["confirmed"] != "yes").sum())
    assert set(rows["table"]) == {"switching_cases"} and weak > 0
    assert f"{weak} of these rows partly confirmed" in claims.evidence_words(findings["C30"])
    assert claims.evidence_words(findings["C20"]).startswith("The model and its published formulas")
    for finding in findings.values():
        assert claims.rows_behind(finding)["confirmed"].notna().all()


def test_the_chapters_sentences_follow_the_findings(findings):
    counts = claims.counts(findings)
    supported = int(counts[counts["verdict"] == "supported"]["claims"].sum())
    assert f"supports **{supported}**" in words.tally(findings)
    assert "Contradicted: C08." in words.argument(findings, "market")
    assert "contradicted outright" in words.argument(findings, "memory")
    close = claims.closest_table(findings, 5)
    assert (
        close["times from threshold"].is_monotonic_increasing
        and (close["times from threshold"] > 1).all()
    )
    assert close["claim"].iloc[0] in words.nearest(findings)

"""How far log errors of sources that no fit has seen scatter."""

import numpy as np
import pandas as pd
import pytest

from training_moat.calibrate import source_intervals, training_errors
from training_moat.core.plan import Plan
from training_moat.predict import training, training_constants


def test_errors_where_the_router_decides_scatter_by_so_many_times():
    draw = np.random.default_rng(7)
    routed = np.arange(1200) % 3 == 0
    sources = pd.Series([f"s{index // 6}-{index % 3 == 0}" for index in range(1200)])
    own = dict(zip(sources.unique(), draw.normal(0, 0.1, sources.nunique()), strict=True))
    errors = sources.map(own) + draw.normal(0, 0.1, 1200)
    errors = errors * np.where(routed, 2.0, 1.0)
    frame = pd.DataFrame({"source": sources, "experts": 8})
    found = source_intervals.routed_scatter(frame, routed, errors)
    assert found == pytest.approx(2.0, rel=0.15)
    assert source_intervals.routed_scatter(frame, ~routed, errors) == 1.0
    assert source_intervals.routed_scatter(frame.assign(experts=0), routed, errors) == 1.0
    record = source_intervals.routed_record(found, frame, routed)
    assert (record["key"], record["constant"], record["rows"]) == ("all", "routed", 400)


def test_a_range_is_wider_where_the_router_decides(monkeypatch):
    """Only where experts are spread over chips and nothing makes their shares equal."""
    monkeypatch.setattr(training_constants, "routed_scatter", lambda constants: 1.5)
    run = {
        "model": "deepseek-v3", "chip": "h100-sxm", "chips": 1024, "tp": 2, "pp": 8, "dp": 64, "ep": 64,
        "micro_batch": 1, "seq_len": 4096, "global_batch": 8192, "precision": "bf16", "software": "megatron",
    }  # fmt: skip

    def width(**said):
        told = training.predict([run | said])[0]
        return np.log(told["step_time_s_p95"] / told["step_time_s_p05"])

    usual = width()
    assert width(balanced_routing=False) == pytest.approx(1.5 * usual)
    assert width(balanced_routing=False, capacity_factor=1.25) == pytest.approx(usual)
    assert width(balanced_routing=False, ep=1, expert_tp=2) == pytest.approx(usual)


def test_rows_are_routed_as_plans_are():
    frame = training_errors.rows()
    sizes = {
        name: frame[name].to_numpy(float) for name in ("ep", "uneven_routing", "expert_capacity")
    }
    routed = Plan(4096, 64, **sizes).routed & (frame["experts"] > 0).to_numpy()
    constants = training_constants.load()
    own = training_constants.own_scatter(constants, frame["hidden"])
    wider = np.asarray(training_errors.reach(frame)) / np.asarray(own)
    assert 0.1 < routed.sum() / (frame["experts"] > 0).sum() < 0.3
    assert wider[~routed] == pytest.approx(1.0)
    assert wider[routed] == pytest.approx(training_constants.routed_scatter(constants))

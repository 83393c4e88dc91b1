"""What the page on clusters says of costs follows from the measured table, and without one it says so."""

import pytest

from training_moat.press import sweep_costs

TEXT = """work,by,measured_on,cpu_s,times_less
a point of the model,moat sweep,10,0.0001,
a run of a small chapter,papermill,1,4,
a run of a small chapter,moat <fork>,10,0.36,11.1
"""


def test_hours_are_points_times_seconds():
    assert sweep_costs.hours(36_000, 0.1) == pytest.approx(1.0)


def test_the_page_counts_what_was_measured(tmp_path, monkeypatch):
    path = tmp_path / "costs.csv"
    path.write_text(TEXT, encoding="utf-8")
    monkeypatch.setattr(sweep_costs, "MEASURED", path)
    assert "moat &lt;fork&gt;" in sweep_costs.table() and "<td>11.1</td>" in sweep_costs.table()
    shown = sweep_costs.sizes()
    assert "<td>0.0278</td><td>50 seconds</td>" in shown, "a million points on two workers"
    assert "<td>10</td><td>5 hours</td>" in shown, "100,000 runs by the cheaper way"


def test_without_measurements_it_says_how_to_have_them(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_costs, "MEASURED", tmp_path / "none.csv")
    assert "benchmarks.costs --store" in sweep_costs.table() and sweep_costs.sizes() == ""

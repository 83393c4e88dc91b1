"""The costs of re-running are measured at their smallest, and what is stored is what the page reads."""

import pandas as pd
import pytest

from benchmarks import costs
from training_moat.press import sweep_costs


@pytest.mark.slow
def test_a_tiny_run_measures_points_and_runs_and_stores_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(costs, "STORED", tmp_path / "costs.csv")
    monkeypatch.setattr(sweep_costs, "MEASURED", tmp_path / "costs.csv")
    assert costs.main(["--tiny", "--no-builds", "--store"]) == 0
    found = pd.read_csv(tmp_path / "costs.csv")
    assert set(sweep_costs.SIZES) == set(found["work"]) and (found["cpu_s"] > 0).all()
    assert "papermill, a kernel a run" in capsys.readouterr().out
    assert "core-hours" in sweep_costs.sizes()

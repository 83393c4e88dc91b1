"""The GPU script (run only where a GPU is at hand) writes the columns and kinds that its table declares."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from training_moat.catalog import descriptor, tables
from training_moat.numerics.matrix_unit import MATRIX_UNITS

SCRIPT = Path(__file__).resolve().parents[2] / "experiments" / "low_precision" / "gpu_measure.py"
HAS_TORCH = importlib.util.find_spec("torch") is not None


def test_columns_are_those_of_the_table():
    tree = ast.parse(SCRIPT.read_text())
    (columns,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COLUMNS"
    ]
    assert list(ast.literal_eval(columns)) == [
        field["name"] for field in descriptor.fields("gpu_measurements")
    ]


def test_models_it_names_are_those_of_the_book():
    words = {
        node.value
        for node in ast.walk(ast.parse(SCRIPT.read_text()))
        if isinstance(node, ast.Constant)
    }
    assert {name for name in MATRIX_UNITS if name.endswith(("fp8", "fp8_promoted"))} <= words


def test_what_is_stored_was_measured_on_a_named_gpu():
    rows = tables.load("gpu_measurements")
    assert set(rows["machine"]) == {"one NVIDIA H100 80GB HBM3, PyTorch 2.11.0"}
    assert set(rows["part"]) == {"error", "copy", "matmul", "step"}


def test_every_stored_sum_is_the_one_that_the_model_of_the_matrix_unit_gives():
    rows = tables.load("gpu_measurements").query("part == 'error'")
    assert (rows.loc[rows["quantity"] == "share_equal_to_the_model", "value"] == 1).all()
    found = rows.pivot(index=["operand", "setting", "size"], columns="quantity", values="value")
    for kind in ("rms", "max"):
        assert (found[f"measured_{kind}_error"] == found[f"modelled_{kind}_error"]).all()
    assert set(rows["notes"].dropna()) == {"hopper_fp8", "hopper_fp8_promoted", "hopper_bf16"}


@pytest.mark.skipif(HAS_TORCH, reason="PyTorch is installed")
def test_without_pytorch_it_says_how_to_get_it():
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False
    )
    assert (
        done.returncode == 1
        and "pip install torch" in done.stderr
        and "Traceback" not in done.stderr
    )


@pytest.mark.skipif(not HAS_TORCH, reason="needs PyTorch: pip install torch==2.13.0")
def test_small_form_runs_on_a_processor_and_measures_every_part(tmp_path):
    out = tmp_path / "measured.csv"
    command = [sys.executable, str(SCRIPT), "--small", "--device", "cpu", "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    rows = pd.read_csv(out)
    assert set(rows["part"]) == {"error", "copy", "matmul", "step"}
    assert rows["value"].notna().all() and rows["machine"].str.startswith("one CPU, PyTorch").all()

"""The market chapter re-runs under other definitions and units, and its defaults are the table's medians."""

import nbformat
import papermill
import pytest

from training_moat.inquiry import market
from training_moat.press import notebooks
from training_moat.press.folders import CHAPTERS, ROOT

pytestmark = pytest.mark.slow


def defaults():
    return notebooks.defaults(nbformat.read(CHAPTERS / "market.ipynb", as_version=4), "market")


def test_the_defaults_are_the_medians_of_the_assumptions():
    given, medians = defaults(), market.assumptions()["median"]
    assert set(market.FIELDS) <= set(given)
    for name in market.FIELDS:
        assert given[name] == pytest.approx(medians[name])
    assert (given["definition"], given["unit"]) == (market.Case().definition, market.Case().unit)


@pytest.mark.parametrize(
    "definition, unit", [("final_run", "flop"), ("all_training", "chip_hours")]
)
def test_a_run_says_what_its_parameters_say(definition, unit, tmp_path):
    out = tmp_path / "market.ipynb"
    papermill.execute_notebook(
        CHAPTERS / "market.ipynb",
        out,
        cwd=ROOT,
        progress_bar=False,
        parameters={"definition": definition, "unit": unit, "draws": 4000},
    )
    cells = [cell for cell in nbformat.read(out, as_version=4).cells if cell.cell_type == "code"]
    said = [
        output.data["text/markdown"]
        for cell in cells
        for output in cell.outputs
        if "text/markdown" in output.get("data", {})
    ]
    expected = (
        market.Case(
            definition, unit, {name: defaults()[name] for name in market.FIELDS}, draws=4000
        )
        .answer()
        .sentence()
    )
    assert said[0] == expected
    assert market.DEFINITION_WORDS[definition] in said[0] and market.UNIT_WORDS[unit] in said[0]

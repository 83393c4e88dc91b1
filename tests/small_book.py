"""A small book of its own, with the real tables, for tests that break and rebuild things."""

import shutil
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = """
verdict: {}
bars:
  chips: {type: chips, meaning: Chips to show.}
  model: {type: model, meaning: A model.}
  seq_len: {type: integer, unit: tokens, range: [1, 1000], was: sequence, meaning: Length of a sequence.}
  scale: {type: number, range: [0.1, 10], meaning: Factor on every bar.}
  note: {type: text, optional: true, meaning: Words below the chart.}
  exact: {type: boolean, meaning: Whether to round.}
  precision: {type: choice, choices: [bf16, fp8], meaning: Number format.}
"""
PARAMETERS = 'chips = ["h100-sxm", "sn40l"]\nmodel = "gpt3-175b"\nseq_len = 10\nscale = 1.0\nnote = None\nexact = False\nprecision = "bf16"'
CHECK = 'parameters.check("bars", chips=chips, model=model, seq_len=seq_len, scale=scale, note=note, exact=exact, precision=precision)'
CHART = """frame = catalog.set_index("id").loc[chips].reset_index()
figures.publish(
    figures.bars(frame.assign(hbm=frame["hbm_gb"] * scale), value="hbm", category="id", title="Memory", value_title="GB"),
    caption="Memory by chip.", alt="Bars: memory of each chip in gigabytes.", source="zach_be",
)"""

NAMES = """figures.table(
    frame[["name", "vendor", "hbm_gb"]].rename(columns={"hbm_gb": f"memory of {frame['name'].iloc[0]} (GB)"}),
    caption=f"Memory of {frame['name'].iloc[0]}.", source="zach_be",
)"""


def notebook(title, cells):
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"# {title}")])
    for number, source in enumerate(cells):
        cell = nbformat.v4.new_code_cell(source)
        if number == 1:
            cell.metadata["tags"] = ["parameters"]
        made.cells.append(cell)
    for number, cell in enumerate(made.cells):
        cell.id = f"cell-{number:02d}"
    made.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    return made


@pytest.fixture(scope="module")
def small_book(tmp_path_factory):
    """Root folder of a book with two chapters and two pages."""
    return make(tmp_path_factory.mktemp("book"))


def make(root):
    """Write a book with two chapters and two pages into a folder; returns the folder."""
    shutil.copytree(ROOT / "data", root / "data")
    shutil.copytree(ROOT / "_static", root / "_static")
    shutil.copy(ROOT / "_config.yml", root)
    (root / "chapters").mkdir()
    (root / "chapters" / "parameters.yml").write_text(SCHEMA)
    source = (
        (root / "data" / "sources.csv").read_text(encoding="utf-8").splitlines()[1].split(",")[0]
    )
    imports = (
        "from training_moat import figures\nfrom training_moat.catalog import parameters, tables"
    )
    verdict = notebook(
        "Verdict",
        [
            imports,
            "",
            'parameters.check("verdict")',
            "figures.sentence(f\"There are {len(tables.load('chips'))} chips.\")",
        ],
    )
    bars = notebook(
        "Bars",
        [
            imports,
            PARAMETERS,
            CHECK,
            'catalog = tables.load("chips")',
            CHART.replace("zach_be", source),
            'print("seq_len is", repr(seq_len), "and chips is", chips)',
            "figures.sentence(f\"Shown are **{' and '.join(frame['name'])}**.\")",
            NAMES.replace("zach_be", source),
        ],
    )
    nbformat.write(verdict, root / "chapters" / "verdict.ipynb")
    nbformat.write(bars, root / "chapters" / "bars.ipynb")
    (root / "chapters" / "references.md").write_text("# References\n\n<!-- fill: sources -->\n")
    (root / "chapters" / "rerun.md").write_text("# Run it\n\n<!-- fill: parameters -->\n")
    files = ["bars", "references", "rerun"]
    (root / "_toc.yml").write_text(
        "format: jb-book\nroot: chapters/verdict\nchapters:\n"
        + "".join(f"- file: chapters/{name}\n" for name in files)
    )
    return root


def change(path, old, new):
    """Put other words into a file; returns the text that stood there."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return text

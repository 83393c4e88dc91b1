"""The notebooks keep the book's style: they ask, show and assert, in short cells and in words of their own."""

import ast
import inspect
import pydoc
import re
import statistics
from pathlib import Path

import nbformat
import pytest

from training_moat.catalog import parameters, tables
from training_moat.press import notebooks

CHAPTERS = Path(__file__).resolve().parents[2] / "chapters"
PATHS = sorted(CHAPTERS.glob("*.ipynb"))
# Numbers that are part of a name ("Llama 3.1", "H100", "GPT-4", "Table 2") or a year are no results.
TYPED_NUMBER = re.compile(r"(?<![\w.\-/#§])(?<![A-Z][a-z] )\d[\d,.]*(?:\s?%|x\b)?(?![\w])")
YEAR = re.compile(r"(19|20)\d\d[.,]?$")

pytestmark = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def prose(path):
    return "\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


def html_outputs(path):
    return [
        output.data["text/html"]
        for cell in code_cells(path)
        for output in cell.outputs
        if "text/html" in output.get("data", {})
    ]


def test_it_starts_with_the_question_imports_parameters_and_their_check(path):
    cells = code_cells(path)
    first = ast.parse(cells[0].source).body
    assert all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in first), (
        "the first code cell imports, nothing else"
    )
    assert "parameters" in notebooks.tags(cells[1]), (
        "the second code cell carries the tag 'parameters'"
    )
    assert f'parameters.check("{path.stem}"' in cells[2].source, (
        "the third code cell checks the parameters"
    )
    text = prose(path)
    assert text.startswith("# ") and len(re.findall(r"^# ", text, re.M)) == 1, (
        "one H1, at the very top"
    )


def test_its_parameters_are_those_of_the_schema_with_valid_defaults(path):
    defaults = notebooks.defaults(read(path), path.stem)
    assert list(defaults) == list(parameters.schema(path.stem))
    assert parameters.convert_all(path.stem, defaults) == defaults


def test_its_parameters_say_what_they_are(path):
    """In the words of parameters.yml; `moat refresh` puts them there, and `papermill --help-notebook` reads them."""
    source = code_cells(path)[1].source
    assert source == notebooks.described(path.stem, source)


def test_its_code_is_short_and_defines_nothing(path):
    trees = [ast.parse(cell.source) for cell in code_cells(path)]
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    assert not [node for tree in trees for node in ast.walk(tree) if isinstance(node, kinds)]
    assert not [
        node
        for tree in trees[1:]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    lengths = [
        sum(bool(line.strip()) for line in cell.source.splitlines()) for cell in code_cells(path)
    ]
    assert statistics.median(lengths) <= 4
    assert statistics.quantiles(lengths, n=10, method="inclusive")[8] <= 15
    assert max(lengths) <= 25


def test_every_name_that_it_takes_from_a_module_is_there(path):
    """A run would say so, in minutes; no other check reads what cells ask of the package."""
    trees = [ast.parse(cell.source) for cell in code_cells(path)]
    taken = {
        each.asname or each.name: pydoc.locate(f"{node.module}.{each.name}")
        for node in ast.walk(trees[0])
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("training_moat")
        for each in node.names
    }
    assert not [name for name, found in taken.items() if found is None]
    lacking = {
        f"{node.value.id}.{node.attr}"
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and inspect.ismodule(module := taken.get(node.value.id))
        and not hasattr(module, node.attr)
    }
    assert not lacking


def test_it_explains_more_than_it_computes(path):
    words = len(prose(path).split()) / len(code_cells(path))
    assert 60 <= words <= 130, f"{words:.0f} words of prose per code cell"


def test_no_result_is_typed_into_prose(path):
    text = re.sub(r"\$\$.*?\$\$|\$[^$\n]*\$", " ", prose(path), flags=re.S)
    text = re.sub(r"`[^`]*`|\]\([^)]*\)|<[^>]*>|^\s*\d+\. ", " ", text, flags=re.M)
    typed = [match[0] for match in TYPED_NUMBER.finditer(text) if not YEAR.match(match[0])]
    named = [match[1] for match in re.finditer(r"\b[A-Z][\w-]*\s(\d[\d.,]*)", text)]
    for number in named:
        if number in typed:
            typed.remove(number)
    assert typed == []


def test_every_sentence_is_asserted_beside_it(path):
    """By an assertion, or by `expect`, which asserts at the defaults and only speaks in a re-run."""
    cells = code_cells(path)
    guard = re.compile(r"\bassert |\bexpect\(")
    for cell, after in zip(cells, [*cells[1:], None]):
        if "figures.sentence(" in cell.source:
            assert guard.search(cell.source) or (
                after is not None and guard.search(after.source)
            ), cell.source


def test_what_a_cell_computes_for_the_reader_is_its_last_statement(path):
    """Jupyter shows the value of a cell's last statement alone: an assertion after a sentence hides the sentence."""
    shown = re.compile(r"figures\.(sentence|publish|table)\(")
    for cell in code_cells(path):
        hidden = [
            ast.unparse(part)
            for part in ast.parse(cell.source).body[:-1]
            if shown.match(ast.unparse(part))
        ]
        assert not hidden, hidden


def test_it_says_what_would_change_the_answer_and_where_it_comes_from(path):
    headings = re.findall(r"^## (.+)$", prose(path), re.M)
    assert [heading for heading in headings if heading.lower().startswith("what would change")]
    assert headings[-1].startswith("Sources")


def test_its_figures_can_be_read_without_seeing_them(path):
    pages = html_outputs(path)
    figures = [page for page in pages if 'class="moat-figure"' in page]
    assert len(figures) >= (
        0 if path.stem == "claims" else 1 if path.stem in ("verdict", "data") else 2
    )
    for page in figures:
        words = re.search(r'role="img" aria-label="([^"]*)"', page)[1]
        assert len(words) >= 40, f"alt text says too little: {words!r}"
        assert re.search(r"<figcaption><strong>Figure \d+\.</strong> \S", page)
        assert 'class="moat-download"' in page


def test_its_tables_speak_in_words(path):
    """Headings are no names of columns, and chips go by name."""
    ids = set(tables.load("chips")["id"])
    for page in html_outputs(path):
        headings = re.findall(r"<th[^>]*>([^<]*)</th>", page)
        assert not [head for head in headings if re.search(r"_|^(p05|p95|mape)$", head)]
        cells = re.findall(r"<td[^>]*>([^<]*)</td>", page)
        assert not [cell for cell in cells if cell in ids and "-" in cell]


def test_its_sources_are_in_the_table(path):
    known = set(tables.load("sources")["key"])
    cited = {
        key
        for page in html_outputs(path)
        for key in re.findall(r'href="references\.html#source-([^"]+)"', page)
    }
    assert cited <= known


def test_what_is_stored_is_small_clean_and_executed(path):
    # Validation holds a dot for each of some 2,100 runs, and lists their 170 sources below each of its tables.
    assert path.stat().st_size < 950_000
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    assert outputs, "not executed: run `moat refresh`"
    assert not [
        output
        for output in outputs
        if output.output_type == "error" or output.get("name") == "stderr"
    ]
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?://(?!\S*references)[^\s\"\\]*cdn|/tmp/|/home/", text)


def test_it_is_stored_as_refresh_stores_it(path):
    notebook = read(path)
    again = notebooks.normalised(notebook, notebook)
    assert [dict(cell.metadata) for cell in notebook.cells] == [
        dict(cell.metadata) for cell in again.cells
    ]
    # nbval takes a cell without a count as never run and refuses its outputs.
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


def test_captions_and_titles_have_no_marks_of_markdown(path):
    """A caption is no Markdown: one had shown its reader *cannot* with both stars."""
    for page in html_outputs(path):
        for told in re.findall(r"<figcaption>(.*?)(?:<span|<details|</figcaption>)", page, re.S):
            assert not re.search(r"\*\w[^*]*\*|`", told), told

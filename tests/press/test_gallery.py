"""The gallery: a record for every scenario, of its file as it is; a page that shows it and runs nothing."""

import ast
import json

import pytest

from training_moat.core.errors import InputError
from training_moat.press import gallery, notebooks, recorded, scenarios
from training_moat.press.folders import CHAPTERS

FOUND = {
    "same": 3,
    "changes": [
        {"chapter": "memory", "what": "answer", "first": "**a**", "second": "<b>", "ratio": None},
        {"chapter": "memory", "what": "total_gb", "first": 2.0, "second": 3.0, "ratio": 1.5},
    ],
    "figures": [{}, {}],
    "drawn": [
        {
            "chapter": "memory", "first": "old & finding", "second": "new",
            "drawn": '<figure id="figure-7"><div id="vis-1"></div><script data-chart="vis-1"></script>'
            '<figcaption><strong>Figure 7.</strong> <a download="figure-7.csv"></a></figcaption></figure>',
        }
    ],
    "verdicts": [
        {
            "title": "Memory", "quantity": "share", "first_grade": "mixed", "first_number": "1",
            "second_grade": "open", "second_number": "2",
        },
        {
            "title": "Market", "quantity": "chance", "first_grade": "open", "first_number": "1",
            "second_grade": "open", "second_number": "1",
        },
    ],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "FOLDER", tmp_path)
    text = "title: Mine <i>\nparameters: {memory: {chip: sn40l}}\nchips: {sn40l: {hbm_gb:}}\n"
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "told").mkdir()
    return tmp_path


def kept(folder, **changed):
    record = {**FOUND, "scenario": gallery.digest("mine"), **changed}
    (folder / "told" / "mine.json").write_text(json.dumps(record), encoding="utf-8")


def test_every_scenario_is_right_as_a_whole_and_no_record_is_of_another_file():
    assert scenarios.problems() == []
    assert len(gallery.names()) >= 9
    kept = [name for name in gallery.names() if gallery.record_path(name).is_file()]
    assert [name for name in kept if gallery.record(name) is None] == []


def test_the_page_shows_what_changed_then_and_now_and_names_are_text(folder):
    kept(folder)
    title, body = gallery.title_and_body("mine")
    assert title == "Mine <i>" and "<i>" not in body and "<b>" not in body
    assert "<dd><strong>a</strong></dd>" in body
    assert (
        "SN40L" in body
        and "High-bandwidth memory (HBM) left blank" in body
        and "(1.5 times)" in body
    )
    assert "hbm_gb" not in body and "total gb" in body  # a name that no chapter of the book records
    assert "Memory: The chip looked at closely</td><td>SN40L RDU (Cerulean)</td>" in body
    assert "1: mixed" in body and "2: open" in body and body.count("<td>the same</td>") == 1
    assert 'id="told-1-vis-1"' in body and 'data-chart="told-1-vis-1"' in body
    assert "<strong>Figure 1.</strong>" in body and 'download="figure-1.csv"' in body
    assert "Figure 7" not in body, "a figure has the number of its place here, not of its chapter"
    assert "old &amp; finding" in body and "1 more figure is" in body
    assert "<td>1 of 2</td><td>2</td>" in gallery.index()


def test_numbers_that_two_digits_do_not_tell_apart_are_the_same(folder):
    """A page had told that links give 97.764% of the speed where the book has 97.762%."""
    close = {
        "chapter": "memory",
        "what": "total_gb",
        "first": 0.97762,
        "second": 0.97764,
        "ratio": 1,
    }
    apart = {**close, "first": 71, "second": 72}  # chips are counted
    kept(folder, changes=[close, apart])
    assert gallery.record("mine")["changes"] == [apart] and gallery.record("mine")["same"] == 4
    body = gallery.title_and_body("mine")[1]
    assert "1 statement differs, 4 are the same" in body and "0.978" not in body
    assert "<td>1 of 2</td><td>1</td>" in gallery.index()


def test_numbers_are_named_in_words_and_every_one_that_a_chapter_records_has_some():
    asked = set()
    for path in CHAPTERS.glob("*.ipynb"):
        for cell in notebooks.read(path).cells:
            if cell.cell_type == "code":
                calls = [
                    node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)
                ]
                asked |= {
                    keyword.arg
                    for call in calls
                    if ast.unparse(call.func) == "figures.sentence"
                    for keyword in call.keywords
                }
    assert asked == set(recorded.meanings()) - {recorded.ANSWER}
    assert recorded.words("training_gb") == "memory to train the model (GB)"


def test_the_book_is_looked_at_with_the_chips_of_the_scenario(folder):
    """Else every statement would differ because it is about another chip."""
    asked = ("memory", "networking", "your_chip")
    (folder / "mine.yaml").write_text(
        "parameters: {networking: {chip: own-large}, memory: {chips: [own], seq_len: 64}}\n"
        "chips: {own: {base: h100-sxm, hbm_gb: 1}, own-large: {base: own}, new: {bf16_tflops: 1, hbm_gb: 1}}\n"
    )
    told = gallery.same_chips(gallery.loaded("mine"), asked)
    assert told == ["networking.chip=h100-sxm", "your_chip.chip=h100-sxm"]
    (folder / "mine.yaml").write_text("chips: {new: {bf16_tflops: 1, hbm_gb: 1}}\n")
    assert gallery.same_chips(gallery.loaded("mine"), asked) == []
    # Entries may also be a list.
    (folder / "mine.yaml").write_text("chips: [{id: own, base: h100-sxm, hbm_gb: 1}]\n")
    assert gallery.same_chips(gallery.loaded("mine"), asked) == ["your_chip.chip=h100-sxm"]


def test_a_scenario_and_its_record_are_read_once(folder, monkeypatch):
    kept(folder)
    reads = []
    read = gallery.scenarios._checked
    monkeypatch.setattr(gallery.scenarios, "_checked", lambda at: (reads.append(at), read(at))[1])
    gallery.title_and_body("mine"), gallery.index(), gallery.changed("mine")
    assert len(reads) == 1
    assert gallery.record("mine") is gallery.record("mine")


@pytest.mark.parametrize("change", ["other file", "no file", "no JSON"])
def test_a_record_of_another_file_is_not_shown(folder, change):
    kept(folder, scenario="another") if change == "other file" else None
    if change == "no JSON":
        (folder / "told" / "mine.json").write_text("{")
    assert gallery.record("mine") is None
    assert "moat gallery mine" in gallery.title_and_body("mine")[1] and "not run" in gallery.index()


def test_an_unknown_scenario_is_one_sentence(folder):
    with pytest.raises(InputError, match="did you mean 'mine'"):
        list(gallery.store(["mien"]))


def test_parameters_alone_move_no_verdict_and_the_page_says_so(folder):
    kept(folder, verdicts=[])
    assert (
        "no verdict can move" in gallery.title_and_body("mine")[1] and "none can" in gallery.index()
    )


def test_only_chapters_that_a_scenario_names_are_run_where_it_lays_nothing_over(
    folder, monkeypatch
):
    (folder / "mine.yaml").write_text("parameters: {memory: {chip: sn40l}}\n", encoding="utf-8")
    asked = []

    def compare(first, second, chapters, given):
        asked.append(list(chapters))
        return gallery.comparing.Comparison((first, second), (), 0)

    monkeypatch.setattr(gallery.comparing, "compare", compare)
    monkeypatch.setattr(gallery, "_verdicts", lambda path: [{"title": "x"}])
    assert gallery.told("mine")["verdicts"] == [] and asked == [["memory"]]
    (folder / "mine.yaml").write_text("chips: {sn40l: {hbm_gb: 1}}\n", encoding="utf-8")
    assert gallery.told("mine")["verdicts"] and asked[1] == list(gallery.CHAPTERS)


@pytest.mark.slow
def test_a_record_is_what_the_book_says_under_its_scenario():
    """The quickest of them; the others are made by the same command."""
    name = "inference-ten-to-one"
    if gallery.record(name) is None:
        pytest.skip("no record of it is kept; `moat gallery` makes them")
    assert json.loads(json.dumps(gallery.told(name))) == gallery.record(name)

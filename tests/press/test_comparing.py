"""Two settings beside each other: what differs is named, what is the same is counted, names are text."""

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from training_moat import cli
from training_moat.core.errors import InputError
from training_moat.press import comparing, output, recorded


def notebook(answer, title, **numbers):
    sentence = new_output(
        "execute_result",
        data={"text/plain": answer, "text/markdown": answer},
        metadata={"moat": numbers},
    )
    picture = new_output("display_data", data={"image/png": "AAAA"})
    figure = new_output(
        "display_data", data={"text/html": f'<p class="moat-title">{title} &amp; more</p>'}
    )
    return new_notebook(cells=[new_code_cell("x", outputs=[sentence, picture, figure])])


def compared(first, second):
    sides = ({"memory": comparing.told(each)} for each in (first, second))
    return comparing._compared(("one", "<b>two</b>"), *sides)


def test_equal_settings_tell_the_same():
    found = compared(notebook("a", "t", x=1.0), notebook("a", "t", x=1.0))
    assert found.changes == () and found.figures == {} and found.same == 2
    assert "tell the same" in comparing.lines(found)[0]


def test_a_setting_beside_itself_runs_nothing(monkeypatch):
    monkeypatch.setattr(comparing.building, "executed", None)
    found = comparing.compare("default", "default")
    assert "tell the same" in comparing.lines(found)[0] and comparing.record(found)["same"] is None
    assert "All statements are the same" in comparing.page(found)
    with pytest.raises(InputError, match="did you mean 'memory'"):
        comparing.compare("default", "default", ["memry"])


def test_a_page_replaces_one_of_ours_and_nobody_else_s(tmp_path, capsys):
    call = ["compare", "default", "default", "--out"]
    ours, thesis = tmp_path / "ours.html", tmp_path / "thesis.html"
    thesis.write_text("years of work")
    for _ in range(2):
        assert cli.main([*call, str(ours)]) == 0 and output.is_sealed(ours)
    capsys.readouterr()
    ours.write_text(ours.read_text().replace("All statements", "My statements"))
    for file in (thesis, ours):
        before = file.read_bytes()
        assert cli.main([*call, str(file)]) == 2 and file.read_bytes() == before
        assert "not as `moat compare` writes it" in capsys.readouterr().err


def test_what_differs_is_named_with_its_ratio():
    found = compared(notebook("a", "t", x=2.0, y=1), notebook("b", "u", x=3.0, y=1))
    assert [(c.what, c.ratio) for c in found.changes] == [("answer", None), ("x", 1.5)]
    (pair,) = found.figures["memory"]
    assert [side.title for side in pair] == ["t & more", "u & more"]
    record = comparing.record(found)
    assert record["changes"][1]["second"] == 3.0 and record["same"] == 1
    assert comparing.lines(found)[-1] == "2 statements changed, 1 is the same"


def test_a_figure_that_finds_the_same_is_told_in_one_title():
    first, second = (new_notebook(cells=notebook("a", "t").cells) for _ in range(2))
    second.cells[0].outputs[1].data["image/png"] = "BBBB"
    told = comparing.lines(compared(first, second))
    assert told[1:3] == ["  figure: t & more", "      drawn with other numbers"]


def test_names_are_text_in_the_page():
    shown = comparing.page(compared(notebook("<script>", "t"), notebook("b", "t")))
    assert "<b>two</b>" not in shown and "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_an_unknown_scenario_is_one_sentence():
    with pytest.raises(InputError, match="did you mean 'default'"):
        comparing.scenario_path("defualt")
    with pytest.raises(InputError, match="there is no scenario file"):
        comparing.scenario_path("nowhere.yaml")
    with pytest.raises(InputError, match="there is no scenario file"):
        comparing.scenario_path("nowhere.json")


def test_shares_are_told_in_per_cent_and_numbers_with_digits_enough_to_tell_them_apart():
    assert recorded.sides("optimizer_share", 0.6014, 0.5814) == ("60%", "58%")
    assert recorded.sides("sent_gb", 853.94, 49.4) == ("854", "49.4")
    assert recorded.sides("step_s", 1.2341, 1.2302) == ("1.234", "1.230")
    assert recorded.sides("training_chips", 69, 70) == ("69", "70")
    assert recorded.sides("answer", "a", None) == ("a", "nothing")
    assert recorded.words("optimizer_share").endswith("that the optimizer keeps")

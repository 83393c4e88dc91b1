"""The rule of grading is told once and printed everywhere from there."""

import json

from training_moat import claims
from training_moat.catalog.paths import root
from training_moat.press import pages

CHAPTERS = root() / "chapters"


def printed(name):
    cells = json.loads((CHAPTERS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    outputs = [out for cell in cells for out in cell.get("outputs", [])]
    return ["".join(out.get("data", {}).get("text/markdown", "")) for out in outputs]


def test_the_pages_that_grade_print_the_rule_of_the_code():
    for name in ("verdict", "claims"):
        assert claims.RULE in printed(name), name
    method = (CHAPTERS / "method.md").read_text(encoding="utf-8")
    assert claims.RULE in pages.fill(method) and claims.RULE not in method


def test_no_page_tells_the_rule_in_words_of_its_own():
    for path in [*CHAPTERS.glob("*.ipynb"), *CHAPTERS.glob("*.md")]:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            cells = json.loads(text)["cells"]
            text = "\n".join("".join(cell["source"]) for cell in cells)
        assert "every test passes" not in text and "holds *partly*" not in text, path.name


def test_every_grade_in_the_rule_is_a_grade_and_has_a_sentence():
    assert set(claims.SAYS) == set(claims.GRADES)
    for grade in ("strongly supported", "strongly against", "mixed", "open"):
        assert f"*{grade}*" in claims.RULE and grade in claims.GRADES

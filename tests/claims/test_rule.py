"""The rule of grading is told once and printed everywhere from there."""

import json

import pytest

from training_moat import claims
from training_moat.catalog import tables
from training_moat.catalog.paths import root
from training_moat.press import fillers

CHAPTERS = root() / "chapters"


def printed(name):
    cells = json.loads((CHAPTERS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    outputs = [out for cell in cells for out in cell.get("outputs", [])]
    return ["".join(out.get("data", {}).get("text/markdown", "")) for out in outputs]


def test_the_pages_that_grade_print_the_rule_of_the_code():
    for name in ("verdict", "claims"):
        assert claims.RULE in printed(name), name
    method = (CHAPTERS / "method.md").read_text(encoding="utf-8")
    assert claims.RULE in fillers.fill(method) and claims.RULE not in method


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


FACTOR = 1.5
MOST, NEARLY_ALL = (0.4, 0.5, 0.67), (0.8, 0.9, 0.95)


def by_factor(lenient: float, ours: float, strict: float) -> bool:
    """Whether the two lie a factor of one and a half to either side, to the digits they are written with."""
    if min(lenient, ours, strict) <= 0:
        return False
    steps = (max(ours / lenient, lenient / ours), max(strict / ours, ours / strict))
    return all(step == pytest.approx(FACTOR, rel=0.06) for step in steps)


def follows_the_convention(row) -> bool:
    """Whether a row's thresholds are those of the page on method."""
    told = tuple(row[name] for name in ("lenient", "threshold", "strict"))
    if any(told == pytest.approx(known, abs=0.005) for known in (MOST, NEARLY_ALL)):
        return True
    if row["unit"] not in ("share", "times"):
        lenient, ours, strict = told
        return max(abs(lenient - ours), abs(strict - ours)) <= 1 or by_factor(*told)
    gain, loss = (tuple(sign * (x - 1) for x in told) for sign in (1, -1))
    return by_factor(*told) or by_factor(*gain) or by_factor(*loss)


def test_every_threshold_follows_one_convention_or_says_why_it_does_not():
    for table in ("claim_tests", "article_predictions"):
        for row in tables.load(table).to_dict("records"):
            name = row.get("prediction") or f"{row['claim']}:{row['test']}"
            told = ", ".join(f"{row[one]:g}" for one in ("lenient", "threshold", "strict"))
            assert follows_the_convention(row) or ";" in row["reason"], (
                f"{name}: thresholds {told}; expected 0.4, 0.5, 0.67 (most), 0.8, 0.9, 0.95 (nearly all), a factor of "
                "1.5 to either side or, for counts, one; or a reason for another choice after a semicolon in `reason`"
            )


def test_few_cases_move_no_threshold():
    nearly_all = [
        row
        for table in ("claim_tests", "article_predictions")
        for row in tables.load(table).to_dict("records")
        if "nearly" in row["reason"].lower() and row["unit"] == "share"
    ]
    assert len(nearly_all) >= 4
    for row in nearly_all:
        assert (row["lenient"], row["threshold"], row["strict"]) == (0.8, 0.9, 0.95), row["reason"]


def test_a_claim_that_cannot_be_judged_is_said_by_the_check(monkeypatch):
    from training_moat.catalog import tables
    from training_moat.claims import problems

    assert problems() == []
    declared = tables.load("claim_tests")
    broken = declared.assign(deciding="no").replace({"measure": {"state_ratio": "state_ration"}})
    loaded = tables.load
    monkeypatch.setattr(
        tables, "load", lambda name: broken if name == "claim_tests" else loaded(name)
    )
    said = problems()
    assert any("needs exactly one deciding test" in each for each in said)
    assert any("did you mean 'state_ratio'" in each for each in said)

"""Equations of the chapters become MathML, or are refused by name."""

import pytest

from training_moat.press import equations
from training_moat.press.failures import WorkFailed


def test_an_equation_is_drawn_by_the_browser_itself():
    made = equations.mathml(
        r"t_\text{step} = \max\left(\frac{F}{R}, \sum_{i=1}^{n} b_i\right)", block=True
    )
    assert made.startswith('<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">')
    assert "<mfrac>" in made and "<msubsup>" in made and "<mtext>step</mtext>" in made


def test_aligned_lines_become_a_table():
    made = equations.mathml(r"\begin{aligned} a &= b \\ c &= d \end{aligned}")
    assert made.count("<mtr>") == 2 and "&<" not in made


@pytest.mark.parametrize(
    ("latex", "says"), [(r"\foo{a}", r"the command \\foo"), ("a &= b", "an alignment")]
)
def test_what_cannot_be_shown_is_named(latex, says):
    with pytest.raises(WorkFailed, match=says):
        equations.mathml(latex)


def test_pages_of_one_chapter_draw_them_and_keep_dollars():
    page = equations.markdown(html=False).render(
        "$x^2$ costs \\$5 to \\$6 <b>\n\n$$\n\\frac{a}{b}\n$$\n"
    )
    assert page.count("<math") == 2 and "costs $5 to $6 &lt;b&gt;" in page

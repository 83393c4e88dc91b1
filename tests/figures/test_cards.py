"""Cards: filters, escaping, and one sentence for bad input."""

import pandas as pd
import pytest

from training_moat import figures
from training_moat.core.errors import InputError

FRAME = pd.DataFrame(
    {
        "title": ["A <b> claim", "Another"],
        "verdict": ["supported", "open"],
        "argument": ["market", "memory"],
        "value": ["9 times", None],
        "page": ["market.html#x", "memory.html"],
        "keys": ["kaplan2020;hoffmann2022", "kaplan2020"],
    }
)


def drawn(**changes):
    given = dict(
        heading="title",
        badge="verdict",
        filters={"argument": "Argument", "verdict": "Verdict"},
        lines={"Found": "value"},
        caption="All claims.",
        source="kaplan2020",
        link="page",
        sources="keys",
    )
    return figures.cards(FRAME, **(given | changes)).forms["text/html"]


def test_one_card_per_row_with_its_filters_and_links():
    page = drawn()
    assert page.count('<details class="moat-card"') == 2 and page.count("<select") == 2
    assert 'data-argument="market" data-verdict="supported"' in page
    assert '<option value="open">open</option>' in page and 'href="market.html#x"' in page
    assert "references.html#source-hoffmann2022" in page


def test_text_is_escaped_and_blank_lines_left_out():
    page = drawn()
    assert "A &lt;b&gt; claim" in page and "<b>" not in page
    assert page.count("<dt>Found</dt>") == 1


def test_a_menu_may_be_of_any_column_and_a_card_lack_what_others_have():
    frame = FRAME.rename(columns={"argument": "of v. 2"})
    frame.loc[1, ["page", "keys"]] = None
    page = figures.cards(
        frame, heading="title", badge="verdict", filters={"of v. 2": "Argument"}, lines={}, link="page", sources="keys",
        caption="All claims, by a column with a dot.", source="kaplan2020",
    ).forms["text/html"]  # fmt: skip
    assert page.count("Where it is shown") == 1, "a card without a place or source has no link"
    assert '<option value="market">market</option><option value="memory">memory</option>' in page


def test_nothing_is_loaded_from_elsewhere_and_the_output_is_the_same_twice():
    page = drawn()
    assert "http" not in page.replace("http://www.w3.org", "")
    assert page == drawn()


@pytest.mark.parametrize(
    "changes, words",
    [
        (dict(badge="title"), "no colour for badge"),
        (dict(heading="titel"), "did you mean 'title'"),
        (dict(caption=""), "caption is empty"),
    ],
)
def test_bad_input_gets_one_sentence(changes, words):
    with pytest.raises(InputError, match=words):
        drawn(**changes)

"""A reader's settings may leave nothing to draw: the page says so and goes on; the book's own may not."""

import pandas as pd
import pytest

from training_moat import figures
from training_moat.core.errors import InputError
from training_moat.figures import parts

EMPTY = pd.DataFrame({"chip": [], "price": []})


def drawn():
    return figures.bars(EMPTY, value="price", category="chip", title="Prices", value_title="USD")


def test_a_figure_and_a_table_without_rows_are_a_sentence(monkeypatch):
    monkeypatch.delenv(parts.STRICT, raising=False)
    assert drawn() is parts.NOTHING
    figure = figures.publish(drawn(), caption="Prices of <chips>.", alt="Bars.", source="x")
    table = figures.table(EMPTY, caption="Prices of <chips>.", source="x")
    for said in (figure, table):
        assert "nothing to show of this: Prices of " in said.forms["text/markdown"]
        assert "<chips>" not in said.forms["text/markdown"]


def test_with_the_books_own_settings_they_are_an_error(monkeypatch):
    monkeypatch.setenv(parts.STRICT, "1")
    with pytest.raises(InputError, match="has no rows"):
        drawn()
    with pytest.raises(InputError, match="has no rows"):
        figures.table(EMPTY, caption="Prices.", source="x")

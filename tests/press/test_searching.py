"""The index of the plain search: pages that Sphinx did not read are in it, words that stand nowhere are not."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from sphinx.search import IndexBuilder, js_index

from training_moat.press import searching, site_index, workspace


def built(pages):
    """An index of pages of which Sphinx knows none."""
    searching.setup()
    parts = (
        *("titles", "filenames", "mapping", "title_mapping", "all_titles", "index_entries"),
        *("objtypes", "objnames"),
    )
    empty = {f"_search_index_{part}": {} for part in parts}
    environment = SimpleNamespace(version={"sphinx": 1}, domains={}, **empty)
    indexer = IndexBuilder(environment, "en", {}, "")
    for name, (title, body) in pages.items():
        searching.feed(indexer, f"chapters/{name}", title, searching.words(body))
    return indexer


PAGES = {
    "one": ("One & all", "<p>wafers <b>stack</b></p><script>var hidden</script>"),
    "two": ("Two", "<p>wafer&shy;s only</p>"),
}


def test_pages_that_sphinx_does_not_know_are_found_and_what_nobody_sees_is_not():
    indexer = built(PAGES)
    searching.keep(indexer, [f"chapters/{name}" for name in PAGES])
    indexer.prune([])
    found = indexer.freeze()
    assert found["docnames"] == ("chapters/one", "chapters/two")
    assert found["titles"] == ("One &amp; all", "Two")
    assert found["terms"]["stack"] == 0 and "hidden" not in found["terms"]
    assert found["terms"]["wafer"] == [0, 1], "by their stems"


def test_words_that_stand_on_no_page_any_more_go(tmp_path):
    indexer = built(PAGES)
    indexer.prune(["chapters/two"])
    with (tmp_path / "searchindex.js").open("w") as file:
        indexer.dump(file, js_index)
    searching.without_lost_words(tmp_path / "searchindex.js")
    text = (tmp_path / "searchindex.js").read_text()
    assert text.startswith("Search.setIndex({") and text.endswith("})")
    left = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    assert left["docnames"] == ["chapters/two"]
    assert "stack" not in left["terms"] and [] not in left["terms"].values()


def test_copies_of_pages_lie_where_the_next_build_sweeps_them(tmp_path, monkeypatch):
    """A build that is killed at its index leaves nothing elsewhere."""
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "one.html").write_text("<p>words</p>")

    def killed(call, **_):
        folder = Path(call[call.index("--site") + 1])
        assert folder.is_relative_to(workspace.WORK)
        assert (folder / "chapters" / "one.html").read_text() == "<p>words</p>"
        raise SystemExit

    monkeypatch.setattr(site_index.subprocess, "run", killed)
    with pytest.raises(SystemExit):
        site_index.index(tmp_path)

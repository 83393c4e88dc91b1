"""The bibliography names papers the tables cite, at the same addresses."""

import re

from training_moat.catalog import paths, tables


def entries():
    text = (paths.data_folder() / "references.bib").read_text(encoding="utf-8")
    return {
        key: body for key, body in re.findall(r"^@\w+\{([^,]+),\n(.*?)^\}", text, flags=re.M | re.S)
    }


def test_every_entry_is_a_source():
    assert set(entries()) <= set(tables.load("sources")["key"])


def test_addresses_and_titles_agree_with_the_sources():
    sources = tables.load("sources").set_index("key")
    for key, body in entries().items():
        eprint = re.search(r"eprint = \{([^}]+)\}", body)
        if eprint:
            assert eprint[1] in sources.loc[key, "url"], key
        title = re.search(r"title = \{\{(.*)\}\}", body)[1].replace("\\&", "&")
        assert title in sources.loc[key, "title"] or sources.loc[key, "title"].startswith(
            title.split(":")[0]
        ), key


def test_every_architecture_paper_is_in_the_bibliography():
    cited = {key for cell in tables.load("models")["source"] for key in cell.split(";")}
    papers = tables.load("sources").query("kind == 'paper'")["key"]
    assert cited & set(papers) <= set(entries())

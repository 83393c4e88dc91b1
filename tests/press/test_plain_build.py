"""A site made from stored outputs runs the pages of which none are stored, and nothing else."""

from training_moat.press import building, caching, page_sets, sphinx_book


def test_a_plain_build_runs_the_further_pages_alone(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(caching, "recall", lambda *_: None)
    monkeypatch.setattr(building, "execute_all", lambda jobs, keep: asked.extend(jobs) or [])
    copies = building.further_copies(tmp_path / "runs")
    names = [page.name for page in page_sets.further_pages()]
    assert [job.name for job in asked] == names == list(copies)
    assert all(job.parameters for job in asked)


def test_a_further_page_is_its_run_whether_an_edition_has_it_or_not(monkeypatch, tmp_path):
    page = page_sets.further_pages()[0]

    class App:
        moat_further = {page.name: tmp_path / "run.ipynb"}

    assert sphinx_book._copy_of(App(), page.name) == tmp_path / "run.ipynb"
    assert sphinx_book._copy_of(App(), "no-such-page") is None

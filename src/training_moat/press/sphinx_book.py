"""Sphinx extension of the book: everything that turns the book's folder into the site.

`jupyter-book build .` and `moat build` give the same site: the pages are filled from the tables
and the notebooks prepared as Sphinx reads them, figures get their scripts, the data is laid beside
the pages. `moat build` shows freshly executed copies (see edition.py); without it chapters show their
stored outputs, and the further pages, of which none are stored, are run here, in processes of their own.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import nbformat

from training_moat.core import processes
from training_moat.figures import offline
from training_moat.press import (
    caching,
    edition,
    equations,
    fillers,
    finishing,
    folders,
    forking,
    notebooks,
    output,
    page_sets,
    pages,
    searching,
    site_index,
)
from training_moat.press.folders import BUILD, CHAPTERS, DATA, PACKAGE, SCENARIOS

# Jupyter Book always sets these; their extensions name or load other hosts and are not used here.
_UNUSED = ("comments_config", "thebe_config", "intersphinx_mapping")
# The theme draws these buttons, with icons of its own, once it knows the repository.
_BUTTONS = {
    "use_repository_button": True,
    "use_issues_button": True,
    "launch_buttons": {
        "notebook_interface": "jupyterlab",
        "binderhub_url": "https://mybinder.org",
        "colab_url": "https://colab.research.google.com",
    },
}


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    for name in _UNUSED:
        if name not in app.config.values:
            app.add_config_value(name, {}, "")
    equations.setup(app)
    searching.setup()
    steps = {
        "config-inited": _prepare,
        "builder-inited": _begin,
        "env-get-outdated": _outdated,
        "env-before-read-docs": _ahead,
        "env-updated": _updated,
        "source-read": _read,
        "html-collect-pages": _further,
        "html-page-context": _scripts,
    }
    for event, step in steps.items():
        app.connect(event, step)
    # After the theme's own last steps, which write files that the marker names.
    app.connect("build-finished", _finish, priority=900)
    return {"parallel_read_safe": False, "parallel_write_safe": True}


def _prepare(app: Any, config: Any) -> None:
    """Look for pages in chapters/ only; add the figures' scripts and the reader's words to every page."""
    others = {path.name for path in Path(app.srcdir).iterdir()} - {CHAPTERS.name}
    config.exclude_patterns = [*config.exclude_patterns, *sorted(others)]
    assets = BUILD / f"assets-{offline.bundle_version()}"
    offline.write_assets(assets)
    config.html_static_path = [*config.html_static_path, str(assets)]
    if public := finishing.repository():
        known = {"repository_url": public, "repository_branch": "main", "path_to_docs": ""}
        config.html_theme_options = dict(config.html_theme_options) | known | _BUTTONS
    shown = edition.current()
    if shown.words:
        # The theme shows the title as it is in one place and escaped in another.
        title = " ".join(re.sub(r"""[<>&"'`]""", " ", shown.title).split())[:80]
        config.html_title = f"{title} ({config.html_title}, re-run)"
        banner = {"announcement": html.escape(f"Not the book as published. {shown.words}.")}
        config.html_theme_options = dict(config.html_theme_options) | banner


def _begin(app: Any) -> None:
    app.add_css_file(offline.STYLE)
    app.moat_foreign = set(output.all_foreign(Path(app.outdir)))
    app.moat_further = {} if edition.current().folder else _run_further(Path(app.doctreedir))


def _run_further(doctrees: Path) -> dict[str, Path]:
    # It renders sites by Sphinx, and only a plain build needs it here.
    from training_moat.press import building

    folder = doctrees / "further-runs"
    shutil.rmtree(folder, ignore_errors=True)
    return building.further_copies(folder)


def _copy_of(app: Any, name: str) -> Path | None:
    """The executed copy of a further page."""
    return edition.current().copy_of(name) or app.moat_further.get(name)


def _outdated(app: Any, env: Any, *_: Any) -> list[str]:
    """Pages to be read again though their files are as they were, which is all that Sphinx looks at.

    Every one, when tables or code changed: pages are filled from them. Else those whose executed copy is another, and
    the first, without which Sphinx would not come to the pages that are no files of the book.
    """
    files = [path for path in [*DATA.rglob("*"), CHAPTERS / "parameters.yml"] if path.is_file()]
    code = caching.digest_files(caching.package_files(caching.run_rooms() + ["press"]), PACKAGE)
    state = caching.digest_files(files) + code
    before, env.moat_state = getattr(env, "moat_state", None), state
    app.moat_shown, env.moat_shown = getattr(env, "moat_shown", {}), _shown(app, env)
    if before != state:
        app.moat_shown = {}
        return sorted(env.found_docs)
    changed = {name for name in env.found_docs if app.moat_shown.get(name) != env.moat_shown[name]}
    return sorted({*changed, app.config.root_doc})


def _shown(app: Any, env: Any) -> dict[str, str]:
    """Digest of what each page shows of its own: its file or its executed copy."""
    named = {name: Path(env.doc2path(name)) for name in env.found_docs}
    files = {name: [edition.current().copy_of(path.stem) or path] for name, path in named.items()}
    for page in page_sets.further_pages():
        copy = _copy_of(app, page.name)
        files[f"{CHAPTERS.name}/{page.name}"] = [copy] if copy else []
    for path in SCENARIOS.glob("*.yaml"):
        record = SCENARIOS / "told" / f"{path.stem}.json"
        files[f"{CHAPTERS.name}/scenario-{path.stem}"] = [path, record]
    return {
        name: "".join(folders.digest(path) for path in paths if path.is_file())
        for name, paths in files.items()
    }


def _updated(app: Any, env: Any) -> list[str]:
    """Pages to be written again: every one where titles, headings or what links point at has changed, as all pages show
    the book's contents and link to one another."""
    if forking.possible():  # pages are read in their order, and written side by side
        app.parallel = os.cpu_count() or 1
    known = env.get_domain("std").data
    formulas = env.get_domain("math").data["objects"]
    outline = [
        sorted((name, title.astext()) for name, title in env.titles.items()),
        sorted((name, toc.pformat()) for name, toc in env.tocs.items()),
        *(repr(sorted(kind.items())) for kind in (known["labels"], known["anonlabels"], formulas)),
    ]
    state = folders.digest_of(outline)
    changed = getattr(env, "moat_outline", None) != state
    env.moat_outline = state
    if changed:
        app.moat_shown = {}
    return sorted(env.found_docs) if changed else []


def _read(app: Any, docname: str, source: list[str]) -> None:
    """Fill a page from the tables; prepare a notebook, the edition's executed copy where there is one."""
    path = Path(app.env.doc2path(docname))
    if path.suffix != ".ipynb":
        source[0] = fillers.fill(source[0])
        return
    copy = edition.current().copy_of(path.stem)
    text = copy.read_text(encoding="utf-8") if copy is not None else source[0]
    notebook, _ = pages.prepared(nbformat.reads(text, as_version=4), path.stem)
    source[0] = nbformat.writes(notebook)


def _makers(app: Any) -> dict[str, Callable[[], tuple[str, str]]]:
    """What makes title and body of each page that is no file of the book."""
    from training_moat.press import gallery  # it compares runs, which only its pages need

    makers: dict[str, Callable[[], tuple[str, str]]] = {}
    for page in page_sets.further_pages():
        copy = _copy_of(app, page.name)
        makers[page.name] = partial(page_sets.title_and_body, page, copy)
    if (CHAPTERS / "gallery.md").is_file():
        makers |= {f"scenario-{n}": partial(gallery.title_and_body, n) for n in gallery.names()}
    return makers


def _ahead(app: Any, *_: Any) -> None:
    """Render the pages that are no files of the book in another process, while this one reads those that are."""
    stale = {name: make for name, make in _makers(app).items() if _stale(app, name)}
    pool = processes.pool(1, fork=True) if stale and forking.possible() else None
    app.moat_ahead = {name: pool.submit(make) for name, make in stale.items()} if pool else {}


def _further(app: Any) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The pages that are no files of the book, as far as they have changed: further runs of chapters, and the gallery's
    scenarios. All of them are found by the search, for which their words are kept."""
    kept, said = Path(app.doctreedir, "further.json"), {}
    known = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    for name, make in _makers(app).items():
        if name not in known or _stale(app, name):
            title, body = app.moat_ahead[name].result() if name in app.moat_ahead else make()
            known[name] = [title, searching.words(body)]
            yield _made(name, title, body)
        said[name] = known[name]
        searching.feed(app.builder.indexer, f"{CHAPTERS.name}/{name}", *said[name])
    searching.keep(app.builder.indexer, (f"{CHAPTERS.name}/{name}" for name in said))
    kept.write_text(json.dumps(said), encoding="utf-8")


def _stale(app: Any, name: str) -> bool:
    """Whether the page is not there as it is now."""
    page = f"{CHAPTERS.name}/{name}"
    same = app.moat_shown.get(page) == app.env.moat_shown[page]
    return not (same and Path(app.outdir, f"{page}.html").is_file())


def _made(name: str, title: str, body: str) -> tuple[str, dict[str, Any], str]:
    shown = html.escape(title)  # the theme prints `pagetitle` on paper, in place of the body's own
    context = {"title": shown, "pagetitle": shown, "body": body}
    return f"{CHAPTERS.name}/{name}", context, "page.html"


def _scripts(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Only pages with figures load what draws them; every page says in its head what it is."""
    body = context.get("body", "")
    if "data-chart=" in body:
        for name in (offline.BUNDLE, offline.SCRIPT):
            app.add_js_file(name)
    if page.startswith(f"{CHAPTERS.name}/"):
        made = finishing.head(context.get("title", ""), body, page, app.config.project)
        context["metatags"] = context.get("metatags", "") + made


def _finish(app: Any, error: Exception | None) -> None:
    """Lay the data and the executed notebooks beside the pages, and mark the site as ours."""
    if error is not None or app.builder.format != "html":
        return
    site = Path(app.outdir)
    shutil.copytree(DATA, site / "data", dirs_exist_ok=True)
    for docname in app.env.found_docs:
        copy = edition.current().copy_of(Path(docname).name)
        if copy is not None:
            shutil.copyfile(copy, site / "_sources" / f"{docname}.ipynb")
    searching.without_lost_words(site / "searchindex.js")
    listed = notebooks.toc_pages()
    finishing.finish(site, listed, app.config.html_title, listed[0])
    site_index.index(site)
    output.mark(site, leave_out=app.moat_foreign)

"""`moat run`: one chapter as an executed notebook and as one HTML file that opens anywhere, without a server."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable
from pathlib import Path

import nbformat
from markdown_it import MarkdownIt
from markupsafe import Markup

from training_moat.core.whole_files import write_text
from training_moat.figures import offline, publishing
from training_moat.press import caching, edition, equations, markup, notebooks, output, pages
from training_moat.press.folders import BUILD
from training_moat.press.running import Job, execute
from training_moat.press.scenarios import Request, frozen, request
from training_moat.press.workspace import workspace

_TITLE = re.compile(r"^# .*$", re.M)


def run(
    chapter: str, given: Iterable[str] = (), scenario: str | None = None, out: str | None = None
) -> list[Path]:
    """Run one chapter; returns the executed notebook and the page, written whole or not at all.

    Raises InputError before a kernel starts when chapter, parameter, scenario or folder is wrong,
    WorkFailed when a cell fails.
    """
    notebooks.chapter_file(chapter)
    folder = output.page_folder(out, chapter)
    asked = request([chapter], given, scenario)
    with workspace() as work:
        wanted = frozen(asked, work)
        values = wanted.by_chapter[chapter]
        before, found = caching.run_state(), caching.found_folder(caching.inputs(wanted.rows))
        job = Job(chapter, work / f"{chapter}.ipynb", values, wanted.environment, found)
        execute(job)
        if caching.run_state() == before:
            caching.keep_found(job.left, found)
        notebook = notebooks.read(job.target)
        texts = {f"{chapter}.ipynb": _sealable(notebook, chapter, wanted)}
        texts[f"{chapter}.html"] = render(notebook, chapter, wanted)
        output.page_folder(out, chapter)
        for name, text in texts.items():
            write_text(folder / name, output.sealed(text))
    return [folder / name for name in texts]


def _sealable(notebook: notebooks.NotebookNode, chapter: str, wanted: Request) -> str:
    """The executed notebook as text, with what was asked for and the place of its digest."""
    changed = json.loads(json.dumps(wanted.changed, default=str))
    notebook.metadata["moat"] = {"chapter": chapter, "changed": changed, "seal": output.UNSEALED}
    return nbformat.writes(notebook) + "\n"


def render(notebook: notebooks.NotebookNode, chapter: str, wanted: Request) -> str:
    """The executed notebook as one self-contained page: text, folded code, figures, no other file needed."""
    notebook, sources = pages.prepared(notebook, chapter)
    shown = "\n".join([body(notebook), pages.cited(sources)])
    shown = shown.replace(f'href="{publishing.REFERENCES}#', 'href="#')
    assets = {
        path.name: path.read_text(encoding="utf-8")
        for path in offline.write_assets(BUILD / f"assets-{offline.bundle_version()}")
    }
    words = edition.words(wanted, chapter) or "run with its defaults"
    scripts = [Markup(_inert(assets[name])) for name in (offline.BUNDLE, offline.SCRIPT)]
    return markup.page(
        "standalone.html", seal=output.UNSEALED, chapter=chapter, words=words, scripts=scripts,
        name=" | ".join(filter(None, [title(notebook) or chapter, wanted.title])),
        style=Markup(assets[offline.STYLE]), shown=Markup(shown),
    )  # fmt: skip


_UNSHOWN = {"remove-cell", "parameters", "injected-parameters"}
"""Tags of cells that a page of the site leaves out: imports and checks, and the parameters that its title names."""

_ANSWER = '<div class="cell tag_answer"><div class="cell_output"><div class="output text_markdown">{}</div></div></div>'
"""How the site's own chapters mark their first computed sentence."""


def body(notebook: notebooks.NotebookNode, headless: bool = False) -> str:
    """The cells of a page's notebook as HTML, the code folded below what it shows.

    headless: as a page of the site, without the title at its top and with its answer set apart.
    """
    prose, computed = equations.markdown(html=True), equations.markdown(html=False)
    parts = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(
                prose.render(_TITLE.sub("", cell.source, count=1) if headless else cell.source)
            )
        elif cell.cell_type == "code" and not (headless and _UNSHOWN & {*notebooks.tags(cell)}):
            shown = "\n".join(_output(one, computed) for one in cell.outputs)
            if headless and "answer" in notebooks.tags(cell):
                shown = _ANSWER.format(shown)
            code = html.escape(cell.source)
            parts += [
                shown,
                f"<details class=moat-code><summary>code</summary><pre>{code}</pre></details>",
            ]
    return "\n".join(parts)


def title(notebook: notebooks.NotebookNode) -> str | None:
    """The notebook's first heading."""
    prose = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return next((found[0][2:] for found in map(_TITLE.search, prose) if found), None)


def _inert(script: str) -> str:
    """A script that cannot end its own element early."""
    return script.replace("</script", "<\\/script")


def _output(shown: notebooks.NotebookNode, markdown: MarkdownIt) -> str:
    data = shown.get("data", {})
    if "text/html" in data:
        return data["text/html"]
    if "text/markdown" in data:
        return markdown.render(data["text/markdown"])
    if "image/png" in data:
        # Each chart is drawn from its specification right below; the PNG is for print and for no scripts.
        words = html.escape(str(data.get("text/plain", "")), quote=True)
        picture = base64.b64encode(base64.b64decode(data["image/png"])).decode()
        return f'<div class="output"><img class="moat-print" alt="{words}" src="data:image/png;base64,{picture}"></div>'
    words = shown.get("text") or data.get("text/plain") or ""
    return f"<pre>{html.escape(words)}</pre>" if words else ""

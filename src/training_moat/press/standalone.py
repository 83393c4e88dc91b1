"""`moat run`: one chapter as an executed notebook and as one HTML file that opens anywhere, without a server."""

from __future__ import annotations

import base64
import html
import tempfile
from collections.abc import Iterable
from pathlib import Path

from markdown_it import MarkdownIt

from training_moat.figures import offline
from training_moat.press import notebooks, pages
from training_moat.press.folders import BUILD, beside, output_folder, write_text
from training_moat.press.running import Job, execute
from training_moat.press.scenarios import Request, request

_STYLE = """
:root { color-scheme: light dark; --pst-color-text-muted: #666; --pst-color-border: #8886; --pst-color-background: Canvas; }
body { font: 16px/1.6 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 1rem; }
details { margin: 0.6rem 0; font-size: 0.85rem; } pre { overflow-x: auto; padding: 0.6rem; border: 1px solid #8884; }
summary { cursor: pointer; color: #767b85; } img { max-width: 100%; }
"""


def run(
    chapter: str, given: Iterable[str] = (), scenario: str | None = None, out: str | None = None
) -> list[Path]:
    """Run one chapter; returns the executed notebook and the page, written whole or not at all.

    Raises InputError before a kernel starts when chapter, parameter or scenario is wrong, WorkFailed
    when a cell fails.
    """
    notebooks.chapter_file(chapter)
    folder = output_folder(out)
    wanted = request([chapter], given, scenario)
    with tempfile.TemporaryDirectory() as work:
        copy = execute(
            Job(
                chapter,
                Path(work) / f"{chapter}.ipynb",
                wanted.by_chapter[chapter],
                wanted.environment,
            )
        )
        notebook = notebooks.read(copy)
        page = render(notebook, chapter, wanted)
        targets = [folder / f"{chapter}.ipynb", folder / f"{chapter}.html"]
        with beside(targets[0]) as fresh:
            fresh.write_bytes(copy.read_bytes())
        write_text(targets[1], page)
    return targets


def render(notebook: notebooks.NotebookNode, chapter: str, wanted: Request) -> str:
    """The executed notebook as one self-contained page: text, folded code, figures, no other file needed."""
    pages.name_sources(notebook, f"chapters/{chapter}.ipynb")
    markdown = MarkdownIt("commonmark", {"html": True}).enable("table")
    parts = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(markdown.render(cell.source))
        elif cell.cell_type == "code":
            parts.append(
                f"<details><summary>code</summary><pre>{html.escape(cell.source)}</pre></details>"
            )
            parts += [_output(output, markdown) for output in cell.outputs]
    assets = {
        path.name: path.read_text(encoding="utf-8")
        for path in offline.write_assets(BUILD / "assets")
    }
    chosen = (
        ", ".join(f"{name} = {value}" for name, value in wanted.by_chapter[chapter].items())
        or "defaults"
    )
    title = next(
        (
            line[2:]
            for cell in notebook.cells
            for line in cell.source.splitlines()
            if line.startswith("# ") and cell.cell_type == "markdown"
        ),
        chapter,
    )
    return (
        f'<!doctype html>\n<html lang="en" data-theme="auto"><head><meta charset="utf-8">\n<title>{html.escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{_STYLE}{assets[offline.STYLE]}</style></head>\n'
        f"<body><p><small>The Training Moat, chapter {html.escape(chapter)}, run with {html.escape(chosen)}</small></p>\n"
        + "\n".join(parts)
        + f"\n<script>{_inert(assets[offline.BUNDLE])}</script>\n<script>{_inert(assets[offline.SCRIPT])}</script></body></html>\n"
    )


def _inert(script: str) -> str:
    """A script that cannot end its own element early."""
    return script.replace("</script", "<\\/script")


def _output(output: notebooks.NotebookNode, markdown: MarkdownIt) -> str:
    data = output.get("data", {})
    if "text/html" in data:
        return data["text/html"]
    if "text/markdown" in data:
        return markdown.render(data["text/markdown"])
    if "image/png" in data:
        # Each chart is drawn from its specification right below; the PNG is for print and for no scripts.
        words = html.escape(str(data.get("text/plain", "")), quote=True)
        picture = base64.b64encode(base64.b64decode(data["image/png"])).decode()
        return f'<div class="output"><img class="moat-print" alt="{words}" src="data:image/png;base64,{picture}"></div>'
    words = output.get("text") or data.get("text/plain") or ""
    return f"<pre>{html.escape(words)}</pre>" if words else ""

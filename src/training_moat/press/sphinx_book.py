"""Sphinx extension of the book: keeps Jupyter Book's settings for extensions that we leave out from being errors."""

from __future__ import annotations

from typing import Any

# Jupyter Book always sets these; their extensions name or load other hosts and are not used here.
_UNUSED = ("comments_config", "thebe_config", "intersphinx_mapping")


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    for name in _UNUSED:
        if name not in app.config.values:
            app.add_config_value(name, {}, "")
    return {"parallel_read_safe": True, "parallel_write_safe": True}

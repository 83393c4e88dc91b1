"""Where things are."""

from __future__ import annotations

from pathlib import Path

from training_moat.catalog import paths

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = paths.root()
CHAPTERS = ROOT / "chapters"
DATA = ROOT / "data"
BUILD = paths.build_folder()
SCENARIOS = ROOT / "scenarios"
STATIC = ROOT / "_static"

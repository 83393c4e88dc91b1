"""Where things are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from training_moat.catalog import paths

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = paths.root()
CHAPTERS = ROOT / "chapters"
DATA = ROOT / "data"
BUILD = paths.build_folder()
SCENARIOS = ROOT / "scenarios"
STATIC = ROOT / "_static"


def digest(path: Path) -> str:
    """Hash of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digest_of(content: Any) -> str:
    """Hash of anything that JSON can say."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

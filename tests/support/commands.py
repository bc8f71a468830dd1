"""Commands for processes of their own."""

from __future__ import annotations

import sys
from pathlib import Path


def train_command(package: str, run: Path, *words: str) -> list[str]:
    """``toolkit train`` with a plugin and dataset that stand in one file, into the folder ``run``."""
    python = [sys.executable, "-m", "toolkit"]
    return [*python, "train", "--plugin", package, "--data", package, "--out", str(run), *words]

"""A hash of the code of a plugin, which shows whether it has changed since a run."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from toolkit.registry.manifests import Manifest


def code_hash(manifest: Manifest) -> str:
    """The first 16 digits of the sha256 of the Python files that a plugin, dataset or evaluator was found in:
    its file, or all files of its folder with their names. Empty when it came from an installed package, whose
    version gives the same information.
    """
    origin = Path(manifest.origin)
    files = sorted(origin.rglob("*.py")) if origin.is_dir() else [origin]
    digest = hashlib.sha256()
    try:
        for file in files:
            if origin.is_dir():
                digest.update(os.fsencode(file.relative_to(origin).as_posix()))
            digest.update(file.read_bytes())
    except OSError:
        return ""
    return digest.hexdigest()[:16]

"""The engine ``detectron2``."""

from __future__ import annotations

from importlib import metadata


def is_installed() -> bool:
    """Whether Detectron2 is installed; imports nothing."""
    try:
        metadata.version("detectron2")
    except metadata.PackageNotFoundError:
        return False
    return True


class Detectron2Engine:
    """To come in the next commit."""

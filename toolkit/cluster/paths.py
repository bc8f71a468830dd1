"""Paths that mean the same from any folder."""

from __future__ import annotations

import os

from toolkit.models.prompted import FROM
from toolkit.models.simulated_prompts import AUTO


def absolute_prompts(prompts: str | None) -> str | None:
    """A source of prompts, as in ``toolkit.load``, whose path does not depend on the current folder."""
    if prompts is None or prompts == AUTO:
        return prompts
    if prompts.startswith(FROM):
        return f"{FROM}{os.path.abspath(prompts.removeprefix(FROM))}"
    return os.path.abspath(prompts)

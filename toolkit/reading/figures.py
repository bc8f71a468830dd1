"""The metrics that a run writes while it trains: one JSON object per line and step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ConfigDict
from pydantic_core import from_json

from toolkit.errors import DataError
from toolkit.reading.fields import Count, Number, Schema
from toolkit.reading.files import read_bytes
from toolkit.reading.records import judge

METRICS_FILE = "metrics.jsonl"


def read_figures(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl that are records of a step; lines that were cut short by a kill, or that
    somebody else wrote there, are skipped.
    """
    data = read_bytes(path, "the metrics of a run", DataError)
    return [figures for line in data.splitlines() if (figures := _figures(line)) is not None]


def _figures(line: bytes) -> dict[str, Any] | None:
    try:
        figures = from_json(line)
    except ValueError:
        return None
    found, faults = judge(figures, _Figures)
    return None if faults else {"step": found.step, **(found.model_extra or {})}


class _Figures(Schema):
    """A line of metrics.jsonl."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Number | None]

    step: Count

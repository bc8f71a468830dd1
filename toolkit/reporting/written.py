"""Writes a report: the page, and the JSON beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.errors import UsageError
from toolkit.reporting import PAGE
from toolkit.reporting.document import build_document
from toolkit.reporting.findings import Findings
from toolkit.reporting.page import render
from toolkit.runtime.files import atomic_write

SUFFIXES = (".html", ".htm")


@dataclass(frozen=True)
class WrittenReport:
    """A report on disk.

    Attributes:
        path: the page.
        json_path: the same figures.
        document: what is in the latter.
    """

    path: Path
    json_path: Path
    document: Mapping[str, Any]


def page_path(out: str | os.PathLike[str]) -> Path:
    """The path of a page.

    Raises:
        UsageError: when it has another suffix.
    """
    path = Path(out)
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"a report is a page, and {path} does not end in .html. Hint: --out"
            f" {path.with_suffix('.html') if path.suffix else path / PAGE}"
        )
    return path


def write_report(findings: Findings, out: str | os.PathLike[str]) -> WrittenReport:
    """Write the page to ``out``, and the document beside it under the same name with ``.json``.

    Raises:
        UsageError: when ``out`` does not end in ``.html``.
        OutputError: when a file cannot be written.
    """
    path = page_path(out)
    json_path = path.with_suffix(".json")
    document, pictures = build_document(findings)
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    with atomic_write(json_path, "w") as file:
        file.write(_encodable(text) + "\n")
    with atomic_write(path, "w") as file:
        file.write(_encodable(render(document, pictures)))
    return WrittenReport(path, json_path, document)


def _encodable(text: str) -> str:
    """Halves of characters, as file names may hold, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()

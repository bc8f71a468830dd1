"""The page and the JSON beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_cases import EVERY_KIND, A, findings_of, with_objects

from toolkit.errors import UsageError
from toolkit.reporting.written import page_path, write_report


def test_both_files_have_the_same_figures(tmp_path: Path) -> None:
    written = write_report(findings_of(("a", "b"), EVERY_KIND), tmp_path / "deep" / "mine.html")
    assert written.path.read_text().startswith("<!DOCTYPE html>")
    assert written.json_path == tmp_path / "deep" / "mine.json"
    assert json.loads(written.json_path.read_text()) == written.document


def test_a_name_whose_bytes_are_not_utf_8_is_written(tmp_path: Path) -> None:
    pairs = [with_objects("caf\udce9", [(0, A)], [], [])]
    written = write_report(findings_of(("a",), pairs), tmp_path / "report.html")
    assert "caf\\xe9" in written.path.read_text()
    assert "caf\\\\udce9" in written.json_path.read_text() or "caf\\udce9" in written.json_path.read_text()


@pytest.mark.parametrize(("given", "hint"), [("out.pdf", "out.html"), ("folder", "folder/report.html")])
def test_another_suffix_is_an_error_with_a_name_that_works(given: str, hint: str) -> None:
    with pytest.raises(UsageError, match=rf"Hint: --out {hint}"):
        page_path(given)
    assert page_path(hint) == Path(hint)

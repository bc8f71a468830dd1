"""Paths that go to other machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.cluster.paths import absolute_prompts


@pytest.mark.parametrize(
    ("given", "want"),
    [(None, None), ("auto", "auto"), ("from:runs/a", "from:{}/runs/a"), ("points.csv", "{}/points.csv")],
)
def test_prompts_are_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, want: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_prompts(given) == (want.format(tmp_path) if want else None)

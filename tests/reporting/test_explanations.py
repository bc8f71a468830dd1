"""Explanations in a report: their scores, some maps, and files that are not what they should be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from report_cases import EVERY_KIND, findings_of

from toolkit.errors import ToolkitError
from toolkit.reporting.document import build_document
from toolkit.reporting.explanations import MOST_MAPS, explanation_section, read_explanations
from toolkit.reporting.page import render
from toolkit.reporting.parts import Gallery, Table

SUMMARY = {
    "maps": 3,
    "deletion_better": 3,
    "insertion_better": 2,
    "deletion": 0.1,
    "insertion": 0.8,
    "random": 0.4,
    "pointing": {"games": 3, "hits": 2},
    "random_weights": {"maps": 3, "passed": 3, "correlation": 0.05},
}


def written(folder: Path, count: int = 3, **changes: Any) -> Path:
    (folder / "overlays").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    for number in range(count):
        name = f"overlays/{number}.jpg"
        cv2.imwrite(str(folder / name), np.full((20, 30, 3), 90, np.uint8))
        images.append(
            {
                "image": f"{number}.jpg",
                "status": "ok",
                "target": {"kind": "class", "class": "<b>cow</b>"},
                "outputs": {"overlay": name, "array": "maps/0.npy"},
                "scores": {"faithfulness": {"verdict": "no better than chance", "draws": 10}},
            }
        )
    images.append({"image": "empty.jpg", "status": "empty", "error": "nothing"})
    content = {"method": "drise", "layer": None, "summary": SUMMARY, "images": images, "finished": True}
    (folder / "explanations.json").write_text(json.dumps(content | changes))
    return folder


def test_a_page_shows_scores_and_maps(tmp_path: Path) -> None:
    found = read_explanations([written(tmp_path / "a"), written(tmp_path / "b", 0, summary={}, layer="x")])
    document, pictures = build_document(replace(findings_of(("a", "b"), EVERY_KIND), explanations=found))
    json.dumps(document, allow_nan=False)
    section = explanation_section(document, pictures)
    assert section is not None
    table, gallery = section.parts
    assert isinstance(table, Table)
    assert isinstance(gallery, Gallery)
    assert table.rows[0][:8] == ["drise", "", 3, 3, 2, 0.1, 0.8, 0.4]
    assert table.rows[0][8:] == ["2 of 3", 0.05]
    assert table.rows[1] == ["drise", "x", 0, *[None] * 7]
    assert len(gallery.cards) == 3
    assert gallery.cards[0].says == "<b>cow</b>, no better than chance"
    assert all(card.picture.startswith("data:image/jpeg;base64,") for card in gallery.cards)
    page = render(document, pictures)
    assert "Explanations" in page
    assert "&lt;b&gt;cow" in page
    assert "<b>cow" not in page


def test_without_explanations_there_is_no_section() -> None:
    document, pictures = build_document(findings_of(("a", "b"), EVERY_KIND))
    assert document["explanations"] == []
    assert explanation_section(document, pictures) is None
    assert read_explanations([]).entries == []


def test_a_method_whose_maps_are_noise_is_named(tmp_path: Path) -> None:
    poor = SUMMARY | {"deletion_better": 1, "insertion_better": 0}
    found = read_explanations([written(tmp_path / "a", summary=poor)])
    section = explanation_section({"explanations": found.entries}, found.pictures)
    assert section is not None
    assert section.lead[-1] == "Most maps of drise are no better than chance."


def test_only_some_maps_are_shown(tmp_path: Path) -> None:
    found = read_explanations([written(tmp_path / "a", MOST_MAPS + 3)])
    assert len(found.pictures) == MOST_MAPS
    section = explanation_section({"explanations": found.entries}, found.pictures)
    assert section is not None
    gallery = section.parts[1]
    assert isinstance(gallery, Gallery)
    assert gallery.title == f"Maps of drise, {MOST_MAPS} of {MOST_MAPS + 3}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 3}, "images"),
        ({"summary": {"maps": "many"}}, "maps"),
        (
            {"images": [{"image": "a", "status": "ok", "outputs": {"overlay": "../../secret.jpg"}}]},
            "secret.jpg",
        ),
        ({"images": [{"image": "a", "status": "ok", "outputs": {"overlay": "gone.jpg"}}]}, "gone.jpg"),
    ],
)
def test_damaged_files_are_errors(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolkitError, match=message):
        read_explanations([written(tmp_path / "a", 1, **changes)])


def test_a_folder_without_explanations_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match=r"has no explanations\.json\. Hint: name the folder"):
        read_explanations([tmp_path])

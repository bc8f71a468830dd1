"""The sections with images."""

from __future__ import annotations

from typing import Any

import pytest
from report_cases import EVERY_KIND, findings_of

from toolkit.evaluation.coco import Coco, CocoSettings
from toolkit.evaluation.report import Report
from toolkit.reporting.card_sections import gallery, place_of, single_images, suspects
from toolkit.reporting.document import build_document
from toolkit.reporting.parts import Figure, Gallery, Table


def document_of(*reports: Report) -> dict[str, Any]:
    return build_document(findings_of(("a", "b"), EVERY_KIND, reports))[0]


def test_single_images_have_a_distribution_and_the_worst_and_best_of_them() -> None:
    coco = Coco(CocoSettings(), ("a", "b"))
    for sample, prediction in EVERY_KIND:
        coco.update([sample], [prediction])
    section = single_images(document_of(coco.report()), {})
    assert section is not None
    figure, table, worst, best = section.parts
    assert isinstance(figure, Figure)
    assert figure.title == "segm/F1 of single images (coco)"
    assert "median" in figure.note
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows][:3] == ["bbox/F1", "bbox/wrong", "bbox/missed"]
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert "nothing to compare: in 1 image." in table.notes[0]
    assert isinstance(worst, Gallery)
    assert worst.title == "The worst images"
    assert worst.cards[0].says == "segm/F1 0.000; 1 object; 1 confused"
    assert isinstance(best, Gallery)
    assert [(card.place, card.says) for card in best.cards] == [("right", "segm/F1 1.000; 1 object")]


def test_without_figures_of_images_they_are_ranked_by_their_errors() -> None:
    section = single_images(document_of(), {})
    assert section is not None
    worst, best = section.parts
    assert isinstance(worst, Gallery)
    assert isinstance(best, Gallery)
    assert worst.cards[0].says == "1 object; 1 invented"
    assert [card.place for card in best.cards] == ["right"]
    assert single_images(build_document(findings_of(("a",), []))[0], {}) is None


def test_galleries_can_be_filtered_by_what_they_have() -> None:
    document = document_of()
    section = gallery(document, {})
    assert section is not None
    (part,) = section.parts
    assert isinstance(part, Gallery)
    assert list(part.kinds) == ["missed", "invented", "confused", "outlined", "duplicate"]
    assert part.classes == ["a", "b"]
    section = suspects(document, {})
    assert section is not None
    (part,) = section.parts
    assert isinstance(part, Gallery)
    assert [card.rank for card in part.cards] == [str(i + 1) for i in range(len(part.cards))]


@pytest.mark.parametrize(
    ("image", "file", "shown"),
    [("a", None, "a"), ("a", "a.jpg", "a.jpg"), ("day/a", "a.jpg", "a.jpg (day/a)")],
)
def test_an_image_is_named_once_where_its_file_says_it_all(image: str, file: str | None, shown: str) -> None:
    assert place_of({"image": image, "file": file}) == shown

"""Reports of models that classify whole images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from report_cases import Given, gray

from toolkit.evaluation.driver import PredictedBatch
from toolkit.evaluation.protocols import PLAIN
from toolkit.evaluation.report import Report
from toolkit.reporting.card_sections import gallery, single_images, suspects
from toolkit.reporting.document import build_document
from toolkit.reporting.findings import Findings
from toolkit.reporting.image_labels import image_cases, image_in_words
from toolkit.reporting.observer import Observer
from toolkit.reporting.parts import Gallery
from toolkit.reporting.sections import classes, data
from toolkit.types import Prediction

CLASSES = ("cat", "dog", "owl")
SEEN = [
    (0, [0.9, 0.1, 0.0]),
    (0, [0.2, 0.8, 0.0]),
    (1, [0.1, 0.7, 0.2]),
    (2, [0.0, 0.6, 0.4]),
    (1, [0.3, 0.6, 0.1]),
]


def findings() -> Findings:
    samples = [
        gray(f"s{i}", path=f"/photos/s{i}.jpg").with_(extras={"of_image": torch.eye(len(CLASSES))[label]})
        for i, (label, _) in enumerate(SEEN)
    ]
    predictions = [
        Prediction(sample.id, sample.size, extras={"of_image": torch.tensor(found)})
        for sample, (_, found) in zip(samples, SEEN, strict=True)
    ]
    observer = Observer(CLASSES)
    observer.add(PredictedBatch(0, 0, samples, {PLAIN: predictions}, {}, 0.0))
    right = [float(max(found) == found[label]) for label, found in SEEN]
    report = Report(
        "accuracy",
        {"top1": 0.6},
        {"accuracy": [0.5, 1.0, 0.0]},
        CLASSES,
        images=tuple(sample.id for sample in samples),
        per_image={"right": right},
    )
    return Findings("run", "photos", "val", Given(CLASSES, samples), [report], observer, 0.5)


def test_an_image_of_another_class_is_an_error_that_weighs_by_how_sure_the_model_is() -> None:
    (case,) = image_cases(3, (20, 30), 2, torch.tensor([0.0, 0.75, 0.25]))
    assert (case.kind, case.image, case.label, case.other) == ("confused", 3, 2, 1)
    assert (case.box, case.probability, case.weight) == ((0, 0, 30, 20), 0.75, 0.5)
    assert image_cases(3, (20, 30), 1, torch.tensor([0.0, 0.75, 0.25])) == []
    assert image_in_words(2, torch.tensor([0.0, 0.75, 0.25]), CLASSES) == "labeled owl, predicted dog (0.75)"


def test_the_document_counts_images_and_names_errors_and_suspects() -> None:
    document, pictures = build_document(findings())
    assert document["data"]["classes"] == [
        {"name": "cat", "images": 2},
        {"name": "dog", "images": 2},
        {"name": "owl", "images": 1},
    ]
    assert [entry["image"] for entry in document["worst_images"]] == ["s1", "s3"]
    assert document["worst_images"][0]["says"] == "labeled cat, predicted dog (0.80)"
    assert [(each["image"], each["box"]) for each in document["errors"]["most_telling"]] == [
        ("s1", None),
        ("s3", None),
    ]
    assert [(each["kind"], each["image"]) for each in document["suspects"]] == [
        ("image", "s1"),
        ("image", "s3"),
    ]
    assert document["suspects"][0]["says"] == "labeled cat, but the model sees dog, with probability 0.80"
    # half of what is seen as a dog is one, with a mean probability of 0.65
    assert document["suspects"][0]["weight"] == pytest.approx(0.6 * 0.5)
    keys = {each["picture"] for each in (*document["worst_images"], *document["suspects"])}
    assert keys <= pictures.keys()


def test_the_sections_are_about_images() -> None:
    document, pictures = build_document(findings())
    for build in (single_images, gallery, suspects):
        section = build(document, pictures)
        assert section is not None
        assert not [line for line in section.lead if "on the left" in line], "there is only one picture"
        assert any(isinstance(part, Gallery) and part.cards for part in section.parts)
    section = classes(document, pictures)
    assert section is not None
    assert list(section.parts[0].columns) == ["class", "images", "accuracy"]  # type: ignore[union-attr]
    assert section.parts[0].rows[0] == ["cat", 2, 0.5]  # type: ignore[union-attr]
    shown = data(document, pictures)
    assert shown is not None
    assert Path("/photos/s1.jpg").name in str(document["worst_images"][0]["file"])

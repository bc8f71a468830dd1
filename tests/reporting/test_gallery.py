"""Which errors, suspected labels and images are shown."""

from __future__ import annotations

import numpy as np
from report_cases import EVERY_KIND, A, B, Given, findings_of, objects, with_label_maps, with_objects

from toolkit.evaluation.report import Report
from toolkit.reporting.cases import KINDS
from toolkit.reporting.gallery import Gallery
from toolkit.types import Prediction

CLASSES = ("a", "b")


def test_one_error_of_each_kind_with_its_picture() -> None:
    gallery = Gallery(findings_of(CLASSES, EVERY_KIND))
    errors = gallery.errors()
    assert [entry["kind"] for entry in errors] == list(KINDS)
    assert all(entry["image"] == entry["kind"] for entry in errors)
    assert gallery.counts == {**dict.fromkeys(KINDS, 1), "right": 4}
    assert gallery.draw().keys() == {entry["picture"] for entry in errors}
    assert all(uri.startswith("data:image/jpeg") for uri in gallery.pictures.values())


def test_the_worst_images_have_errors_and_the_right_ones_are_left_out() -> None:
    worst = Gallery(findings_of(CLASSES, EVERY_KIND)).worst()
    assert {entry["image"] for entry in worst} == set(KINDS)
    assert next(entry for entry in worst if entry["image"] == "missed")["errors"] == {"missed": 1}


def test_label_maps_are_ranked_by_their_iou() -> None:
    truth = np.zeros((40, 40), np.uint8)
    truth[:, 20:] = 1
    half, none = truth.copy(), truth.copy()
    half[:10, 20:] = 0
    none[:] = 0
    pairs = [
        with_label_maps(name, truth, seen)
        for name, seen in [("right", truth), ("half", half), ("none", none)]
    ]
    gallery = Gallery(findings_of(CLASSES, pairs))
    assert [entry["image"] for entry in gallery.worst()] == ["none", "half"]
    assert [entry["image"] for entry in gallery.errors()] == ["none", "half"]
    suspects = gallery.suspects()
    assert [(entry["rank"], entry["kind"], entry["class"], entry["taken_for"]) for entry in suspects] == [
        (1, "region", "b", "a"),
        (2, "region", "b", "a"),
    ]


def test_answers_are_worst_where_they_overlap_least() -> None:
    pairs = []
    for name, box in [("good", A), ("poor", (5, 5, 25, 12)), ("fair", (5, 5, 25, 15))]:
        sample, _ = with_objects(name, [(0, A)], [], [])
        pairs.append((sample, Prediction(name, sample.size, instances=objects([(0, box)], [0.9]))))
    gallery = Gallery(findings_of(CLASSES, pairs, protocol="box"))
    assert [entry["image"] for entry in gallery.worst()] == ["poor", "fair"]
    assert [entry["image"] for entry in gallery.errors()] == ["poor", "fair"]
    assert [entry["image"] for entry in gallery.suspects()] == ["poor", "fair"]


def test_each_image_is_read_once_and_only_if_it_is_shown() -> None:
    findings = findings_of(CLASSES, EVERY_KIND)
    gallery = Gallery(findings)
    for entries in (gallery.errors, gallery.suspects, gallery.worst):
        entries()
    gallery.draw()
    assert isinstance(findings.dataset, Given)
    assert findings.dataset.reads == len(KINDS)


def test_a_file_is_shown_by_its_name_without_its_folder() -> None:
    sample, prediction = with_objects("a/b", [(0, A)], [(1, B)], [0.9])
    sample = sample.with_(path="/home/someone/secret/a/b.jpg")
    entries = Gallery(findings_of(CLASSES, [(sample, prediction)])).errors()
    assert {(entry["image"], entry["file"]) for entry in entries} == {("a/b", "b.jpg")}


def test_no_images_have_no_errors() -> None:
    gallery = Gallery(findings_of(CLASSES, []))
    assert gallery.errors() == gallery.suspects() == gallery.worst() == []
    assert gallery.draw() == {}


def test_images_are_ranked_by_the_figure_that_an_evaluator_has_of_them() -> None:
    names = tuple(sample.id for sample, _ in EVERY_KIND)
    values = [0.5, 1.0, 0.25, 0.75, 0.25, float("nan"), 0.875]
    report = Report("own", {}, images=names, per_image={"quality": values})
    gallery = Gallery(findings_of(CLASSES, EVERY_KIND, [report]))
    worst = gallery.worst()
    assert [entry["image"] for entry in worst] == ["invented", "outlined", "right", "confused", "empty"]
    assert [entry["value"] for entry in worst] == [0.25, 0.25, 0.5, 0.75, 0.875]
    assert {entry["ranked_by"] for entry in worst} == {"quality"}
    assert [entry["image"] for entry in gallery.best()] == ["missed"]


def test_where_less_is_better_the_highest_are_the_worst() -> None:
    names = tuple(sample.id for sample, _ in EVERY_KIND)
    values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    report = Report(
        "own", {"error": 3.0}, lower_is_better=("error",), images=names, per_image={"error": values}
    )
    gallery = Gallery(findings_of(CLASSES, EVERY_KIND, [report]))
    assert [entry["value"] for entry in gallery.worst()] == [6, 5, 4, 3, 2, 1]
    assert [entry["image"] for entry in gallery.best()] == ["right"]


def test_the_best_images_are_none_of_the_worst_and_those_with_more_objects_come_first() -> None:
    pairs = [with_objects(str(i), [(0, A), (1, B)][: i % 2 + 1], [], []) for i in range(4)]
    report = Report("own", {}, images=tuple("0123"), per_image={"quality": [1.0, 1.0, 1.0, 0.5]})
    gallery = Gallery(findings_of(CLASSES, pairs, [report]))
    assert [entry["image"] for entry in gallery.best()] == ["1", "0", "2"]
    assert [entry["image"] for entry in gallery.worst()] == ["3"]

"""Shapes become results of the most exact tag that a project has for them."""

from __future__ import annotations

import numpy as np
import pytest
from support.annotated import blobs, predictor

from toolkit.annotate.label_studio_results import missing_labels, results_of, score_of
from toolkit.annotate.shapes import Shape, shapes_of
from toolkit.formats.brush import decode_brush
from toolkit.formats.label_config import LabelConfig, parse_config

SIZE = (30, 40)


def config(*tags: str, labels: tuple[str, ...] = ("cat", "dog")) -> LabelConfig:
    inner = "".join(f'<Label value="{name}"/>' for name in labels)
    controls = "".join(f'<{tag} name="{tag.lower()}" toName="img">{inner}</{tag}>' for tag in tags)
    controls = controls.replace(
        '<Choices name="choices" toName="img">' + inner,
        '<Choices name="choices" toName="img">' + inner.replace("Label", "Choice"),
    )
    return parse_config(f'<View><Image name="img" value="$image"/>{controls}</View>', "x")


def shapes(kind: str) -> list[Shape]:
    one = predictor(kind)
    return shapes_of(one.predict(np.zeros((*SIZE, 3), np.uint8)), one.classes, 0.5)


def test_brushes_pixel_by_pixel() -> None:
    found = results_of(shapes("masks"), config("RectangleLabels", "PolygonLabels", "BrushLabels"), SIZE)
    assert [each["type"] for each in found] == ["brushlabels"] * 2
    for number, each in enumerate(found):
        assert each["value"]["brushlabels"] == [["cat", "dog"][number]]
        assert (decode_brush(each["value"]["rle"], SIZE, "x") == blobs(SIZE)[number]).all()
        assert (each["from_name"], each["to_name"], each["readonly"]) == ("brushlabels", "img", False)
        assert (each["original_width"], each["original_height"], each["image_rotation"]) == (40, 30, 0)
    assert [each["score"] for each in found] == [0.875, 0.625]
    assert len({each["id"] for each in found}) == 2


def test_polygons_and_rectangles_where_there_is_no_brush() -> None:
    found = results_of(shapes("masks"), config("PolygonLabels"), SIZE)
    assert [each["value"]["polygonlabels"] for each in found] == [["cat"], ["cat"], ["dog"]]
    points = np.array(found[2]["value"]["points"])
    assert points.min(0) == pytest.approx([100 * 13 / 40, 100 * 10 / 30])
    assert points.max(0) == pytest.approx([100 * 28 / 40, 100])
    for kind in ("masks", "boxes"):
        found = results_of(shapes(kind), config("RectangleLabels"), SIZE)
        assert [each["type"] for each in found] == ["rectanglelabels"] * 2
        value = found[1]["value"]
        assert [value[name] for name in ("x", "y", "width", "height")] == pytest.approx(
            [32.5, 100 / 3, 37.5, 200 / 3]
        )


def test_classes_of_images() -> None:
    (result,) = results_of(shapes("classes"), config("Choices"), SIZE)
    assert (result["type"], result["value"], result["score"]) == ("choices", {"choices": ["dog"]}, 0.75)
    assert "original_width" not in result


def test_what_the_project_has_no_tag_or_label_for() -> None:
    assert results_of(shapes("boxes"), config("BrushLabels"), SIZE) == []
    assert results_of(shapes("masks"), config("Choices"), SIZE) == []
    (result,) = results_of(shapes("masks"), config("BrushLabels", labels=("Dog",)), SIZE)
    assert result["value"]["brushlabels"] == ["Dog"]
    assert missing_labels(("cat", "dog"), config("BrushLabels", labels=("Dog",))) == ["cat"]
    # the brush lacks the label, the polygon has it
    one = parse_config(
        '<View><Image name="img" value="$i"/>'
        '<BrushLabels name="b" toName="img"><Label value="cow"/></BrushLabels>'
        '<PolygonLabels name="p" toName="img"><Label value="dog"/></PolygonLabels></View>',
        "x",
    )
    assert [each["type"] for each in results_of(shapes("masks"), one, SIZE)] == ["polygonlabels"]


def test_scores_of_tasks() -> None:
    assert score_of(shapes("masks")) == 0.625
    assert score_of(shapes("semantic")) is None
    assert score_of([]) is None

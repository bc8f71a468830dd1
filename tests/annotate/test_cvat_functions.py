"""The functions for CVAT, run by the driver of its SDK, and their masks decoded by it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from cvat_sdk import auto_annotation, models
from cvat_sdk.auto_annotation import BadFunctionError, driver
from cvat_sdk.masks import decode_mask
from PIL import Image
from support.annotated import CLASSES, blobs, predictor
from toolkit.plugins.sam2.model import build
from toolkit.plugins.sam2.settings import Sam2Settings

from toolkit.annotate import cvat
from toolkit.annotate.cvat import CvatDetector, CvatInteractor
from toolkit.errors import InvalidDataError, UsageError
from toolkit.inference.interactive import Session
from toolkit.inference.predictor import Predictor

SIZE = (30, 40)


@dataclass
class Server:
    """What the driver needs of a client, and what it uploads."""

    labels: list[tuple[str, str]]
    images: list[Image.Image]
    uploaded: list[tuple[str, Any]] = field(default_factory=list)
    logger: logging.Logger = logging.getLogger("cvat")  # noqa: RUF009 - one for all

    @property
    def tasks(self) -> Any:
        def update(task: int, *, labeled_data_request: Any) -> None:
            self.uploaded.append(("replace", labeled_data_request))

        def add(action: str, task: int, *, patched_labeled_data_request: Any) -> None:
            self.uploaded.append((action, patched_labeled_data_request))

        api = SimpleNamespace(update_annotations=update, partial_update_annotations=add)
        return SimpleNamespace(api=api)


@pytest.fixture(autouse=True)
def _dataset_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver gets its images from the server above, without a network."""

    def dataset(client: Server, task: int, **_: Any) -> Any:
        labels = [
            SimpleNamespace(id=100 + number, name=name, type=kind, attributes=[], sublabels=[])
            for number, (name, kind) in enumerate(client.labels)
        ]
        samples = [
            SimpleNamespace(
                frame_index=index,
                frame_name=f"{index}.png",
                media=SimpleNamespace(load_image=lambda image=image: image),
            )
            for index, image in enumerate(client.images)
        ]
        return SimpleNamespace(labels=labels, samples=samples)

    monkeypatch.setattr(driver, "TaskDataset", dataset)


def photos(*modes: str) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    return [Image.fromarray(pixels).convert(mode) for mode in modes or ("RGB",)]


def annotated(kind: str, *labels: tuple[str, str], images: Any = None, **options: Any) -> Any:
    server = Server([*labels] or [("dog", "any"), ("cat", "any")], photos() if images is None else images)
    auto_annotation.annotate_task(server, 7, CvatDetector(predictor(kind)), **options)  # type: ignore[arg-type]
    ((action, data),) = server.uploaded
    assert action == ("replace" if options.get("clear_existing") else "create")
    return data


@pytest.mark.parametrize("kind", ["masks", "semantic"])
def test_masks_pixel_by_pixel(kind: str) -> None:
    data = annotated(kind, images=photos("RGB", "L", "P", "RGBA", "I;16"))
    expected = blobs(SIZE)
    if kind == "semantic":
        expected[0] &= ~expected[1]
        expected[:, -1] = False
    assert data.tags == []
    assert [(shape.frame, shape.label_id) for shape in data.shapes] == [
        (frame, label) for frame in range(5) for label in (101, 100)
    ]
    for number, shape in enumerate(data.shapes):
        assert (shape.type.value, shape.source) == ("mask", "auto")
        assert (decode_mask(shape.points, image_width=40, image_height=30) == expected[number % 2]).all()
    scores = [getattr(shape, "score", None) for shape in data.shapes[:2]]
    assert scores == ([0.875, 0.625] if kind == "masks" else [None, None])


def test_boxes_tags_and_thresholds() -> None:
    data = annotated("boxes")
    assert [(shape.type.value, shape.points) for shape in data.shapes] == [
        ("rectangle", [0, 0, 37, 28]),
        ("rectangle", [13, 10, 28, 30]),
    ]
    assert len(annotated("masks", conf_threshold=0.1).shapes) == 3
    assert annotated("masks", conf_threshold=0.9).shapes == []
    data = annotated("classes", ("dog", "tag"), ("cat", "tag"), clear_existing=True)
    assert data.shapes == []
    assert [tag.label_id for tag in data.tags] == [100]


def test_polygons_instead_of_masks() -> None:
    data = annotated("masks", ("dog", "polygon"), ("cat", "polygon"), conv_mask_to_poly=True)
    assert [(shape.type.value, shape.label_id) for shape in data.shapes] == [
        ("polygon", 101),
        ("polygon", 101),
        ("polygon", 100),
    ]
    first, second, third = data.shapes
    assert first.group == second.group != 0
    assert not hasattr(third, "group")
    assert sorted(third.points[::2])[::3] == [13, 28]


def test_labels_that_the_task_lacks() -> None:
    with pytest.raises(BadFunctionError, match="label 'dog' is not in dataset"):
        annotated("masks", ("cat", "any"))
    assert len(annotated("masks", ("cat", "any"), allow_unmatched_labels=True).shapes) == 1
    with pytest.raises(BadFunctionError, match="'mask' in the function, but 'rectangle' in the dataset"):
        annotated("masks", ("cat", "rectangle"), ("dog", "any"))


def test_the_background_is_no_label() -> None:
    for kind, gives in (("semantic", "mask"), ("boxes", "rectangle"), ("classes", "tag")):
        spec = CvatDetector(predictor(kind)).spec
        assert [(label.name, label.type) for label in spec.labels] == [(name, gives) for name in CLASSES]


def ask(function: CvatInteractor, image: Image.Image, pos: Any = (), neg: Any = (), box: Any = None) -> Any:
    prompts = SimpleNamespace(pos_points=pos, neg_points=neg, bounding_box=box)
    context = SimpleNamespace()
    return function.detect(context, function.preprocess_image(context, image), prompts)  # type: ignore[arg-type]


def test_clicks_and_boxes() -> None:
    function = CvatInteractor(predictor("prompts"))
    (image,) = photos()
    (shape,) = ask(function, image, [(20.5, 10.5)], box=((3, 4), (8, 9)))
    mask = decode_mask([int(each) for each in shape.points], image_width=40, image_height=30)
    expected = np.zeros(SIZE, bool)
    expected[8:13, 18:23] = expected[4:9, 3:8] = True
    assert (mask == expected).all()
    assert [(each.spec_id, float(each.value)) for each in shape.attributes] == [(0, 0.75)]
    assert isinstance(shape.attributes[0], models.AttributeValRequest)
    assert ask(function, image) == []
    assert ask(function, image, neg=[(1, 1)]) == [], "an empty mask is no shape"
    (corner,) = ask(function, image, [(40, 30)])
    assert corner.points[-2:] == [39, 29]
    with pytest.raises(InvalidDataError, match="lies outside the image"):
        ask(function, image, [(41, 3)])
    with pytest.raises(InvalidDataError, match="does not overlap"):
        ask(function, image, box=((-9, 4), (0, 9)))


def test_the_same_answers_as_a_session() -> None:
    """With a real promptable model."""
    torch.manual_seed(0)
    settings = Sam2Settings(size="toy", image_size=64, rough_masks=False, cache={"enabled": False})
    one = Predictor(build(settings, CLASSES), device="cpu")
    (image,) = photos()
    session = Session(one, image, refine=False)
    session.box(5, 4, 25, 20)
    session.point(12, 9)
    expected = session.point(30, 25, positive=False).numpy()
    found = ask(CvatInteractor(one), image, [(12, 9)], [(30, 25)], ((5, 4), (25, 20)))
    mask = np.zeros(SIZE, bool)
    if found:
        mask = decode_mask([int(each) for each in found[0].points], image_width=40, image_height=30)
    assert expected.any()
    assert (mask == expected).all()


def test_what_cvats_command_line_creates(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(run: str, **options: Any) -> Predictor:
        asked.append((run, options))
        return predictor("prompts" if run == "sam" else "masks")

    monkeypatch.setattr(cvat, "load", load)
    assert isinstance(cvat.create(run="net", device="cpu"), CvatDetector)
    assert isinstance(cvat.create(run="sam", kind="interaction", precision="bf16"), CvatInteractor)
    assert asked == [
        ("net", {"device": "cpu", "precision": "fp32"}),
        ("sam", {"device": "auto", "precision": "bf16"}),
    ]
    with pytest.raises(UsageError, match="takes no prompts"):
        cvat.create(run="net", kind="interaction")
    with pytest.raises(UsageError, match="detection, interaction or tracking, not 'both'"):
        cvat.create(run="net", kind="both")  # type: ignore[arg-type]

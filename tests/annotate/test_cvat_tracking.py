"""The tracking function follows objects with the memory of the model's own tracking, frame by frame."""

from __future__ import annotations

from itertools import islice
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from cvat_sdk.auto_annotation import TrackableShape
from cvat_sdk.masks import decode_mask, encode_mask
from PIL import Image
from support.annotated import predictor

pytest.importorskip(
    "toolkit.plugins.sam2.upstream",
    reason="needs the package sam2: see toolkit plugins info sam2",
    exc_type=ImportError,
)

from toolkit.plugins.sam2.model import build
from toolkit.plugins.sam2.settings import Sam2Settings

from toolkit.annotate.cvat_tracking import CvatTracker
from toolkit.errors import DataError, UsageError
from toolkit.inference.predictor import Predictor
from toolkit.models.capabilities import Trackable
from toolkit.types import Masks, Prompts, Sample

SIZE = (60, 80)
CONTEXT: Any = SimpleNamespace(original_shape_type="mask")


def video() -> list[np.ndarray]:
    noise = np.random.default_rng(0).integers(0, 90, (*SIZE, 3), dtype=np.uint8)
    frames = [noise.copy() for _ in range(4)]
    for index, frame in enumerate(frames):
        cv2.circle(frame, (20 + 4 * index, 25), 12, (40, 200, 240), -1)
    return frames


@pytest.fixture(scope="module")
def tracked() -> Predictor:
    """A toy that says of everything that it is there: random weights find nothing."""
    torch.manual_seed(0)
    settings = Sam2Settings(
        size="toy", image_size=128, mask="best", rough_masks=False, cache={"enabled": False}
    )
    model = build(settings, ("cell",))
    with torch.no_grad():
        model.network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(5.0)
    return Predictor(model, device="cpu")


@pytest.mark.parametrize("kind", ["mask", "rectangle"])
def test_the_same_as_tracking_the_whole_video(tracked: Predictor, kind: str) -> None:
    frames = video()
    disk = np.zeros(SIZE, np.uint8)
    cv2.circle(disk, (20, 25), 12, 1, -1)
    mask = disk.astype(bool)
    box = [8.0, 13.0, 33.0, 38.0]
    prompts = (
        Prompts(boxes_xyxy=torch.tensor([box]), labels=torch.tensor([0]))
        if kind == "rectangle"
        else Prompts(masks=Masks.from_dense(mask[None]), labels=torch.tensor([0]))
    )
    samples = [Sample(str(i), torch.from_numpy(frame).permute(2, 0, 1)) for i, frame in enumerate(frames)]
    model = tracked.model.capability(Trackable)
    assert model is not None
    with tracked.computing():
        # SAM 2 measures how long ago a frame was by the length of the video, up to 16 frames
        longer = [*samples, *samples[-1:] * 16]
        expected = [*islice(model.track(longer, {0: [prompts]}), len(samples))][1:]
    function = CvatTracker(tracked)
    points = box if kind == "rectangle" else encode_mask(mask)
    images = [function.preprocess_image(CONTEXT, Image.fromarray(frame)) for frame in frames]
    state = function.init_tracking_state(CONTEXT, images[0], TrackableShape(type=kind, points=points))
    for image, whole in zip(images[1:], expected, strict=True):
        shape = function.track(CONTEXT, image, state)
        assert whole.instances is not None
        assert whole.instances.masks is not None
        dense = whole.instances.masks.dense().numpy()
        if not dense.any():
            assert shape is None
            continue
        assert shape is not None
        assert shape.type == kind
        if kind == "mask":
            found = decode_mask([int(each) for each in shape.points], image_width=80, image_height=60)
            assert (found == dense[0]).all()
        else:
            assert shape.points == whole.instances.masks.boxes_xyxy()[0].tolist()
    assert any(whole.instances is not None and len(whole.instances) for whole in expected)


def test_what_cannot_be_tracked(tracked: Predictor) -> None:
    with pytest.raises(UsageError, match="masks model cannot track objects"):
        CvatTracker(predictor("masks"))
    function = CvatTracker(tracked)
    assert function.spec.supported_shape_types == {"mask", "rectangle"}
    image = function.preprocess_image(CONTEXT, Image.fromarray(video()[0]))
    for kind, points, message in (
        ("polygon", [1, 1, 5, 1, 5, 5], "a polygon cannot be tracked"),
        ("mask", [4, 0, 0, 90, 1], "extends beyond the image"),
    ):
        with pytest.raises(DataError, match=message):
            function.init_tracking_state(CONTEXT, image, TrackableShape(type=kind, points=points))

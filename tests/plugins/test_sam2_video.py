"""Tracking against the package's own video predictor, with the same weights on the same frames."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from toolkit import registry
from toolkit.inference.frames import open_frames
from toolkit.types import Prompts

pytest.importorskip("sam2")

COUNT = 9


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    noise = np.random.default_rng(0).integers(0, 90, (60, 80, 3), dtype=np.uint8)
    for index in range(COUNT):
        picture = noise.copy()
        cv2.circle(picture, (20 + 4 * index, 25), 12, (40, 200, 240), -1)
        cv2.rectangle(picture, (50 - 2 * index, 35), (70 - 2 * index, 50), (230, 60, 40), -1)
        cv2.imwrite(str(folder / f"{index}.jpg"), picture)
    return folder


@pytest.fixture(scope="module")
def model() -> Any:
    plugin = registry.plugins().get("sam2")
    torch.manual_seed(0)
    built = plugin.resolve(plugin.build)(plugin.resolve(plugin.settings)(size="toy"), ("thing",)).eval()
    with (
        torch.no_grad()
    ):  # random weights find nothing: say that objects are there, and make masks of both signs
        built.network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(5.0)
    return built


PROMPTS = {
    0: [Prompts(boxes_xyxy=torch.tensor([[8.0, 13, 32, 37]]))],
    2: [Prompts(torch.tensor([[[56.0, 42], [5, 5]]]), torch.tensor([[1, 0]]))],
}


def upstream(model: Any, folder: Path) -> dict[int, torch.Tensor]:
    """Mask logits ``[objects, 1, H, W]`` of each frame, by the package alone."""
    from toolkit.plugins.sam2 import video
    from toolkit.plugins.sam2.upstream import build_network

    filled = model.settings.filled()
    predictor: Any = build_network(
        model.settings.version, model.settings.size, filled.image_size, video.VIDEO
    )
    predictor.load_state_dict(model.network.state_dict())
    predictor.eval()
    with contextlib.redirect_stderr(io.StringIO()), torch.autocast("cpu", dtype=torch.bfloat16):
        state = predictor.init_state(str(folder))
        predictor.add_new_points_or_box(state, 0, 0, box=[8.0, 13, 32, 37])
        predictor.add_new_points_or_box(state, 2, 1, points=[[56.0, 42], [5, 5]], labels=[1, 0])
        return {index: logits for index, _, logits in predictor.propagate_in_video(state)}


def test_masks_are_those_of_the_package(model: Any, frames: Path) -> None:
    expected = upstream(model, frames)
    found = list(model.track(open_frames(frames), PROMPTS))
    assert len(found) == len(expected) == COUNT
    seen = 0
    for index, prediction in enumerate(found):
        masks = {
            int(label): mask
            for label, mask in zip(
                prediction.instances.labels, prediction.instances.masks.dense(), strict=True
            )
        }
        for number, logits in enumerate(expected[index][:, 0]):
            wanted = logits > 0
            mask = masks.get(number, torch.zeros_like(wanted))
            certain = logits.abs() > 1e-3  # OpenCV and torch round the interpolation differently
            assert torch.equal(mask[certain], wanted[certain])
            seen += int(wanted.any() and not wanted.all())
    assert seen >= COUNT


def test_memory_does_not_grow_with_the_video(
    model: Any, frames: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.plugins.sam2 import video

    states = []
    original = video._empty_state
    monkeypatch.setattr(
        video, "_empty_state", lambda predictor: states.append(original(predictor)) or states[0]
    )
    short = open_frames(frames)
    long = [short[index % COUNT] for index in range(40)]
    list(model.track(long, {0: PROMPTS[0]}))
    (outputs,) = states[0]["output_dict_per_obj"].values()
    assert len(outputs["non_cond_frame_outputs"]) <= 20

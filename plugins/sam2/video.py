"""Tracks objects through a video with the package's own video predictor and the model's weights."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from toolkit.types import Instances, Prediction, Prompts, Sample

from .answers import to_masks
from .clicks import BOTTOM_RIGHT, TOP_LEFT
from .features import MEAN, STD
from .prompting import grouped
from .settings import Sam2Settings
from .upstream import build_network

VIDEO = {
    "_target_": "sam2.sam2_video_predictor.SAM2VideoPredictor",
    "binarize_mask_from_pts_for_mem_enc": True,
    "fill_hole_area": 0,
}
"""The options that ``build_sam2_video_predictor`` adds, except hole filling, which needs a custom CUDA
kernel.
"""


@torch.no_grad()
def track(
    settings: Sam2Settings,
    weights: Mapping[str, Tensor],
    frames: Sequence[Sample],
    prompts: Mapping[int, Sequence[Prompts]],
    device: torch.device,
) -> Iterator[Prediction]:
    """Track objects; see ``toolkit.models.capabilities.Trackable.track``.

    Args:
        settings: settings of the model.
        weights: weights of its network, under the package's names.
        frames, prompts: as in the contract.
        device: device for the computation.
    """
    image_size = settings.filled().image_size
    predictor: Any = build_network(settings.version, settings.size, image_size, VIDEO)
    predictor.load_state_dict(weights)
    predictor.to(device).eval()
    state = _empty_state(predictor)
    height, width = frames[0].size
    state |= {
        "images": _Inputs(frames, image_size),
        "num_frames": len(frames),
        "video_height": height,
        "video_width": width,
    }
    count = 0
    with _computing(device):
        for index in sorted(prompts):
            for given in prompts[index]:
                count = _enter(predictor, state, index, frames[index], given, count)
    keep = (
        max(
            predictor.max_obj_ptrs_in_encoder,
            predictor.num_maskmem * predictor.memory_temporal_stride_for_eval,
        )
        + 1
    )
    results = predictor.propagate_in_video(state)
    while True:
        # Entered for each frame separately, so that the caller's own work between frames does not run in it.
        with _computing(device):
            result = next(results, None)
        if result is None:
            return
        index, _, logits = result
        scores = _scores(state, index)
        _forget(state, index - keep)
        yield _prediction(frames[index], logits.float(), scores, settings.mask_threshold)


@contextlib.contextmanager
def _computing(device: torch.device) -> Iterator[None]:
    """Context manager for bfloat16, in which the package stores its memory of earlier frames, without its
    progress bar."""
    with torch.autocast(device.type, dtype=torch.bfloat16), contextlib.redirect_stderr(io.StringIO()):
        yield


def _empty_state(predictor: Any) -> dict[str, Any]:
    """The predictor's state for a video of one black frame, which is then replaced by the real frames,
    because the package itself only reads JPEG folders.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(Path(folder) / "0.jpg")
        state: dict[str, Any] = predictor.init_state(folder)
    state["cached_features"].clear()
    return state


class _Inputs(Sequence[Tensor]):
    """The network's input for each frame, computed on access; resized as the package resizes video frames."""

    def __init__(self, frames: Sequence[Sample], size: int) -> None:
        self._frames, self._size = frames, size

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: Any) -> Any:
        picture = Image.fromarray(self._frames[index].image.permute(1, 2, 0).numpy())
        scaled = torch.from_numpy(np.array(picture.resize((self._size, self._size)))).permute(2, 0, 1) / 255
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
        return (scaled - mean) / std


def _enter(
    predictor: Any, state: dict[str, Any], index: int, frame: Sample, prompts: Prompts, count: int
) -> int:
    """Add the objects prompted in one frame to the predictor; returns the total number of objects."""
    inputs: dict[int, tuple[Tensor, Tensor]] = {}
    for group in grouped(prompts, frame.path or frame.id, frame.size):
        for row, points, labels in zip(group.rows.tolist(), group.points, group.labels, strict=True):
            inputs[row] = points, labels
    for row in range(len(prompts)):
        points, labels = inputs[row]
        is_box = torch.isin(labels, torch.tensor([TOP_LEFT, BOTTOM_RIGHT]))
        box = points[is_box].flatten() if is_box.any() else None
        clicks = (
            {} if is_box.all() else {"points": points[~is_box], "labels": labels[~is_box].to(torch.int32)}
        )
        predictor.add_new_points_or_box(state, index, count + row, box=box, **clicks)
    return count + len(prompts)


def _scores(state: dict[str, Any], index: int) -> list[float]:
    """How certain the network is that each object is in a frame."""
    outputs = [state["output_dict_per_obj"][number] for number in range(len(state["obj_ids"]))]
    found = [
        each["cond_frame_outputs"].get(index) or each["non_cond_frame_outputs"][index] for each in outputs
    ]
    return [float(each["object_score_logits"].float().sigmoid()) for each in found]


def _forget(state: dict[str, Any], index: int) -> None:
    """Free a frame's features that no later frame needs, so that memory does not grow with the video."""
    for outputs in state["output_dict_per_obj"].values():
        outputs["non_cond_frame_outputs"].pop(index, None)


def _prediction(frame: Sample, logits: Tensor, scores: list[float], threshold: float) -> Prediction:
    """The objects visible in a frame, each labeled with its number."""
    masks = to_masks(logits[:, 0], frame.size, threshold)
    seen = masks.areas() > 0
    every = Instances(
        frame.size,
        masks.boxes_xyxy(),
        torch.arange(len(masks)),
        masks,
        torch.tensor(scores, dtype=torch.float32),
    )
    return Prediction(frame.id, frame.size, instances=every[seen])

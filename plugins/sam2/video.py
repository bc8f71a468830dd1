"""Tracks objects through a video with the package's own video predictor and the model's weights."""

from __future__ import annotations

import contextlib
import copy
import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from toolkit.types import Instances, Masks, Prediction, Prompts, Sample, Size

from .answers import to_masks
from .clicks import BOTTOM_RIGHT, TOP_LEFT
from .features import MEAN, STD
from .prompting import ObjectPrompt, by_object
from .settings import Sam2Settings
from .upstream import build_network
from .video_heads import ask_as_trained

VIDEO = {
    "_target_": "sam2.sam2_video_predictor.SAM2VideoPredictor",
    "binarize_mask_from_pts_for_mem_enc": True,
    "fill_hole_area": 0,
    "add_all_frames_to_correct_as_cond": True,
}
"""The options that ``build_sam2_video_predictor`` adds, except hole filling, which needs a custom CUDA
kernel; and an option to remember corrections in later frames like the first prompt, as in SAM 2's training.
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

    Each object is tracked by itself, from its first prompt on, so that its track does not depend on other
    objects. All objects share the features of the frames.

    Args:
        settings: settings of the model.
        weights: weights of its network, under the package's names.
        frames, prompts: as in the contract.
        device: device for the computation.
    """
    image_size = settings.filled().image_size
    predictor: Any = build_network(settings.version, settings.size, image_size, VIDEO)
    predictor.load_state_dict(weights)
    ask_as_trained(predictor, settings)
    predictor.to(device).eval()
    start = min(prompts)
    video = _Video(predictor, frames, frames[start].size, image_size)
    tracks = [_Track(video, given) for given in by_object(prompts, video.size)]
    for index in range(start, len(frames)):
        found: list[tuple[int, bytes, float]] = []
        for number, each in enumerate(tracks):
            if each.first <= index:
                # Entered for each step, so that the caller's own work between frames is not affected.
                with _computing(device):
                    logits, score = each.step(index)
                # Object by object, so that only one mask at a time has the frame's size in memory.
                (code,) = to_masks(logits[None], video.size, settings.mask_threshold).counts
                found.append((number, code, score))
        yield _prediction(frames[index], found)


class _Video:
    """The frames of a video, encoded once for all objects.

    Args:
        predictor: the package's video predictor.
        frames: frames of the same size.
        size: height and width of the frames.
        image_size: height and width of the network's input.
    """

    def __init__(self, predictor: Any, frames: Sequence[Sample], size: Size, image_size: int) -> None:
        self.predictor, self.size = predictor, size
        height, width = size
        self._entries = {
            "images": _Inputs(frames, image_size),
            "num_frames": len(frames),
            "video_height": height,
            "video_width": width,
        }
        self._features: dict[int, Any] = {}
        self._empty = _empty_state(predictor)

    def new_state(self) -> dict[str, Any]:
        """A state of the predictor for one object."""
        state, self._empty = self._empty, copy.deepcopy(self._empty)
        state |= self._entries
        return state

    @contextlib.contextmanager
    def features(self, state: dict[str, Any]) -> Iterator[None]:
        """Context manager in which an object's state has the features of the last encoded frame."""
        state["cached_features"] = self._features
        yield
        self._features = state["cached_features"]


class _Track:
    """One object, tracked from its first prompt on.

    Args:
        video: the frames.
        prompts: for this object, by the number of the frame.
    """

    def __init__(self, video: _Video, prompts: Mapping[int, ObjectPrompt]) -> None:
        self._video, self._prompts = video, prompts
        self.first = min(prompts)
        self._state = video.new_state()
        predictor = video.predictor
        memories = predictor.num_maskmem * predictor.memory_temporal_stride_for_eval
        self._keep = max(predictor.max_obj_ptrs_in_encoder, memories) + 1

    def step(self, index: int) -> tuple[Tensor, float]:
        """Mask logits ``[H, W]`` in the next frame, and the score for the presence of the object."""
        predictor, state = self._video.predictor, self._state
        with self._video.features(state):
            if index > self.first:
                (result,) = predictor.propagate_in_video(state, index, max_frame_num_to_track=0)
            if index in self._prompts:
                result = _enter(predictor, state, index, self._prompts[index])
                predictor.propagate_in_video_preflight(state)
        outputs = state["output_dict_per_obj"][0]
        out = outputs["cond_frame_outputs"].get(index) or outputs["non_cond_frame_outputs"][index]
        # A frame that no later frame uses, so that memory does not grow with the video.
        outputs["non_cond_frame_outputs"].pop(index - self._keep, None)
        logits: Tensor = result[2][0, 0].float()
        return logits, float(out["object_score_logits"].float().sigmoid())


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


def _enter(predictor: Any, state: dict[str, Any], index: int, prompt: ObjectPrompt) -> Any:
    """Prompt the object in a frame; the mask is corrected if the object has already been tracked up to this
    frame.
    """
    if prompt.mask is not None:
        return predictor.add_new_mask(state, index, 0, prompt.mask)
    is_box = torch.isin(prompt.labels, torch.tensor([TOP_LEFT, BOTTOM_RIGHT]))
    box = prompt.points[is_box].flatten() if is_box.any() else None
    clicks = {}
    if not is_box.all():
        clicks = {"points": prompt.points[~is_box], "labels": prompt.labels[~is_box].to(torch.int32)}
    return predictor.add_new_points_or_box(state, index, 0, box=box, **clicks)


def _prediction(frame: Sample, found: Sequence[tuple[int, bytes, float]]) -> Prediction:
    """The objects visible in a frame, each labeled with its number."""
    masks = Masks.encoded(frame.size, [code for _, code, _ in found])
    every = Instances(
        frame.size,
        masks.boxes_xyxy(),
        torch.tensor([number for number, _, _ in found], dtype=torch.int64),
        masks,
        torch.tensor([score for _, _, score in found], dtype=torch.float32),
    )
    return Prediction(frame.id, frame.size, instances=every[masks.areas() > 0])

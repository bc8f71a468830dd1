"""Objects followed through the frames of a video or folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from toolkit.errors import DataError, UsageError
from toolkit.inference.predictor import Predictor
from toolkit.inference.tracking import track_video
from toolkit.models.capabilities import Trackable
from toolkit.models.contract import Model
from toolkit.models.promptable import PromptableModel
from toolkit.types import Instances, Masks, Prediction, Prompts, Sample


class Brightest(PromptableModel, Trackable):
    """Takes whatever is bright in a frame for every object."""

    def encode(self, samples: Sequence[Sample]) -> list[Any]:
        raise NotImplementedError

    def answer(self, encoded: Any, prompts: Prompts) -> Instances:
        raise NotImplementedError

    def find_all(self, encoded: Any) -> Instances:
        raise NotImplementedError

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        raise NotImplementedError

    def track(
        self, frames: Sequence[Sample], prompts: Mapping[int, Sequence[Prompts]]
    ) -> Iterator[Prediction]:
        count = sum(len(group) for groups in prompts.values() for group in groups)
        for index in range(min(prompts), len(frames)):
            sample = frames[index]
            masks = Masks.from_dense((sample.image.amin(0) > 150).repeat(count, 1, 1))
            instances = Instances(
                sample.size, masks.boxes_xyxy(), torch.arange(count), masks, torch.ones(count)
            )
            yield Prediction(sample.id, sample.size, instances=instances)


@pytest.mark.parametrize("kind", ["folder", "video"])
def test_results_a_frame_with_a_class_for_each_object(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source = request.getfixturevalue(kind)
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("image,x,y,class\n2,9,12,square\n2,10,12,square\n4,15,12,other\n")
    out = tmp_path / "out"
    assert track_video(Predictor(Brightest(["x"]), device="cpu"), source, prompts, out) == 3
    document = json.loads((out / "predictions.json").read_text())
    assert [category["name"] for category in document["categories"]] == ["square 1", "square 2", "other"]
    assert len(document["images"]) == 12
    by_image = {image["id"]: image["file_name"] for image in document["images"]}
    first = [
        each for each in document["annotations"] if by_image[each["image_id"]].lstrip("0").startswith("2")
    ]
    assert [each["bbox"][0] for each in first] == pytest.approx([6, 6, 6], abs=1)
    assert len(document["annotations"]) == 30  # nothing in the two frames before the first prompt
    assert len(list((out / "overlays").glob("*.jpg"))) == 12


def test_what_cannot_track_is_refused(folder: Path, tmp_path: Path) -> None:
    class Still(Model):
        def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
            raise NotImplementedError

    (tmp_path / "p.csv").write_text("image,x,y\n0,1,1\n")
    with pytest.raises(UsageError, match="Still cannot track objects"):
        track_video(Predictor(Still(["x"]), device="cpu"), folder, tmp_path / "p.csv", tmp_path / "out")
    (tmp_path / "p.csv").write_text("image,x,y\n99,1,1\n")
    with pytest.raises(DataError, match="is for '99', but no image has this name"):
        track_video(Predictor(Brightest(["x"]), device="cpu"), folder, tmp_path / "p.csv", tmp_path / "out")

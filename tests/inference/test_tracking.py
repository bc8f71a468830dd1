"""Objects followed through the frames of a video or folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import toolkit
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
    with pytest.raises(UsageError, match="this model cannot track objects"):
        track_video(Predictor(Still(["x"]), device="cpu"), folder, tmp_path / "p.csv", tmp_path / "out")
    (tmp_path / "p.csv").write_text("image,x,y\n99,1,1\n")
    with pytest.raises(DataError, match="is for '99', but no image has this name"):
        track_video(Predictor(Brightest(["x"]), device="cpu"), folder, tmp_path / "p.csv", tmp_path / "out")


# Ids


class Recorder(Brightest):
    """Gives object n as a mask of n + 1 rows, and keeps its prompts."""

    given: Mapping[int, Sequence[Prompts]]
    only_for_tracking = ("memory", "pointers")

    def track(
        self, frames: Sequence[Sample], prompts: Mapping[int, Sequence[Prompts]]
    ) -> Iterator[Prediction]:
        self.given = prompts
        starts: dict[str, int] = {}
        for index in sorted(prompts):
            for each in prompts[index]:
                for name in each.ids or ():
                    starts.setdefault(name, index)
        for index in range(min(prompts), len(frames)):
            sample = frames[index]
            numbers = [n for n, start in enumerate(starts.values()) if start <= index]
            dense = torch.zeros(len(numbers), *sample.size, dtype=torch.bool)
            for mask, number in zip(dense, numbers, strict=True):
                mask[: number + 1] = True
            masks = Masks.from_dense(dense)
            scores = torch.ones(len(numbers))
            found = Instances(sample.size, masks.boxes_xyxy(), torch.tensor(numbers), masks, scores)
            yield Prediction(sample.id, sample.size, instances=found)


def tracked(folder: Path, tmp_path: Path, text: str) -> tuple[Recorder, dict[str, Any]]:
    prompts = tmp_path / "prompts.csv"
    prompts.write_text(text)
    model = Recorder(["x"])
    track_video(Predictor(model, device="cpu"), folder, prompts, tmp_path / "out", overlays=False)
    return model, json.loads((tmp_path / "out" / "predictions.json").read_text())


def test_ids_survive_in_order_through_kinds_and_frames(folder: Path, tmp_path: Path) -> None:
    text = (
        "image,object,x,y,x0,y0,x1,y1,label,class\n"
        "3,blue,9,9,,,,,,cup\n3,7,,,1,1,8,8,,pot\n3,,5,5,,,,,,cup\n"
        "1,late,,,2,2,9,9,,cup\n"
        "6,7,3,3,,,,,0,\n6,new,4,4,,,,,,\n"
    )
    model, document = tracked(folder, tmp_path, text)
    assert [category["name"] for category in document["categories"]] == [
        "cup late",
        "cup blue",
        "pot",
        "cup 3",
        "object",
    ]
    by_name = {image["file_name"].lstrip("0").partition(".")[0]: image["id"] for image in document["images"]}
    objects = {
        name: [each["object"] for each in document["annotations"] if each["image_id"] == number]
        for name, number in by_name.items()
    }
    assert objects["2"] == ["late"]
    assert objects["3"] == ["late", "blue", "7", "1"]
    assert objects["7"] == ["late", "blue", "7", "1", "new"]
    assert [each.ids for each in model.given[6]] == [("7",), ("new",)]
    names = {each["id"]: each["name"] for each in document["categories"]}
    assert {(each["object"], names[each["category_id"]]) for each in document["annotations"]} == {
        ("late", "cup late"),
        ("blue", "cup blue"),
        ("7", "pot"),
        ("1", "cup 3"),
        ("new", "object"),
    }


def test_an_object_has_one_class(folder: Path, tmp_path: Path) -> None:
    _, document = tracked(folder, tmp_path, "image,object,x,y,class\n0,a,9,9,\n2,a,9,9,cup\n")
    assert [category["name"] for category in document["categories"]] == ["cup"]
    with pytest.raises(DataError, match="the object 'a' is called 'cup' and, in frame 4, 'pot'"):
        tracked(folder, tmp_path / "out", "image,object,x,y,class\n0,a,9,9,cup\n4,a,9,9,pot\n")


def test_classes_of_odd_names_stay_apart(folder: Path, tmp_path: Path) -> None:
    text = "image,object,x,y,class\n0,1,9,9,cup\n0,2,9,9,cup\n0,b,9,9,cup 1\n"
    _, document = tracked(folder, tmp_path, text)
    names = [category["name"] for category in document["categories"]]
    assert len(set(names)) == 3


def test_a_run_that_never_learned_to_track_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("image,x,y\n0,1,1\n")
    for start in ("none", "official", "runs/other/last.safetensors", "handed over"):
        about = {"start_weights": {"name": start, "license": "unknown"}}
        predictor = Predictor(Recorder(["x"]), device="cpu", name="runs/a", about=about)
        out = tmp_path / start.replace("/", "-")
        if start != "none":
            track_video(predictor, folder, tmp_path / "p.csv", out, overlays=False)
            continue
        with pytest.raises(UsageError, match=r"runs/a was trained from random weights.*memory, pointers"):
            track_video(predictor, folder, tmp_path / "p.csv", out)
        assert not out.exists()


# Measuring


def test_tables_have_frame_and_track(folder: Path, tmp_path: Path) -> None:
    text = "image,object,x,y,class\n0,blue,9,9,cup\n3,7,9,9,pot\n"
    _, document = tracked(folder, tmp_path, text)
    assert [image["frame"] for image in document["images"]] == list(range(12))
    found = toolkit.measure(tmp_path / "out")
    with (found.folder / "objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    width = document["images"][0]["width"]
    expected = [(f, "blue", "cup", width) for f in range(12)] + [
        (f, "7", "pot", 2 * width) for f in range(3, 12)
    ]
    assert [(int(r["frame"]), r["track"], r["class"], int(r["area"])) for r in rows] == sorted(
        expected, key=lambda row: (row[0], row[3])
    )
    assert all(row["object"] == row["track"] for row in rows)


def test_objects_out_of_sight_have_no_area_and_do_not_count(folder: Path, tmp_path: Path) -> None:
    class Lost(Brightest):
        def track(
            self, frames: Sequence[Sample], prompts: Mapping[int, Sequence[Prompts]]
        ) -> Iterator[Prediction]:
            for index, prediction in enumerate(super().track(frames, prompts)):
                assert prediction.instances is not None
                empty = Masks.from_dense(torch.zeros(1, *prediction.size))
                lost = replace(prediction.instances, masks=empty)
                yield prediction if index < 5 else replace(prediction, instances=lost)

    (tmp_path / "p.csv").write_text("image,x,y,class\n0,9,12,square\n")
    track_video(Predictor(Lost(["x"]), device="cpu"), folder, tmp_path / "p.csv", tmp_path / "out")
    found = toolkit.measure(tmp_path / "out")
    assert found.objects == 12
    (row,) = found.classes
    assert (row["class"], row["images"], row["objects"]) == ("square", 5, 5)


def test_frames_may_be_refused_before_anything_is_tracked(folder: Path, tmp_path: Path) -> None:
    def refuse(names: Sequence[str]) -> None:
        raise DataError(f"{len(names)} frames")

    (tmp_path / "p.csv").write_text("image,x,y\n0,9,12\n")
    predictor = Predictor(Brightest(["x"]), device="cpu")
    with pytest.raises(DataError, match="12 frames"):
        track_video(predictor, folder, tmp_path / "p.csv", tmp_path / "out", on_frames=refuse)
    assert not (tmp_path / "out").exists()

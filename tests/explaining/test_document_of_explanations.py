"""What ``explanations.json`` says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support.explained import CLASSES

from toolkit import Explanation, Prompts, Target
from toolkit.data.image_files import is_result_folder
from toolkit.errors import UsageError
from toolkit.explaining.document import check_free, entry_of, target_document, target_words, write_document

MASK = torch.eye(3, 4).bool()
BOX = torch.tensor([1.0, 0.0, 3.0, 2.5])
POINT = Prompts(torch.tensor([[[1.0, 2.0]]]), torch.ones(1, 1, dtype=torch.int64))


@pytest.mark.parametrize(
    ("target", "document", "words"),
    [
        (Target("class", 1), {"kind": "class", "class": "cow"}, "cow"),
        (Target("class", 9), {"kind": "class", "class": "9"}, "9"),
        (Target("region", 2, MASK), {"kind": "region", "class": "sheep", "pixels": 3}, "region of sheep"),
        (
            Target("object", 1, None, BOX, None, 4, "mask"),
            {"kind": "object", "class": "cow", "object": 4, "part": "mask", "box": [1.0, 0.0, 3.0, 2.5]},
            "object 4 (cow), its mask",
        ),
        (
            Target("prompt", mask=MASK, prompts=POINT),
            {"kind": "prompt", "points": [[1.0, 2.0]], "pixels": 3},
            "answer to the prompt",
        ),
        (
            Target("prompt", mask=MASK, prompts=Prompts(boxes_xyxy=BOX[None])),
            {"kind": "prompt", "box": [1.0, 0.0, 3.0, 2.5], "pixels": 3},
            "answer to the prompt",
        ),
    ],
)
def test_targets_are_described(target: Target, document: dict[str, object], words: str) -> None:
    assert target_document(target, CLASSES) == document
    assert target_words(target, CLASSES) == words


def test_an_entry_has_the_figures_of_its_map() -> None:
    values = torch.zeros(3, 4)
    values[1, 3], values[0, 0] = 2, -1
    found = Explanation("a", "cam", Target("class", 1), "layer4", values, 0.25, {"inside": 0.5})
    assert entry_of(found, CLASSES) == {
        "method": "cam",
        "target": {"kind": "class", "class": "cow"},
        "layer": "layer4",
        "score": 0.25,
        "range": [-1.0, 2.0],
        "peak": [3, 1],
        "figures": {"inside": 0.5},
    }


def test_a_map_that_shows_nothing_has_a_note() -> None:
    found = Explanation("a", "gradcam", Target("class", 1), None, torch.zeros(3, 4), 0.25)
    assert entry_of(found, CLASSES)["note"] == "the map has no values above 0, so it shows nothing"


def test_what_is_undefined_becomes_null(tmp_path: Path) -> None:
    entry = {"image": "a", "figures": {"x": float("nan"), "y": [float("inf"), 1.0]}}
    write_document(tmp_path, {"toolkit": "1"}, [entry], finished=True)
    content = json.loads((tmp_path / "explanations.json").read_text())
    assert content["images"][0]["figures"] == {"x": None, "y": [None, 1.0]}
    assert is_result_folder(tmp_path)
    (tmp_path / "explanations.json").write_text('{"something": "else"}')
    assert not is_result_folder(tmp_path)


def test_results_that_are_there_are_not_touched(tmp_path: Path) -> None:
    check_free(tmp_path / "missing")
    write_document(tmp_path, {"toolkit": "1"}, [], finished=False)
    check_free(tmp_path)
    write_document(tmp_path, {"toolkit": "1"}, [], finished=True)
    with pytest.raises(UsageError, match="already contains explanations. Hint: choose another folder"):
        check_free(tmp_path)
    (tmp_path / "explanations.json").write_text("{")
    with pytest.raises(UsageError, match="already contains explanations"):
        check_free(tmp_path)
    (tmp_path / "manifest.jsonl").write_text("")
    with pytest.raises(UsageError, match="contains results of toolkit infer"):
        check_free(tmp_path)

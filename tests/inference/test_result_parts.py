"""The part of a folder of results that one of several processes writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from toolkit.errors import OutputError
from toolkit.inference.inputs import InputImage
from toolkit.inference.records import PARTS
from toolkit.inference.result_parts import ResultPart
from toolkit.inference.result_places import TOKEN
from toolkit.inference.results import ResultFolder
from toolkit.types import Prediction, Sample
from toolkit.visualization.palettes import default_palette

CLASSES, PALETTE = ("dark", "bright"), default_palette(2)


def part(folder: Path, name: str = "first", token: str = "token") -> ResultPart:
    return ResultPart(folder, CLASSES, PALETTE, part=name, token=token, model="bright 1")


def write(results: ResultFolder, name: str) -> None:
    image = InputImage(Path(f"/photos/{name}.png"), f"{name}.png", name)
    sample = Sample(image.name, torch.zeros(3, 4, 5, dtype=torch.uint8))
    prediction = Prediction(image.name, (4, 5), label_map=torch.zeros(4, 5, dtype=torch.uint8))
    results.append(results.write(image, sample, prediction, None))


def opened(folder: Path) -> ResultFolder:
    return ResultFolder(folder, CLASSES, PALETTE, model="bright 1", resume=True)


def test_several_write_beside_the_one_that_opened_the_folder(tmp_path: Path) -> None:
    with opened(tmp_path) as whole:
        (tmp_path / TOKEN).write_text("token")
        with part(tmp_path, "first") as first, part(tmp_path, "second") as second:
            write(first, "b")
            write(second, "a")
            write(whole, "c")
            first.flush()
            second.flush()
            assert sorted(path.name for path in (tmp_path / PARTS).iterdir()) == [
                "first.jsonl",
                "second.jsonl",
            ]
        whole.finish(["a.png", "b.png", "c.png"])
    lines = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert [(line["image"], line.get("actor")) for line in lines] == [
        ("a.png", "second"),
        ("b.png", "first"),
        ("c.png", None),
    ]
    assert not (tmp_path / PARTS).exists()


def test_flushed_records_survive_whatever_happens_to_the_process(tmp_path: Path) -> None:
    with opened(tmp_path):
        (tmp_path / TOKEN).write_text("token")
        killed = part(tmp_path)
        write(killed, "a")
        killed.flush()
        # Half of a line, as a kill leaves it.
        with (tmp_path / PARTS / "first.jsonl").open("a") as file:
            file.write('{"image": "b.png", "sta')
    with opened(tmp_path) as again:
        assert again.is_done(InputImage(Path("/photos/a.png"), "a.png", "a"))
        assert not again.is_done(InputImage(Path("/photos/b.png"), "b.png", "b"))
        assert not (tmp_path / PARTS).exists()
    killed.__exit__(None, None, None)


@pytest.mark.parametrize("found", [None, "", "another"])
def test_another_folder_of_the_same_name_is_not_written_to(tmp_path: Path, found: str | None) -> None:
    if found is not None:
        (tmp_path / TOKEN).write_text(found)
    with pytest.raises(OutputError, match=r"there is not the folder that this command writes to\. Hint: "):
        part(tmp_path)
    assert not (tmp_path / PARTS).exists()

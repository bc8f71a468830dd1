"""Images that do not fit into memory: the results of the usual way, window by window, whatever interrupts
them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from giant_cases import SIZE, FullDisk, LabelMaps, Objects, discs, predictor_of, write_giant
from PIL import Image
from pipeline_cases import Bright, files, manifest, predictor

from toolkit.data.georeference import georeference
from toolkit.data.image_headers import MAX_PIXELS
from toolkit.data.label_maps import read_label_map
from toolkit.data.label_values import LabelValues
from toolkit.errors import OutputError, UsageError
from toolkit.formats.predictions import PredictionFiles
from toolkit.inference import Tiling, giants, label_tiles, window_journal
from toolkit.inference.giants import shrunk_objects
from toolkit.inference.measurements import measure
from toolkit.inference.pipeline import Work, predict_folder
from toolkit.models.window_grid import grid
from toolkit.types import Instances, Masks

MODELS = {"objects": Objects, "labels": LabelMaps}
WINDOWS = sum(len(row) for row in grid(SIZE, 64, 0.3))
Model = Objects | LabelMaps


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return write_giant(tmp_path / "slides" / "a.tif")


@pytest.fixture(autouse=True)
def _giant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(giants, "GIANT_PIXELS", SIZE[0] * SIZE[1] // 2)
    monkeypatch.setattr(giants, "OVERVIEW_SIDE", 100)


def predict(model: Model, photo: Path, out: Path, **options: Any) -> Any:
    given = {name: options.pop(name) for name in ("tiling", "label_values") if name in options}
    predictor = predictor_of(model, **given)
    return predict_folder(predictor, [photo], out, work=Work(2, 0), progress=False, **options)


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def palette_of(path: Path) -> list[int]:
    with Image.open(path) as image:
        return image.getpalette() or []


def in_the_usual_way(
    monkeypatch: pytest.MonkeyPatch, model: Model, photo: Path, out: Path, **options: Any
) -> Path:
    with monkeypatch.context() as patch:
        patch.setattr(giants, "GIANT_PIXELS", SIZE[0] * SIZE[1] * 2)
        predict(model, photo, out, **options)
    return out


def test_a_label_map_is_a_tiled_tiff_with_the_same_pixels(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(LabelMaps(), photo, tmp_path / "out")
    usual = in_the_usual_way(monkeypatch, LabelMaps(), photo, tmp_path / "usual")
    path = tmp_path / "out" / "labels" / "a.tif"
    expected = read_label_map(usual / "labels" / "a.png")
    assert torch.equal(read_label_map(path), expected)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        assert (page.is_tiled, page.compression, page.photometric) == (True, 8, 3)
    assert palette_of(path)[:6] == [10, 20, 30, 200, 100, 50]
    (record,), (other,) = manifest(tmp_path / "out"), manifest(usual)
    same = (
        "image",
        "source",
        "status",
        "model",
        "size",
        "window",
        "pixels",
        "source_bytes",
        "source_modified",
    )
    assert {key: record[key] for key in same} == {key: other[key] for key in same}
    assert record["outputs"] == {"label_map": "labels/a.tif", "overlay": "overlays/a.jpg"}
    assert size_of(tmp_path / "out" / "overlays" / "a.jpg") == (83, 53), "a quarter: at most 100"
    assert not (tmp_path / "out" / "unfinished").exists()
    for folder in (tmp_path / "out", usual):
        read = PredictionFiles(folder, ("ground", "disc")).read("a.tif", SIZE)
        assert torch.equal(read.label_map, expected)
        assert measure(folder, folder / "measured").classes == measure(usual, usual / "measured").classes


def test_objects_are_those_of_the_usual_way(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(Objects(), photo, tmp_path / "out")
    usual = in_the_usual_way(monkeypatch, Objects(), photo, tmp_path / "usual")
    assert {**files(tmp_path / "out"), "overlays/a.jpg": b""} == {**files(usual), "overlays/a.jpg": b""} | {
        name: (tmp_path / "out" / name).read_bytes() for name in ("manifest.jsonl",)
    }
    assert len(json.loads((usual / "instances" / "a.json").read_text())) > 5
    (record,), (other,) = manifest(tmp_path / "out"), manifest(usual)
    assert {**record, "sizes": 0} == {**other, "sizes": 0}
    assert size_of(tmp_path / "out" / "overlays" / "a.jpg") == (83, 53)


@pytest.mark.parametrize("kind", MODELS)
def test_a_photo_in_another_format_is_read_whole_and_written_the_same(
    kind: str, photo: Path, tmp_path: Path
) -> None:
    Image.fromarray(discs()).save(photo.with_name("b.png"))
    predict(MODELS[kind](), photo.parent, tmp_path / "out")
    one, other = (manifest(tmp_path / "out")[i]["outputs"] for i in range(2))
    name = {"objects": "instances", "labels": "label_map"}[kind]
    assert (tmp_path / "out" / one[name]).read_bytes() == (tmp_path / "out" / other[name]).read_bytes()
    assert other.keys() == one.keys()


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("stop", [1, 2, 9, WINDOWS // 2, WINDOWS - 1, WINDOWS])
def test_an_interruption_costs_a_few_windows(kind: str, stop: int, photo: Path, tmp_path: Path) -> None:
    out, model = tmp_path / "out", MODELS[kind]()
    model.stopping.stop_at = stop
    with pytest.raises(KeyboardInterrupt):
        predict(model, photo, out)
    again = MODELS[kind]()
    summary = predict(again, photo, out, resume=True)
    assert (summary.done, summary.failed) == (1, 0)
    lost = 4 if kind == "objects" else 2 * len(grid(SIZE, 64, 0.3)[0]) + 512
    assert again.stopping.seen <= WINDOWS - stop + 1 + lost
    predict(MODELS[kind](), photo, tmp_path / "straight")
    assert files(out) == files(tmp_path / "straight")


def test_rows_of_tiles_of_a_label_map_are_kept(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.inference.label_tiles.TILE", 32)
    out, model = tmp_path / "out", LabelMaps()
    model.stopping.stop_at = WINDOWS
    with pytest.raises(KeyboardInterrupt):
        predict(model, photo, out)
    again = LabelMaps()
    predict(again, photo, out, resume=True)
    assert again.stopping.seen <= 3 * len(grid(SIZE, 64, 0.3)[0])
    predict(LabelMaps(), photo, tmp_path / "straight")
    assert files(out) == files(tmp_path / "straight")


@pytest.mark.parametrize("kind", MODELS)
def test_a_disk_that_fills_stops_the_command_and_nothing_done_is_lost(
    kind: str, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_tiles, "TILE", 32)
    opened, out = window_journal.open_to_append, tmp_path / "out"
    seen = []
    for room in (560, 1_500):
        module = label_tiles if kind == "labels" and room == 1_500 else window_journal
        model = MODELS[kind]()
        with monkeypatch.context() as patch:
            patch.setattr(module, "open_to_append", lambda path, room=room: FullDisk(opened(path), room))
            with pytest.raises(OutputError, match=r"the disk is full\. Hint: free some space"):
                predict(model, photo, out, resume=True)
        seen.append(model.stopping.seen)
    again = MODELS[kind]()
    assert predict(again, photo, out, resume=True).failed == 0
    assert all(0 < count < WINDOWS for count in [*seen, again.stopping.seen])
    predict(MODELS[kind](), photo, tmp_path / "straight")
    assert files(out) == files(tmp_path / "straight")


@pytest.mark.parametrize("kind", MODELS)
def test_what_is_left_of_another_photo_or_model_is_not_continued(
    kind: str, photo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def stopped() -> None:
        model = MODELS[kind]()
        model.stopping.stop_at = WINDOWS - 2
        with pytest.raises(KeyboardInterrupt):
            predict(model, photo, out, resume=True)

    stopped()
    write_giant(photo, seed=3)
    again = MODELS[kind]()
    predict(again, photo, out, resume=True)
    assert again.stopping.seen == WINDOWS
    predict(MODELS[kind](), photo, tmp_path / "straight")
    assert files(out) == files(tmp_path / "straight")
    (out / "manifest.jsonl").unlink()
    stopped()
    left = files(out)
    with pytest.raises(UsageError, match=r"made with --overlap 0\.3; now it is --overlap 0\.25"):
        predict(MODELS[kind](), photo, out, resume=True, tiling=Tiling(64, 0.25))
    assert files(out) == left


@pytest.mark.parametrize("kind", MODELS)
def test_a_truncated_tile_fails_one_image(kind: str, photo: Path, tmp_path: Path) -> None:
    data = write_giant(tmp_path / "whole.tif", seed=1).read_bytes()
    with tifffile.TiffFile(tmp_path / "whole.tif") as file:
        end = file.pages[0].dataoffsets[-6]
    (photo.parent / "b.tif").write_bytes(data[:end])
    summary = predict(MODELS[kind](), photo.parent, tmp_path / "out")
    assert (summary.done, summary.failed) == (1, 1)
    (_, record) = manifest(tmp_path / "out")
    assert "b.tif: the tile at x " in record["error"]
    assert "lies beyond the end of the file, which is cut off" in record["error"]
    (photo.parent / "b.tif").write_bytes(data)
    again = MODELS[kind]()
    assert predict(again, photo.parent, tmp_path / "out", resume=True).done == 1
    assert again.stopping.seen == WINDOWS, "another file, so from its beginning"


def test_values_of_the_training_data(photo: Path, tmp_path: Path) -> None:
    values = LabelValues((7, 3), 0)
    out = tmp_path / "out"
    predictor = predictor_of(LabelMaps(), label_values=values)
    predict_folder(predictor, [photo], out, label_values="dataset", progress=False)
    found = read_label_map(out / "labels" / "a.tif")
    assert set(found.unique().tolist()) == {3, 7}
    assert manifest(out)[0]["pixels"]["disc"] == int((found == 3).sum())
    assert palette_of(out / "labels" / "a.tif")[9:12] == [200, 100, 50]


def test_a_label_map_lies_at_the_place_of_its_geotiff(photo: Path, tmp_path: Path) -> None:
    keys = (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 32633)
    tags = [
        (33550, 12, 3, (0.5, 0.5, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, 500000.0, 5000000.0, 0.0), True),
        (34735, 3, len(keys), keys, True),
    ]
    write_giant(photo, extratags=tags)
    predict(LabelMaps(), photo, tmp_path / "out")
    there, here = georeference(photo), georeference(tmp_path / "out" / "labels" / "a.tif")
    assert here is not None
    assert here.transform is not None
    assert here == there


@pytest.mark.parametrize("kind", MODELS)
def test_without_the_libraries_nothing_changes(
    kind: str, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(giants, "has_tifffile", lambda: False)
    predict(MODELS[kind](), photo, tmp_path / "out")
    usual = in_the_usual_way(monkeypatch, MODELS[kind](), photo, tmp_path / "usual")
    without = {"overlays/a.jpg": b"", "manifest.jsonl": b""} if kind == "objects" else {}
    assert files(tmp_path / "out") | without == files(usual) | without


def claim(path: Path, side: int) -> Path:
    """A TIFF of one color that has this size."""
    tile = np.zeros((1024, 1024), np.uint8)
    tiles = (tile for _ in range((-(-side // 1024)) ** 2))
    tifffile.imwrite(path, tiles, shape=(side, side), dtype=np.uint8, tile=(1024, 1024), compression="zlib")
    return path


def test_an_image_beyond_memory_needs_a_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Shrinking(Objects):
        shrinks_large_images = True

    photo = claim(tmp_path / "a.tif", 21_000)
    assert MAX_PIXELS < 21_000**2
    predict(Shrinking(), photo, tmp_path / "out", tiling=Tiling())
    (record,) = manifest(tmp_path / "out")
    assert record["error"].endswith(
        "a.tif has 21000 x 21000 pixels, too many to read at once. Hint: --window 1024 reads and predicts it"
        " window by window"
    )
    monkeypatch.setattr(giants, "has_tifffile", lambda: False)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    predict(Objects(), photo, tmp_path / "other", tiling=Tiling(8192))
    (record,) = manifest(tmp_path / "other")
    assert "needs the extra tiff, which is not installed" in record["error"]


def test_images_that_may_be_read_whole_need_no_window(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Shrinking(Objects):
        shrinks_large_images = True

    monkeypatch.setattr("toolkit.data.image_headers.MAX_PIXELS", 1000)
    predict(Shrinking(), photo, tmp_path / "out", tiling=Tiling())
    assert manifest(tmp_path / "out")[0]["status"] == "failed"
    monkeypatch.setenv("TOOLKIT_MAX_PIXELS", "1e6")
    predict(Shrinking(), photo, tmp_path / "out", tiling=Tiling(), resume=True)
    assert manifest(tmp_path / "out")[0]["status"] == "ok"


def test_a_link_that_leads_elsewhere_fails_one_image(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "unfinished").symlink_to(tmp_path / "elsewhere")
    predict(Objects(), photo, tmp_path / "out")
    assert "leads out of" in manifest(tmp_path / "out")[0]["error"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_model_that_only_predicts_whole_images_gets_them_whole(photo: Path, tmp_path: Path) -> None:
    predict_folder(predictor(Bright()), [photo], tmp_path / "out", progress=False)
    assert manifest(tmp_path / "out")[0]["outputs"]["label_map"] == "labels/a.png"


def test_journals_of_images_that_are_done_are_removed(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(Objects(), photo, out)
    (out / "unfinished" / "deep").mkdir(parents=True)
    left = out / "unfinished" / "a.jsonl"
    left.write_text('{"toolkit_windows": 1, "image": "a.tif"}\n')
    left.with_suffix(".tiles").write_bytes(b"x")
    for name, text in (("b.jsonl", '{"toolkit_windows": 1, "image": "b.tif"}\n'), ("mine.jsonl", "{}\n")):
        (out / "unfinished" / name).write_text(text)
    predict(Objects(), photo, out, resume=True)
    assert sorted(path.name for path in (out / "unfinished").iterdir()) == ["b.jsonl", "mine.jsonl"]


def test_objects_of_an_overview() -> None:
    dense = np.zeros((2, 50, 70), bool)
    dense[0, 10:30, 20:41] = True
    dense[1, 49, 69] = True
    masks = Masks.from_dense(dense)
    found = Instances((50, 70), masks.boxes_xyxy(), torch.tensor([0, 1]), masks, torch.tensor([0.5, 0.25]))
    small = shrunk_objects(found, 4)
    assert small.size == (13, 18)
    assert small.boxes_xyxy.tolist() == [[5, 2.5, 10.25, 7.5], [17.25, 12.25, 17.5, 12.5]]
    rows, columns = (np.minimum(np.arange(0, n, 4) + 2, n - 1) for n in (50, 70))
    assert np.array_equal(small.masks.dense().numpy(), dense[:, rows][:, :, columns])
    assert len(shrunk_objects(found[[]], 4)) == 0


def test_windows_out_of_range() -> None:
    for window, overlap, message in ((64, 1.0, "overlap"), (64, -0.1, "overlap"), (0, 0.25, "window")):
        with pytest.raises(UsageError, match=message):
            Tiling(window, overlap)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(("window", "overlap"), [(1, 0.0), (2, 0.9), (40, 0.99)])
def test_windows_smaller_than_a_stride_of_a_pixel_still_go_on(
    kind: str, window: int, overlap: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stride is never below a pixel."""
    monkeypatch.setattr(giants, "GIANT_PIXELS", 1)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, discs()[:9, :50], photometric="rgb", metadata=None, rowsperstrip=2)
    summary = predict(MODELS[kind](), path, tmp_path / "out", tiling=Tiling(window, overlap))
    assert (summary.done, summary.failed) == (1, 0)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("stop", [0, WINDOWS - 3])
def test_progress_counts_every_window(
    kind: str, stop: int, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_tiles, "TILE", 32)
    counts: dict[Any, list[int]] = {}
    start, advance = giants.Count.start, giants.Count.advance

    def started(self: Any, total: int, done: int = 0) -> None:
        counts[self] = [total, done]
        start(self, total, done)

    def advanced(self: Any, *given: Any) -> None:
        counts[self][1] += 1
        advance(self, *given)

    monkeypatch.setattr(giants.Count, "start", started)
    monkeypatch.setattr(giants.Count, "advance", advanced)
    if stop:
        model = MODELS[kind]()
        model.stopping.stop_at = stop
        with pytest.raises(KeyboardInterrupt):
            predict(model, photo, tmp_path / "out")
    predict(MODELS[kind](), photo, tmp_path / "out", resume=bool(stop))
    assert list(counts.values())[-2:] == [[1, 1], [WINDOWS, WINDOWS]], "of images, and of windows"

"""Label maps as tiles on the disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from torch import Tensor

from toolkit.data.label_maps import read_label_map
from toolkit.data.label_values import LabelValues
from toolkit.errors import DataError, InvalidDataError
from toolkit.inference import label_tiles
from toolkit.inference.label_tiles import LabelTiles, write_tiff
from toolkit.inference.window_journal import WindowJournal, header_of
from toolkit.models.label_bands import Band

SIZE = (150, 215)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_tiles, "TILE", 64)


def label_map(size: tuple[int, int] = SIZE) -> Tensor:
    random = np.random.default_rng(0)
    found = random.integers(0, 4, (size[0] // 7 + 1, size[1] // 7 + 1), dtype=np.uint8)
    found[0, 0] = 255
    return torch.from_numpy(found.repeat(7, 0).repeat(7, 1)[: size[0], : size[1]].copy())


def journal(folder: Path, size: tuple[int, int] = SIZE) -> WindowJournal:
    return WindowJournal(folder, "a", header_of("a", "a", None, size))


def fill(tiles: LabelTiles, labels: Tensor, rows: int = 40, until: int | None = None) -> None:
    top = tiles.top
    while top < (until or len(labels)):
        tiles.add(Band(top, labels[top : top + rows]))
        top += rows


@pytest.mark.parametrize("size", [SIZE, (64, 64), (1, 1), (65, 63), (200, 5)])
@pytest.mark.parametrize("rows", [1, 40, 64, 500])
def test_a_tiff_has_the_pixels_and_the_colors(size: tuple[int, int], rows: int, tmp_path: Path) -> None:
    labels = label_map(size)
    with journal(tmp_path, size) as lines, LabelTiles(lines, size) as tiles:
        fill(tiles, labels, rows)
        assert tiles.top == size[0]
        assert tiles.counts.tolist() == np.bincount(labels.numpy().ravel(), minlength=256).tolist()
        write_tiff(tmp_path / "a.tif", tiles, [(1, 2, 3), (4, 5, 6)], LabelValues.indexes(4))
    assert torch.equal(read_label_map(tmp_path / "a.tif"), labels)
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), labels.numpy())
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert (file.pages[0].colormap[:, 1] // 257).tolist() == [4, 5, 6]


@pytest.mark.parametrize("step", [1, 2, 5, 64, 99, 1000])
def test_an_overview(step: int, tmp_path: Path) -> None:
    labels = label_map()
    with journal(tmp_path) as lines, LabelTiles(lines, SIZE) as tiles:
        fill(tiles, labels)
        rows, columns = (np.minimum(np.arange(0, n, step) + step // 2, n - 1) for n in SIZE)
        assert np.array_equal(tiles.overview(step).numpy(), labels.numpy()[rows][:, columns])


def test_other_values(tmp_path: Path) -> None:
    labels = label_map()
    with journal(tmp_path) as lines, LabelTiles(lines, SIZE) as tiles:
        fill(tiles, labels)
        values = LabelValues((9, 8, 7, 6), 0)
        write_tiff(tmp_path / "a.tif", tiles, values.palette([(1, 1, 1)]), values)
        with pytest.raises(DataError, match="pixels without a class cannot be written"):
            write_tiff(tmp_path / "b.tif", tiles, [], LabelValues((9, 8, 7, 6), None))
    assert torch.equal(read_label_map(tmp_path / "a.tif"), values.encode(labels))
    assert not (tmp_path / "b.tif").exists()


@pytest.mark.parametrize("until", [40, 80, 120, 150])
def test_rows_of_tiles_that_are_on_the_disk_are_kept(until: int, tmp_path: Path) -> None:
    labels = label_map()
    with journal(tmp_path) as lines, LabelTiles(lines, SIZE) as tiles:
        fill(tiles, labels, until=until)
    with journal(tmp_path) as lines, LabelTiles(lines, SIZE) as tiles:
        assert tiles.top == (150 if until == 150 else (until + 39) // 40 * 40 // 64 * 64)
        fill(tiles, labels, 11)
        assert tiles.counts.sum() == labels.numel()
        assert torch.equal(tiles.overview(1), labels)


@pytest.mark.parametrize("fault", ["cut", "flipped", "missing", "longer"])
def test_tiles_that_a_power_cut_damaged_are_not_there(fault: str, tmp_path: Path) -> None:
    labels = label_map()
    with journal(tmp_path) as lines, LabelTiles(lines, SIZE) as tiles:
        fill(tiles, labels)
        first = sum(tiles._sizes[0])
    path = tmp_path / "unfinished" / "a.tiles"
    data = bytearray(path.read_bytes())
    if fault == "flipped":
        data[first + 9] ^= 0xFF
    path.write_bytes({"cut": data[: first + 20], "missing": b"", "longer": data + b"x" * 50}.get(fault, data))
    with journal(tmp_path) as lines, LabelTiles(lines, SIZE) as tiles:
        assert tiles.top == {"missing": 0, "longer": 150}.get(fault, 64)
        fill(tiles, labels)
        assert torch.equal(tiles.overview(1), labels)
        assert path.stat().st_size == tiles.byte_count


def test_rows_must_follow_each_other(tmp_path: Path) -> None:
    wrong = pytest.raises(InvalidDataError, match="rows from 3; expected those from 0")
    with journal(tmp_path) as lines, LabelTiles(lines, SIZE) as tiles, wrong:
        tiles.add(Band(3, label_map()[3:9]))

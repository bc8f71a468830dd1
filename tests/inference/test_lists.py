"""Lists of images in files: names, and that nothing is kept or read ahead."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from pipeline_cases import Bright, files, manifest, predictor, write_image

from toolkit.errors import UsageError
from toolkit.inference import lists
from toolkit.inference.lists import ImageList
from toolkit.inference.pipeline import Summary, predict_folder


def listing(folder: Path, *lines: str) -> ImageList:
    path = folder / "list.txt"
    path.write_text("\n".join(lines))
    return ImageList(path)


@pytest.mark.parametrize(
    ("line", "name", "source"),
    [
        ("photos/a.jpg", "photos/a.jpg", "{}/photos/a.jpg"),
        ("./photos//a.jpg", "photos/a.jpg", "{}/photos/a.jpg"),
        ("/data/a.jpg", "data/a.jpg", "/data/a.jpg"),
        ("../b/a.jpg", "{above}/b/a.jpg", "/{above}/b/a.jpg"),
        ("https://example.org/x/a%20b.jpg", "example.org/x/a b.jpg", "https://example.org/x/a%20b.jpg"),
        ("https://example.org/?id=7", "example.org/_id=7", "https://example.org/?id=7"),
    ],
)
def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, name: str, source: str) -> None:
    monkeypatch.chdir(tmp_path)
    (image,) = listing(tmp_path, line)
    above = tmp_path.parent.as_posix().lstrip("/")
    assert image.name == image.stem == name.format(above=above)
    assert image.source == source.format(tmp_path, above=above)
    assert image.unique


def test_results_are_those_of_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place, name in enumerate(("b.png", "a.png", "deep/a.png")):
        write_image(tmp_path / "photos" / name, place)
    names = ["photos/deep/a.png", "photos/nowhere.png", "photos/a.png", "photos/deep/a.png", "photos/b.png"]
    images, out = listing(tmp_path, *names), tmp_path / "out"
    assert predict_folder(predictor(), images, out) == Summary(done=3, failed=1, resumed=0)
    unique = list(dict.fromkeys(names))
    assert [line["image"] for line in manifest(out)] == unique
    assert (out / "labels/photos/a.png.png").is_file()
    predict_folder(predictor(), "photos", tmp_path / "folder")
    assert (out / "labels/photos/deep/a.png.png").read_bytes() == (
        tmp_path / "folder/labels/deep/a.png"
    ).read_bytes()


def test_resuming_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [f"photos/{i}.png" for i in range(6)]
    for place, name in enumerate(names):
        write_image(tmp_path / name, place)
    predict_folder(predictor(), listing(tmp_path, *names), tmp_path / "straight")
    predict_folder(predictor(), listing(tmp_path, names[4], names[1]), tmp_path / "out")
    again = Bright()
    summary = predict_folder(predictor(again), listing(tmp_path, *names), tmp_path / "out", resume=True)
    assert summary == Summary(done=4, failed=0, resumed=2)
    assert again.seen == [names[i] for i in (0, 2, 3, 5)]
    assert files(tmp_path / "out") == files(tmp_path / "straight")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"names no image\. Hint: write one path or URL per line"),
        (b"a\0", "is not text"),
        (None, "not exist"),
    ],
)
def test_a_list_that_is_none_writes_nothing(tmp_path: Path, data: bytes | None, message: str) -> None:
    path = tmp_path / "list.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UsageError, match=message):
        predict_folder(predictor(), ImageList(path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_lines_are_read_as_they_are_needed(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"".join(b"photos/%06d.jpg\n" % i for i in range(300_000)) + b"\0")
    images = iter(ImageList(path))
    assert next(images).name == "photos/000000.jpg"
    assert next(images).name == "photos/000001.jpg"
    assert ImageList(path).check() == 300_001


def test_a_parquet_file_gives_what_a_text_file_gives(tmp_path: Path) -> None:
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    lines = ["photos/a.jpg", "/b.png", "photos/a.jpg", "s3://bucket/c.png"]
    parquet.write_table(pyarrow.table({"path": lines, "width": [1, 2, 3, 4]}), tmp_path / "names.parquet")
    (tmp_path / "names.txt").write_text("\n".join(lines))
    text, table = ImageList(tmp_path / "names.txt"), ImageList(tmp_path / "names.parquet")
    assert list(table) == list(text)
    assert list(table.names()) == list(text.names())
    assert table.check() == text.check() == 4
    parquet.write_table(pyarrow.table({"path": ["", None]}), tmp_path / "none.parquet")
    with pytest.raises(UsageError, match=r"none\.parquet names no image"):
        ImageList(tmp_path / "none.parquet").check()


def test_most_names_are_known_at_a_glance(monkeypatch: pytest.MonkeyPatch) -> None:
    """And are what taking the path apart gives."""
    chance = random.Random(0)
    parts = ["a", "b.png", ".h", "..", ".", "", "c:d", "é x", "s3:", "-", "a\nb"]
    lines = ["/".join(chance.choices(parts, k=chance.randint(1, 5))) for _ in range(3000)]
    quick = [lists._name(line) for line in lines]
    assert sum(bool(lists._PLAIN.fullmatch(line)) for line in lines) > 300
    monkeypatch.setattr(lists, "_PLAIN", re.compile("(?!)"))
    assert quick == [lists._name(line) for line in lines]

"""Files that trap a reader, and which of a folder's files are images."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import pytest

from toolkit.data.image_files import (
    Found,
    ImageSearch,
    images_in,
    is_image_name,
    is_result_folder,
    is_run_folder,
    open_image_file,
)
from toolkit.data.images import image_size, read_image
from toolkit.errors import ImageError

posix = pytest.mark.skipif(os.name != "posix", reason="pipes and devices of POSIX")


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def results_at(folder: Path) -> None:
    touch(folder / "overlays" / "old.jpg")
    record = {"image": "old.jpg", "status": "ok", "model": "m"}
    (folder / "manifest.jsonl").write_text(json.dumps(record) + "\n")


def below(*tops: Path, exclude: Path | None = None) -> tuple[list[str], ImageSearch]:
    search = ImageSearch(tops, exclude)
    found = [path for top in tops for path in search.below(top)]
    assert all(isinstance(each, Found) for each in found)
    return [os.path.relpath(each.path, tops[0]) for each in found], search


@posix
def test_what_is_no_regular_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "s.jpg"))
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    expected = {
        "pipe.jpg": r"is a pipe \(FIFO\), not a regular file",
        "s.jpg": "is a socket|cannot be read",
        "zero.png": "is a device, not a regular file",
        "self.png": "cannot be read: Too many levels of symbolic links",
        ".": "is a folder, not an image",
        "none": "does not exist",
        "a\0b": "cannot be read: .*null",
    }
    for name, message in expected.items():
        for read in (read_image, image_size):
            with pytest.raises(ImageError, match=rf"{message}.*Hint"):
                read(tmp_path / name)
    server.close()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_files_of_the_system_that_say_nothing_of_their_size() -> None:
    with pytest.raises(ImageError, match=r"/proc/self/maps is empty \(0 bytes\)\. Hint"):
        read_image("/proc/self/maps")
    found, search = below(Path("/proc/self"))
    assert found == []
    assert search.left_out() == ["system folders: /proc/self"]


def test_errors_of_who_reads_pass_through(tmp_path: Path) -> None:
    touch(tmp_path / "a")
    with pytest.raises(ValueError, match="mine"), open_image_file(tmp_path / "a"):
        raise ValueError("mine")
    with open_image_file(tmp_path / "a") as (file, size):
        assert (file.read(), size) == (b"x", 1)
    assert file.closed


def test_what_counts_as_an_image_by_its_name() -> None:
    for name in ("a.jpg", "a.JFIF", "b.jpe", "c.gif", "d.jp2", "e.TIFF", "x.y.png"):
        assert is_image_name(name), name
    for name in ("a.heic", "jpg", ".jpg", "._a.jpg", "a.jpg.txt", "a"):
        assert not is_image_name(name), name


def test_the_images_in_one_folder(tmp_path: Path) -> None:
    touch(
        tmp_path / "b.png",
        tmp_path / "a.jpg",
        tmp_path / "._a.jpg",
        tmp_path / "t.txt",
        tmp_path / "d" / "c.png",
    )
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
    assert [path.name for path in images_in(tmp_path)] == ["a.jpg", "b.png", "gone.png"]


def test_a_folder_is_known_as_results_by_its_manifest(tmp_path: Path) -> None:
    results_at(tmp_path / "ours")
    touch(tmp_path / "other" / "manifest.jsonl", tmp_path / "none" / "a.jpg")
    begun = tmp_path / "begun"
    touch(begun / "about.json")
    (begun / "manifest.jsonl").write_bytes(b"")
    assert not is_result_folder(begun)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "manifest.jsonl").write_text("[" * 200_000)
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "manifest.jsonl").write_text('["image", "status"]\n')
    assert [name for name in sorted(os.listdir(tmp_path)) if is_result_folder(tmp_path / name)] == ["ours"]


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    touch(
        *(tmp_path / name for name in ("a.jpg", "b.GIF", "c.jfif", "notes.txt", "more.txt", "README")),
        *(tmp_path / "phone" / f"{i}.HEIC" for i in range(3)),
        *(
            tmp_path / name
            for name in ("._a.jpg", ".DS_Store", "__MACOSX/._a.jpg", ".ipynb_checkpoints/a.jpg")
        ),
    )
    results_at(tmp_path / "old")
    found, search = below(tmp_path)
    assert found == ["a.jpg", "b.GIF", "c.jfif"]
    assert search.left_out() == [
        "6 files skipped because of their suffix (3 .heic, 2 .txt, 1 without a suffix); convert .heic to"
        " JPEG or PNG to include them",
        "1 file hidden or created by the system",
        f"results of an earlier run in {tmp_path / 'old'}",
    ]
    assert ImageSearch().left_out() == []


def test_many_suffixes_are_summed_up(tmp_path: Path) -> None:
    touch(*(tmp_path / f"f.{letter}" for letter in "abcdefgh"))
    _, search = below(tmp_path)
    assert search.left_out() == [
        "8 files skipped because of their suffix (1 .a, 1 .b, 1 .c, 1 .d, 1 .e, 1 .f, 2 others)"
    ]


@posix
def test_pipes_among_images_are_left_out_and_counted(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    os.mkfifo(tmp_path / "b.jpg")
    found, search = below(tmp_path)
    assert found == ["a.jpg"]
    assert search.left_out() == ["1 file not regular (pipes, sockets, devices)"]


def test_each_real_folder_is_searched_once_however_they_are_linked(tmp_path: Path) -> None:
    folders = [tmp_path / f"f{i}" for i in range(7)]
    for folder in folders:
        touch(folder / "x.png")
    for folder in folders:
        for other in folders:
            (folder / f"to-{other.name}").symlink_to(other)
    own = [f"f{i}/x.png" for i in range(7)]
    assert below(tmp_path)[0] == own
    found, _ = below(*folders)
    assert sorted(found) == sorted(["x.png", *(f"../f{i}/x.png" for i in range(1, 7))])
    assert below(folders[0])[0] == ["x.png", *(f"to-f{i}/x.png" for i in range(1, 7))]


def test_links_lead_to_other_places_and_not_above(tmp_path: Path) -> None:
    touch(tmp_path / "p" / "sub" / "a.jpg", tmp_path / "elsewhere" / "b.jpg", tmp_path / "beside.jpg")
    (tmp_path / "p" / "up").symlink_to(tmp_path)
    (tmp_path / "p" / "root").symlink_to("/")
    (tmp_path / "p" / "again").symlink_to(tmp_path / "p" / "sub")
    (tmp_path / "p" / "other").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "p" / "twice").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "p" / "loop").symlink_to(tmp_path / "p" / "loop")
    assert below(tmp_path / "p")[0] == ["other/b.jpg", "sub/a.jpg"]


def test_a_link_to_itself_that_is_called_like_an_image_is_found(tmp_path: Path) -> None:
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    assert below(tmp_path)[0] == ["loop.jpg"]


def test_the_folder_to_exclude(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg", tmp_path / "out" / "b.jpg")
    assert below(tmp_path, exclude=tmp_path / "out")[0] == ["a.jpg"]
    found, search = below(tmp_path, exclude=tmp_path)
    assert found == []
    assert search.left_out() == [f"{tmp_path}, the output folder"]


def test_pictures_of_a_training_run_are_no_photos(tmp_path: Path) -> None:
    run = tmp_path / "photos" / "runs" / "unet"
    touch(tmp_path / "photos" / "a.jpg", run / "curves.png", run / "deeper" / "b.jpg")
    assert below(tmp_path / "photos")[0] == ["a.jpg", "runs/unet/curves.png", "runs/unet/deeper/b.jpg"]
    (run / "config.yaml").write_text("plugin: unet\n")
    assert not is_run_folder(run), "settings alone may be anybody's"
    (run / "metrics.jsonl").write_text('{"step": 1, "loss": 2.5}\n')
    assert is_run_folder(run)
    found, search = below(tmp_path / "photos")
    assert found == ["a.jpg"]
    assert search.left_out() == [f"pictures of training runs in {run}"]
    assert below(run)[0] == [], "named by itself, as results are"
    for line in ("", "[1]", '{"image": "x"}', "no json"):
        (run / "metrics.jsonl").write_text(line)
        assert not is_run_folder(run)

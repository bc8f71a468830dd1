"""Every dataset that can be fetched, from a server that has a small archive in its publisher's layout."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.file_server import FileServer
from toolkit.datasets.camvid.sample import write_sample as write_camvid
from toolkit.datasets.cifar10.sample import write_sample as write_cifar10
from toolkit.datasets.labpics.sample import write_sample as write_labpics
from toolkit.datasets.mnist.sample import write_sample as write_mnist
from toolkit.datasets.msrc.splits import SPLITS, ids_of
from toolkit.datasets.oxford_pets.sample import write_sample as write_pets
from toolkit.datasets.voc.sample import write_sample as write_voc

from toolkit import registry
from toolkit.data.dataset import draw_sample, missing_folder, open_dataset
from toolkit.data.fetching import fetch_dataset
from toolkit.errors import DataError, DownloadError
from toolkit.registry.manifests import DatasetManifest, Download
from toolkit.runtime.locks import lock_of

PHOTO = np.full((9, 12, 3), 90, np.uint8)
FETCHED = [manifest.name for manifest in registry.datasets() if manifest.downloads]


def photo(path: Path, pixels: np.ndarray = PHOTO) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def balloon(folder: Path) -> None:
    shape = {"name": "polygon", "all_points_x": [2, 8, 2], "all_points_y": [1, 1, 7]}
    region = {"shape_attributes": shape, "region_attributes": {}}
    for split in ("train", "val"):
        photo(folder / "balloon" / split / "a.jpg")
        entry = {"filename": "a.jpg", "size": 1, "regions": {"0": region}, "file_attributes": {}}
        (folder / "balloon" / split / "via_region_data.json").write_text(json.dumps({"a.jpg1": entry}))
    # what macOS packs beside the files
    (folder / "__MACOSX" / "balloon").mkdir(parents=True)
    (folder / "__MACOSX" / "balloon" / "._train").write_bytes(b"")


def camvid(folder: Path) -> None:
    """As in SegNet's repository, with code around the data."""
    root = folder / Path(manifest_of("camvid").downloads[0].subfolder)
    for split in ("train", "val", "test"):
        photo(root / split / "0001TP_006690.png")
        photo(root / f"{split}annot" / "0001TP_006690.png", np.zeros((9, 12), np.uint8))
        (root / f"{split}.txt").write_text("/SegNet/CamVid/…")
    (root.parent / "Scripts").mkdir()
    (root.parent / "Scripts" / "test.py").write_text("raise SystemExit")


def coco(folder: Path) -> None:
    for split in ("train", "val"):
        photo(folder / f"{split}2017" / "1.jpg")
        for kind in ("instances", "captions", "person_keypoints"):
            document = {
                "images": [{"id": 1, "file_name": "1.jpg", "height": 9, "width": 12}],
                "categories": [{"id": 3, "name": "cat"}],
                "annotations": [],
            }
            (folder / "annotations").mkdir(exist_ok=True)
            (folder / "annotations" / f"{kind}_{split}2017.json").write_text(json.dumps(document))


def labpics(folder: Path) -> None:
    write_labpics(folder / "LabPicsV1", train=30, test=1, size=64)


def msrc(folder: Path) -> None:
    root = folder / "MSRC_ObjCategImageDatabase_v2"
    for name in (name for split in SPLITS for name in ids_of(split)):
        photo(root / "Images" / f"{name}.bmp", PHOTO[:2, :2])
        photo(root / "GroundTruth" / f"{name}_GT.bmp", np.zeros((2, 2, 3), np.uint8))


def cifar10(folder: Path) -> None:
    write_cifar10(folder / "cifar-10-batches-py", per_batch=12)


def mnist(folder: Path) -> None:
    write_mnist(folder, train=40, test=4)


def manifest_of(name: str) -> DatasetManifest:
    return registry.datasets().get(name)


PUBLISHERS: dict[str, Callable[[Path], object]] = {
    "balloon": balloon,
    "camvid": camvid,
    "cifar10": cifar10,
    "coco": coco,
    "labpics": labpics,
    "mnist": mnist,
    "msrc": msrc,
    "oxford-pets": write_pets,
    "voc": write_voc,
}
"""Who writes what the publisher's archives hold."""

PARTS = {
    "images.tar.gz": ("images",),
    "annotations.tar.gz": ("annotations",),
    "annotations_trainval2017.zip": ("annotations",),
    "val2017.zip": ("val2017",),
    "train2017.zip": ("train2017",),
}
"""The folders of an archive that does not hold all."""


def packed(folder: Path, name: str) -> bytes:
    """A published file: an archive of a folder, of the kind that its name says, or a file in it."""
    if (folder / name).is_file():  # published as it is
        return (folder / name).read_bytes()
    content = io.BytesIO()
    parts = PARTS.get(name, tuple(path.name for path in folder.iterdir()))
    files = sorted(path for part in parts for path in (folder / part).rglob("*") if path.is_file())
    assert files, name
    if name.endswith(".zip"):
        with zipfile.ZipFile(content, "w") as bundle:
            for file in files:
                bundle.write(file, file.relative_to(folder))
    else:
        with tarfile.open(fileobj=content, mode="w:gz" if name.endswith("gz") else "w") as bundle:
            for file in files:
                bundle.add(file, file.relative_to(folder))
    return content.getvalue()


def served(manifest: DatasetManifest, server: FileServer, files: Path) -> DatasetManifest:
    """The manifest with its files on this machine, and with what is published of these."""
    local = []
    for download in manifest.downloads:
        body = packed(files, download.name)
        server.behavior.files[f"/{download.name}"] = body
        published = download.published
        checksum = f"{published[0]}:{hashlib.new(published[0], body).hexdigest()}" if published else ""
        local.append(
            replace(
                *(download,),
                url=f"{server.root}/{download.name}",
                filename=download.name,
                sha256=None,
                size=None,
                checksum=checksum,
            )
        )
    return replace(manifest, downloads=tuple(local))


@pytest.mark.parametrize("name", FETCHED)
def test_a_dataset_arrives_and_opens(name: str, file_server: FileServer, tmp_path: Path) -> None:
    PUBLISHERS[name](tmp_path / "published")
    manifest = served(manifest_of(name), file_server, tmp_path / "published")
    folder = tmp_path / "arrived"
    lines = list(fetch_dataset(manifest, folder))
    assert len(file_server.behavior.paths) == len(manifest.downloads)
    for download in manifest.downloads:
        assert (folder / download.name).is_file()
        assert (folder / f"{download.name}.sha256").is_file() == (download.published is None)
    for split in (manifest.splits[0], manifest.val_split):
        dataset = open_dataset(manifest, folder, split)
        assert len(dataset) > 0
        assert dataset[0].image.shape[0] == 3
        assert f"{split} {len(dataset)}" in lines[-2]
    assert lines[-1] == f"Next: toolkit data check {name} --data-dir {folder}"
    assert not list(folder.rglob("*.py"))
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    assert list(fetch_dataset(manifest, folder)) == lines
    archives = {each.name for each in manifest.downloads}
    archives -= {path.name for path in (tmp_path / "published").iterdir()}  # files that are the data
    for archive in archives:
        (folder / archive).unlink()
    if archives:
        there, following = fetch_dataset(manifest, folder)
        assert there.startswith(f"{name} is already in {folder}, so nothing is downloaded: ")
        assert [there.partition("samples")[2], following] == [lines[-2].partition("samples")[2], lines[-1]]
    assert len(file_server.behavior.paths) == len(manifest.downloads), "what is there is not fetched again"


def test_the_generated_sample_is_not_the_data(tmp_path: Path) -> None:
    manifest = manifest_of("camvid")
    draw_sample(manifest, tmp_path / "camvid")
    open_dataset(manifest, tmp_path / "camvid", "train")
    with pytest.raises(DownloadError, match=r"the synthetic sample of camvid, not .* Hint: remove this"):
        list(fetch_dataset(manifest, tmp_path / "camvid"))


def test_one_of_two_archives_is_not_the_data(file_server: FileServer, tmp_path: Path) -> None:
    write_pets(tmp_path / "published")
    manifest = served(manifest_of("oxford-pets"), file_server, tmp_path / "published")
    folder = tmp_path / "arrived"
    unfinished = fetch_dataset(manifest, folder)
    assert next(unfinished).startswith(f"downloaded {folder / 'images.tar.gz'}")
    assert next(unfinished).startswith("unpacked")
    (folder / "images.tar.gz").unlink()
    assert "train" in list(fetch_dataset(manifest, folder))[-2]
    assert file_server.behavior.paths == ["/images.tar.gz", "/images.tar.gz", "/annotations.tar.gz"]


def test_an_interrupted_fetch_is_not_taken_for_the_data(file_server: FileServer, tmp_path: Path) -> None:
    """Whenever it stops, the next command that needs the data names the one that goes on."""
    balloon(tmp_path / "published")
    manifest = served(manifest_of("balloon"), file_server, tmp_path / "published")
    folder = tmp_path / "arrived"
    file_server.behavior.failures = [404]
    with pytest.raises(DownloadError, match="answered 404"):
        list(fetch_dataset(manifest, folder))
    assert not folder.exists()
    command = rf"Hint: toolkit data get balloon --data-dir {folder}"
    (folder / ".unpacking-x").mkdir(parents=True)
    name = manifest.downloads[0].name
    for left in (f"{name}.part", f"{name}.part.json", lock_of(folder / name).name, name, f"{name}.sha256"):
        (folder / left).write_bytes(b"")
        with pytest.raises(DataError, match=rf"contains only an unfinished download[\s\S]*{command}"):
            open_dataset(manifest, folder, "train")
    (folder / "train").mkdir()
    with pytest.raises(DataError, match="via_region_data"):
        open_dataset(manifest, folder, "train")


def test_what_cannot_be_had_may_be_drawn(file_server: FileServer, tmp_path: Path) -> None:
    file_server.behavior.failures = [404]
    gone = (Download(f"{file_server.root}/gone.zip"),)
    with pytest.raises(DownloadError, match="or try things without the data: toolkit data sample labpics"):
        list(fetch_dataset(replace(manifest_of("labpics"), downloads=gone), tmp_path))


def test_every_publisher_is_tried() -> None:
    assert sorted(FETCHED) == sorted(PUBLISHERS)


def test_the_originals_sample_is_no_part_of_it(tmp_path: Path) -> None:
    """CamVid is fetched in SegNet's layout; its sample has the other, and both open."""
    write_camvid(tmp_path)
    assert len(open_dataset(manifest_of("camvid"), tmp_path, "train")) > 0


def hostile() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as bundle:
        bundle.writestr("balloon/train/via_region_data.json", "{}")
        bundle.writestr("../../evil.txt", "evil")
    return content.getvalue()


def test_a_hostile_archive_writes_nothing(file_server: FileServer, tmp_path: Path) -> None:
    file_server.behavior.files["/set.zip"] = hostile()
    manifest = replace(manifest_of("balloon"), downloads=(Download(f"{file_server.root}/set.zip"),))
    with pytest.raises(DownloadError, match="is not safe to unpack"):
        list(fetch_dataset(manifest, tmp_path / "a" / "b"))
    assert not list(tmp_path.rglob("evil.txt"))
    assert not (tmp_path / "a" / "b" / "balloon").exists()


def test_half_an_archive_does_not_pass_for_a_whole_one(file_server: FileServer, tmp_path: Path) -> None:
    """Of a server that names too small a length, only unpacking can tell; and it tells each time."""
    balloon(tmp_path / "published")
    body = packed(tmp_path / "published", "set.zip")
    file_server.behavior.files["/set.zip"] = body[: len(body) // 2]
    manifest = replace(manifest_of("balloon"), downloads=(Download(f"{file_server.root}/set.zip"),))
    folder = tmp_path / "arrived"
    for _ in range(2):
        with pytest.raises(DownloadError, match=r"is damaged.*Hint: remove it and set\.zip\.sha256 next to"):
            list(fetch_dataset(manifest, folder))
        assert sorted(path.name for path in folder.iterdir()) == ["set.zip", "set.zip.sha256"]
    file_server.behavior.files["/set.zip"] = body
    for path in folder.iterdir():
        path.unlink()
    assert "train 1, val 1" in list(fetch_dataset(manifest, folder))[-2]


def test_files_that_are_no_archives_stay_as_they_are(file_server: FileServer, tmp_path: Path) -> None:
    shape = {"shape_attributes": {"name": "rect", "x": 1, "y": 1, "width": 3, "height": 3}}
    entry = {"filename": "a.jpg", "size": 1, "regions": [shape | {"region_attributes": {}}]}
    file_server.behavior.files["/via.json"] = json.dumps({"a": entry}).encode()
    for split in ("train", "val"):
        photo(tmp_path / split / "a.jpg")
    manifest = replace(
        manifest_of("balloon"),
        downloads=tuple(
            Download(f"{file_server.root}/via.json", filename=name) for name in ("a.json", "b.json")
        ),
    )
    with pytest.raises(DataError, match="what was downloaded for balloon is not as expected"):
        list(fetch_dataset(manifest, tmp_path))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_folder_without_any_split(file_server: FileServer, tmp_path: Path) -> None:
    file_server.behavior.files["/a.json"] = b"{}"
    manifest = replace(manifest_of("balloon"), downloads=(Download(f"{file_server.root}/a.json"),))
    with pytest.raises(DataError, match=r"has none of the splits train, val, test\. Hint: look in"):
        list(fetch_dataset(manifest, tmp_path / "new"))


def test_a_missing_folder_names_the_command_that_fetches_it(tmp_path: Path) -> None:
    manifest = manifest_of("balloon")
    for folder, command in (
        (Path("data/balloon"), "toolkit data get balloon"),
        (tmp_path / "my photos", f"toolkit data get balloon --data-dir '{tmp_path}/my photos'"),
    ):
        assert missing_folder(manifest, folder).splitlines()[-1].startswith(f"Hint: {command}, or")
    (tmp_path / "file").write_text("")
    assert "Hint: put them at data/balloon, or" in missing_folder(manifest, tmp_path / "file")
    assert "Hint: put them at data/masks, or" in missing_folder(manifest_of("masks"), Path("data/masks"))

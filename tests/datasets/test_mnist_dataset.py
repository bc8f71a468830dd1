"""What the reader of MNIST promises, on files in exactly the published format."""

from __future__ import annotations

import gzip
import pickle
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.file_server import FileServer
from toolkit.datasets.mnist.idx import read_idx
from torchvision.datasets import MNIST

from toolkit import registry
from toolkit.cli import main
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.errors import DataError, MissingSplitError, OutputError
from toolkit.registry.manifests import Download

FIELD = "class_probabilities"
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 28, 28), dtype=np.uint8)
LABELS = (np.arange(40) % 10).astype(np.uint8)


def idx(values: np.ndarray[Any, Any], kind: int = 8) -> bytes:
    """The header byte by byte, as http://yann.lecun.com/exdb/mnist/ describes it, then the numbers."""
    sizes = b"".join(struct.pack(">i", n) for n in values.shape)
    return bytes([0, 0, kind, values.ndim]) + sizes + values.tobytes()


def mnist(folder: Path, split: str = "trainval", **options: Any) -> Dataset:
    return open_dataset(registry.datasets().get("mnist"), folder, split, options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(LABELS))
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES[:5] // 2)))
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS[:5])))
    return tmp_path


def test_images_and_labels(folder: Path) -> None:
    dataset = mnist(folder)
    assert dataset.classes == tuple("0123456789")
    assert dataset.ids[3] == "train-00003"
    for i in (0, 3, 39):
        sample = dataset[i]
        assert sample.image.shape == (3, 28, 28)
        assert all(np.array_equal(channel.numpy(), IMAGES[i]) for channel in sample.image)
        assert sample.extras[FIELD].tolist() == [float(c == LABELS[i]) for c in range(10)]
    test = mnist(folder, "test")
    assert np.array_equal(test[4].image[0].numpy(), IMAGES[4] // 2)
    assert test.ids[0] == "t10k-00000"


def test_the_same_as_torchvision_reads(folder: Path) -> None:
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        (raw / name).write_bytes((folder / name).read_bytes())
    for part in ("images-idx3", "labels-idx1"):
        (raw / f"t10k-{part}-ubyte").write_bytes(
            gzip.decompress((folder / f"t10k-{part}-ubyte.gz").read_bytes())
        )
    theirs, mine = MNIST(folder, train=True), mnist(folder)
    for i in range(40):
        image, label = theirs[i]
        assert np.array_equal(np.asarray(image), mine[i].image[0].numpy())
        assert label == int(mine[i].extras[FIELD].argmax())


def test_the_downloads_are_those_of_torchvision() -> None:
    published = dict(MNIST.resources)
    downloads = registry.datasets().get("mnist").downloads
    assert {each.name: each.published for each in downloads} == {
        name: ("md5", digits) for name, digits in published.items()
    }
    assert all(each.url == MNIST.mirrors[0] + each.name for each in downloads)


def test_train_and_val_are_parts_of_the_published_training_set(folder: Path) -> None:
    train, val = mnist(folder, "train", val_fraction=0.3), mnist(folder, "val", val_fraction=0.3)
    assert sorted([*train.ids, *val.ids]) == list(mnist(folder).ids)
    assert 0 < len(val) < len(train)
    place = int(val.ids[0].partition("-")[2])
    assert np.array_equal(val[0].image[0].numpy(), IMAGES[place])
    with pytest.raises(MissingSplitError, match="falls into the split 'val'"):
        mnist(folder, "val", val_fraction=1e-9)


def test_other_data_in_the_format(folder: Path) -> None:
    """Names with a dot, other sizes of images, and other classes."""
    (folder / "train-images-idx3-ubyte").rename(folder / "train-images.idx3-ubyte")
    (folder / "train-images.idx3-ubyte").write_bytes(idx(IMAGES[:, :20, :14].copy()))
    names = [f"letter {i}" for i in range(12)]
    dataset = mnist(folder, classes=names)
    assert dataset[0].size == (20, 14)
    assert dataset.classes == tuple(names)
    with pytest.raises(DataError, match=r"has the label 9; expected 0 to 4 for 5 classes\. Hint: name all"):
        mnist(folder, classes=names[:5])


def test_another_process_reads_the_images_itself(folder: Path) -> None:
    dataset = mnist(folder)
    sent = pickle.dumps(dataset)
    assert len(sent) < IMAGES.nbytes / 2
    assert np.array_equal(pickle.loads(sent)[7].image.numpy(), dataset[7].image.numpy())


WHOLE = idx(IMAGES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no IDX file: it begins with nothing"),
        (b"\1\2\3\4" + bytes(30), "is no IDX file: it begins with 01 02 03 04"),
        (WHOLE[:15], "is no IDX file"),
        (WHOLE[:-1], r"has 31,375 bytes; expected 31,376 for 40 × 28 × 28 values by its header\. Hint: get"),
        (WHOLE + b"\0", "has 31,377 bytes; expected 31,376"),
        (
            idx(LABELS) + bytes(8),
            r"numbers of type 0x08 along 1 axes; expected 0x08 \(bytes\) along 3\. Hint: check",
        ),
        (idx(IMAGES, kind=0x0D), "numbers of type 0x0d along 3 axes"),
        (b"\0\0\x08\3" + b"\xff" * 12, r"expected 79,228,162,458,924,105,385,300,197,391 for 4294967295"),
        (idx(IMAGES[:0]), "has 0 images, but"),
    ],
)
def test_files_whose_size_is_not_that_of_their_header(folder: Path, content: bytes, message: str) -> None:
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        mnist(folder)
    assert str(path) in str(caught.value)
    path.unlink()
    (folder / f"{path.name}.gz").write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match=message):
        mnist(folder)


def test_damaged_and_bloated_archives(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "t10k-images-idx3-ubyte.gz"
    for content in (path.read_bytes()[:-9], b"no archive", path.read_bytes()[:40] + b"\xff" * 20):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"is damaged, or not gzipped: .*Hint: get the file again"):
            mnist(folder, "test")
    monkeypatch.setattr("toolkit.datasets.mnist.idx.MOST_BYTES", 10_000)
    path.write_bytes(gzip.compress(bytes(1_000_000)))
    with pytest.raises(DataError, match="unpacks to more than 10,000 bytes"):
        read_idx(path, 3)


def test_what_is_missing_or_does_not_belong_together(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(LABELS[:-1]))
    with pytest.raises(DataError, match=r"has 40 images, but .* 39 labels\. Hint: toolkit data get mnist"):
        mnist(folder)
    (folder / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(MissingSplitError, match=r"has no train-labels-idx1-ubyte \(or train-labels"):
        mnist(folder)
    with pytest.raises(DataError, match="has no train-images-idx3-ubyte") as caught:
        mnist(tmp_path_factory.mktemp("empty"))
    assert not isinstance(caught.value, MissingSplitError)


def test_the_stand_in_is_the_dataset(tmp_path: Path) -> None:
    manifest = registry.datasets().get("mnist")
    assert manifest.resolve(manifest.sample)(tmp_path, train=30, test=10) == 40
    assert len(mnist(tmp_path)) == 30
    assert len(mnist(tmp_path, "test")) == 10
    with pytest.raises(OutputError, match="already contains MNIST"):
        manifest.resolve(manifest.sample)(tmp_path)


def test_the_files_are_fetched_and_not_unpacked(
    tmp_path: Path,
    file_server: FileServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = tmp_path / "source"
    manifest = registry.datasets().get("mnist")
    manifest.resolve(manifest.sample)(source, train=30, test=10)
    served = []
    for each in manifest.downloads:
        file_server.behavior.files[f"/{each.name}"] = (source / each.name).read_bytes()
        served.append(Download(f"{file_server.root}/{each.name}"))
    registry.datasets()._manifests["mnist"] = replace(manifest, downloads=tuple(served))
    monkeypatch.chdir(tmp_path)
    assert main(["data", "get", "mnist"]) == 0
    assert "mnist is in data/mnist: samples by split: train" in capsys.readouterr().out
    assert len(mnist(tmp_path / "data" / "mnist")) == 30

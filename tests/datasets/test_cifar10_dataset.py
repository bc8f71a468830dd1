"""What the reader of CIFAR-10 promises, on files in exactly the published formats."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.file_server import FileServer
from toolkit.datasets.cifar10.sample import CLASSES
from torchvision.datasets import CIFAR10

from toolkit import registry
from toolkit.cli import main
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.errors import DataError, MissingSplitError, OutputError
from toolkit.registry.manifests import Download

FIELD = "class_probabilities"
RNG = np.random.default_rng(0)
DATA = RNG.integers(0, 256, (60, 3072), dtype=np.uint8)
LABELS = [int(i) % 10 for i in range(60)]
NAMES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]


def python2(value: Any) -> bytes:
    """A pickle of protocol 2 as cPickle of Python 2 writes it: text as byte strings, arrays of NumPy 1."""

    def text(content: bytes) -> bytes:
        if len(content) < 256:
            return b"U" + bytes([len(content)]) + content
        return b"T" + len(content).to_bytes(4, "little") + content

    def number(n: int) -> bytes:
        return b"K" + bytes([n]) if n < 256 else b"M" + n.to_bytes(2, "little")

    def array(a: np.ndarray[Any, Any]) -> bytes:
        made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + number(0) + b"\x85" + text(b"b")
        made += b"tR"
        dtype = b"cnumpy\ndtype\n" + text(b"u1") + number(0) + number(1) + b"\x87R("
        dtype += number(3) + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff" + number(0) + b"tb"
        shape = b"".join(map(number, a.shape)) + b"\x86"
        return made + b"(" + number(1) + shape + dtype + b"\x89" + text(a.tobytes()) + b"tb"

    def any_of(each: Any) -> bytes:
        if isinstance(each, dict):
            return b"}(" + b"".join(any_of(k) + any_of(v) for k, v in each.items()) + b"u"
        if isinstance(each, list):
            return b"](" + b"".join(map(any_of, each)) + b"e"
        if isinstance(each, np.ndarray):
            return array(each)
        return text(each.encode()) if isinstance(each, str) else number(each)

    return b"\x80\2" + any_of(value) + b"."


def batch(number: int, labels: list[int] | None = None) -> dict[str, Any]:
    rows = slice(10 * number, 10 * number + 10)
    own = LABELS[rows] if labels is None else labels
    return {
        "batch_label": f"training batch {number} of 5",
        "labels": own,
        "data": DATA[rows].copy(),
        "filenames": [f"photo_{i}.png" for i in range(10)],
    }


def cifar(folder: Path, split: str = "trainval", **options: Any) -> Dataset:
    return open_dataset(registry.datasets().get("cifar10"), folder, split, options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        (tmp_path / name).write_bytes(python2(batch(number)))
    meta = {"num_cases_per_batch": 10, "label_names": list(CLASSES), "num_vis": 3072}
    (tmp_path / "batches.meta").write_bytes(python2(meta))
    return tmp_path


def check(dataset: Dataset, first: int) -> None:
    assert dataset.classes == CLASSES
    for i in (0, 4, len(dataset) - 1):
        sample = dataset[i]
        assert np.array_equal(sample.image.numpy().reshape(-1), DATA[first + i])
        assert sample.image.shape == (3, 32, 32)
        assert int(sample.extras[FIELD].argmax()) == LABELS[first + i]
        assert sample.extras[FIELD].sum() == 1


def test_the_pickles_of_the_archive(folder: Path) -> None:
    with open(folder / "data_batch_2", "rb") as file:
        assert np.array_equal(pickle.load(file, encoding="latin1")["data"], DATA[10:20]), "a valid pickle"
    trainval, test = cifar(folder), cifar(folder, "test")
    assert (len(trainval), len(test)) == (50, 10)
    check(trainval, 0)
    check(test, 50)
    assert (trainval.ids[7], test.ids[7]) == ("train-00007", "test-00007")


@pytest.mark.parametrize("protocol", [2, 5])
def test_pickles_of_python_3(folder: Path, protocol: int) -> None:
    for number, name in enumerate(NAMES):
        content = {key.encode(): value for key, value in batch(number).items()}
        (folder / name).write_bytes(pickle.dumps(content, protocol=protocol))
    check(cifar(folder), 0)


def test_the_binary_version(folder: Path) -> None:
    for number, name in enumerate(NAMES):
        rows = [bytes([LABELS[i]]) + DATA[i].tobytes() for i in range(10 * number, 10 * number + 10)]
        (folder / f"{name}.bin").write_bytes(b"".join(rows))
        (folder / name).unlink()
    (folder / "batches.meta").unlink()
    (folder / "batches.meta.txt").write_text("\n".join(CLASSES) + "\n\n")
    check(cifar(folder), 0)
    check(cifar(folder, "test"), 50)
    with open(folder / "test_batch.bin", "ab") as file:
        file.write(b"\0")
    with pytest.raises(DataError, match=r"has 30,731 bytes; expected 3,073 for each image: its label, then"):
        cifar(folder, "test")


def test_the_same_as_torchvision_reads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = folder / CIFAR10.base_folder
    inner.mkdir()
    for name in [*NAMES, "batches.meta"]:
        (folder / name).rename(inner / name)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    mine, theirs = cifar(folder), CIFAR10(str(folder), train=True)
    assert list(mine.classes) == theirs.classes
    for i in range(50):
        image, label = theirs[i]
        assert np.array_equal(np.asarray(image), mine[i].image.permute(1, 2, 0).numpy())
        assert label == int(mine[i].extras[FIELD].argmax())


def test_the_download_is_that_of_torchvision() -> None:
    (download,) = registry.datasets().get("cifar10").downloads
    assert (download.url, download.published) == (CIFAR10.url, ("md5", CIFAR10.tgz_md5))
    assert download.subfolder == CIFAR10.base_folder


def test_train_and_val_are_parts_of_the_published_training_set(folder: Path) -> None:
    train, val = cifar(folder, "train", val_fraction=0.3), cifar(folder, "val", val_fraction=0.3)
    assert sorted([*train.ids, *val.ids]) == list(cifar(folder).ids)
    assert 0 < len(val) < len(train)
    place = int(val.ids[0].partition("-")[2])
    assert np.array_equal(val[0].image.numpy().reshape(-1), DATA[place])
    with pytest.raises(MissingSplitError, match="falls into the split 'val'"):
        cifar(folder, "val", val_fraction=1e-9)


def test_another_process_reads_the_images_itself(folder: Path) -> None:
    dataset = cifar(folder)
    sent = pickle.dumps(dataset)
    assert len(sent) < DATA.nbytes / 2
    assert np.array_equal(pickle.loads(sent)[7].image.numpy(), dataset[7].image.numpy())


class Harm:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["data_batch_3", "batches.meta"])
def test_nothing_in_a_pickle_is_run(folder: Path, name: str) -> None:
    content = pickle.dumps({"data": Harm(folder / "harm")}, protocol=2)
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=r"is refused: it asks for posix\.mkdir, but a file of images of"):
        cifar(folder)
    assert not (folder / "harm").exists()
    pickle.loads(content)
    assert (folder / "harm").is_dir(), "it would have been run by pickle"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (python2([1, 2]), "contains list; expected a dictionary with data and labels"),
        (python2({"labels": [1]}), r"data is NoneType; expected uint8 \[N, 3072\]"),
        (
            python2(batch(0) | {"data": DATA[:10, :3000].copy()}),
            r"data is uint8 \[10, 3000\]; expected uint8",
        ),
        (python2(batch(0, [1, 2])), "labels must be a list of 10 whole numbers, one for each image"),
        (python2(batch(0, [300] + [0] * 9)), "labels must be a list of 10 whole numbers"),
        (python2(batch(0, [10] + [0] * 9)), "has the label 10; expected 0 to 9 for the 10 classes"),
        (python2(batch(0))[:-200], "is truncated, or is not a pickle of NumPy arrays"),
        (b"", "is truncated, or is not a pickle"),
    ],
)
def test_batches_that_are_none(folder: Path, content: bytes, message: str) -> None:
    (folder / "data_batch_4").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        cifar(folder)
    assert "data_batch_4" in str(caught.value)
    assert "Hint: " in str(caught.value)


def test_what_is_missing(folder: Path) -> None:
    (folder / "test_batch").unlink()
    with pytest.raises(MissingSplitError, match=r"has no test_batch\. Hint: toolkit data get cifar10"):
        cifar(folder, "test")
    (folder / "data_batch_2").unlink()
    with pytest.raises(DataError, match="lacks data_batch_2; metrics on only a part"):
        cifar(folder)
    (folder / "batches.meta").write_bytes(python2({"label_names": ["a", "a"]}))
    with pytest.raises(DataError, match=r"batches\.meta has no list of different names of classes"):
        cifar(folder)
    (folder / "batches.meta").unlink()
    with pytest.raises(DataError, match=r"is not CIFAR-10: there is no batches\.meta"):
        cifar(folder)


def test_the_stand_in_is_the_dataset(tmp_path: Path) -> None:
    manifest = registry.datasets().get("cifar10")
    assert manifest.resolve(manifest.sample)(tmp_path, per_batch=4) == 24
    assert len(cifar(tmp_path)) == 20
    with pytest.raises(OutputError, match="already contains CIFAR-10"):
        manifest.resolve(manifest.sample)(tmp_path)


def test_the_archive_is_fetched_and_unpacked(
    folder: Path, file_server: FileServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name in [*NAMES, "batches.meta"]:
            archive.add(folder / name, f"cifar-10-batches-py/{name}")
    manifest = registry.datasets().get("cifar10")
    file_server.behavior.files["/cifar-10-python.tar.gz"] = content.getvalue()
    served = Download(f"{file_server.root}/cifar-10-python.tar.gz", subfolder="cifar-10-batches-py")
    registry.datasets()._manifests["cifar10"] = replace(manifest, downloads=(served,))
    monkeypatch.chdir(folder)
    assert main(["data", "get", "cifar10", "--data-dir", "fetched"]) == 0
    assert "cifar10 is in fetched: samples by split: train" in capsys.readouterr().out
    check(cifar(folder / "fetched"), 0)

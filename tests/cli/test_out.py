"""Where a command writes to: folders that cannot be made, folders that another process writes to, and disks
that become full; each is one clear error.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from toolkit import registry
from toolkit.cli import main
from toolkit.runtime.locks import LOCK_FILE, locked, locked_file
from toolkit.training.log import read_metrics
from toolkit.training.state import RESUME_FILE, load_state

FEW = ["train.device=cpu", "train.workers=0", "train.log_every=1"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images that is also a set of objects in COCO's format."""
    folder = tmp_path_factory.mktemp("photos")
    images, annotations = [], []
    for index in range(3):
        image = np.random.default_rng(index).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        (folder / f"{index}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
        images.append({"id": index, "file_name": f"{index}.png"})
        part = [[2, 2, 12, 2, 12, 9, 2, 9]]
        annotations.append({"id": index, "image_id": index, "category_id": 1, "segmentation": part})
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "dog"}]}
    (folder / "train.json").write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny = str(Path(__file__).resolve().parents[1] / "support" / "tiny.py")
    folder = tmp_path_factory.mktemp("run") / "run"
    words = ["train", "--plugin", tiny, "--data", tiny, "--out", str(folder), "train.steps=1"]
    assert main([*words, *FEW]) == 0
    return folder


@pytest.fixture
def commands(tiny: str, run: Path, photos: Path) -> dict[str, list[str]]:
    """Command lines that lack the place to write to."""
    registry.add_path(tiny)
    coco = ["coco", "--data-dir", str(photos), "--split", "train"]
    return {
        "train": ["train", "--plugin", tiny, "--data", tiny, "train.steps=1", *FEW, "--out"],
        "infer": ["infer", str(run), str(photos), "--device", "cpu", "--out"],
        "convert": ["data", "convert", *coco, "--to", "yolo", "--out"],
        "data export": ["data", "export", *coco, "--out"],
        "sample": ["data", "sample", "brain-mri", "--data-dir"],
        "preview": ["data", "preview", *coco, "--out"],
        "export": ["export", str(run), "--out"],
        "compare": ["compare", str(run), str(run), "--data", "squares", "--device", "cpu", "--out"],
        "plugins new": ["plugins", "new", "freshnet", "--kind", "semantic", "--out"],
    }


NAMES = {"preview": "sheet.jpg", "export": "weights.pth", "compare": "sheet.jpg"}
COMMANDS = (
    *("train", "infer", "convert", "data export", "sample", "preview", "export", "compare", "plugins new"),
)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that takes no files")
@pytest.mark.parametrize("command", COMMANDS)
def test_folders_above_that_cannot_be_made(
    commands: dict[str, list[str]],
    command: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("toolkit.evaluation.compare.predicting_memory", lambda *_, **__: 1)
    place = "/proc/new/deep/out" + (f"/{NAMES[command]}" if command in NAMES else "")
    assert main([*commands[command], place]) == 1
    error = capsys.readouterr().err
    assert "error: /proc/new/deep/out" in error
    assert "cannot be written: " in error
    assert "Hint: " in error


@pytest.mark.parametrize(
    "command", ["train", "infer", "convert", "data export", "sample", "preview", "export"]
)
def test_only_one_process_writes_there(
    commands: dict[str, list[str]], command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / NAMES.get(command, "out")
    lock = locked_file(place) if command in NAMES else locked(place)
    with lock:
        before = sorted(tmp_path.rglob("*"))
        assert main([*commands[command], str(place)]) == 2
        assert f"another process is writing to {place}. Hint: wait for it" in capsys.readouterr().err
        assert sorted(tmp_path.rglob("*")) == before
    assert main([*commands[command], str(place)]) == 0
    assert not list(tmp_path.rglob(f"*{LOCK_FILE}"))


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, whoever writes it; the system's error differs from that of a full disk
    in its number alone.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(sys.platform != "linux", reason="counts on Linux's limits")
@pytest.mark.parametrize("size", [0, 100, 1_000, 2_500, 4_000, 6_000, 12_000])
def test_a_disk_that_becomes_full_while_training(
    tiny: str, tmp_path: Path, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = ["--plugin", tiny, "--data", tiny, *FEW, "train.checkpoint_every=5", "train.eval_every=10"]
    hook = threading.excepthook
    with largest_file(size):
        code = main(["train", *words, "--out", str(out), "train.steps=40"])
    error = capsys.readouterr().err
    assert code == 1, error
    assert "cannot be written: " in error
    assert "larger than the system allows" in error
    assert "Traceback" not in error
    assert threading.excepthook is hook
    if (out / RESUME_FILE).exists():
        assert load_state(out)[0].step > 0, "the state that was saved is whole"
        assert main(["train", "--resume", str(out), *words, "train.steps=40"]) == 0
        assert read_metrics(out)[-1]["step"] == 40


@pytest.mark.skipif(sys.platform != "linux", reason="counts on Linux's limits")
@pytest.mark.parametrize("size", [0, 60, 120, 400])
def test_a_disk_that_becomes_full_while_inferring(
    commands: dict[str, list[str]], tmp_path: Path, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with largest_file(size):
        code = main([*commands["infer"], str(out)])
    error = capsys.readouterr().err
    assert code == 1, error
    assert "cannot be written: " in error
    assert main([*commands["infer"], str(out), "--resume"]) == 0
    assert len((out / "manifest.jsonl").read_text().splitlines()) == 3

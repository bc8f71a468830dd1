"""Every command over runs and data that somebody has made to harm: within seconds and without much memory it
ends in an error that helps, or does its work, and nothing is written outside or run.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from toolkit.cli import main
from toolkit.runtime.children import ROOT

SECONDS = 10
MOST_MEMORY = 1 << 30
FEW = ["train.steps=2", "train.workers=0", "train.device=cpu", "train.eval_every=2"]
QUICK = ["--device", "cpu", "--workers", "0"]
SIZE = (24, 32)


@dataclass(frozen=True)
class Place:
    """What a stranger has sent, and what is the user's.

    Attributes:
        top: the folder of all; ``mine.txt`` in it is the user's.
    """

    top: Path

    @property
    def run(self) -> Path:
        return self.top / "run"

    @property
    def coco(self) -> Path:
        return self.top / "coco"

    @property
    def masks(self) -> Path:
        return self.top / "masks"

    @property
    def yolo(self) -> Path:
        return self.top / "yolo"

    @property
    def mine(self) -> Path:
        return self.top / "mine.txt"

    @property
    def out(self) -> Path:
        return self.top / "new" / "out"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    small = ["data.options.size=32", "data.options.train=4", "data.options.val=2", "model.width=4"]
    words = ["train", "--plugin", "unet", "--data", "shapes", "--out", str(run), *FEW, *small]
    assert main([*words, "encoder=original_padded", "weights=none", "depth=2"]) == 0
    return run


def picture(path: Path, value: int = 90, shape: tuple[int, ...] = (*SIZE, 3)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", np.full(shape, value, np.uint8))[1].tobytes())


def fill(top: Path) -> None:
    """A small set of each kind, and the user's file."""
    (top / "mine.txt").write_text("mine\n")
    square = [2, 2, 9, 2, 9, 9, 2, 9]
    for split, value in (("train", 80), ("val", 100)):
        picture(top / "coco" / split / "a.png", value)
        note = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 2, 7, 7], "area": 49, "iscrowd": 0}
        document = {
            "images": [{"id": 1, "file_name": "a.png", "width": SIZE[1], "height": SIZE[0]}],
            "categories": [{"id": 1, "name": "cup"}],
            "annotations": [note | {"segmentation": [square]}],
        }
        (top / "coco" / "annotations").mkdir(exist_ok=True)
        (top / "coco" / "annotations" / f"instances_{split}.json").write_text(json.dumps(document))
        picture(top / "masks" / "images" / f"{split}.png", value)
        picture(top / "masks" / "labels" / f"{split}.png", 1, SIZE)
        (top / "masks" / f"{split}.txt").write_text(f"{split}\n")
        picture(top / "yolo" / "images" / split / "a.png", value)
        (top / "yolo" / "labels" / split).mkdir(parents=True)
        (top / "yolo" / "labels" / split / "a.txt").write_text("0 .1 .1 .5 .1 .5 .5\n")
    (top / "masks" / "classes.txt").write_text("sky\ncup\n")
    (top / "yolo" / "data.yaml").write_text("names: [cup]\ntrain: images/train\nval: images/val\n")


@pytest.fixture
def place(tmp_path: Path, trained: Path) -> Place:
    fill(tmp_path)
    shutil.copytree(trained, tmp_path / "run")
    return Place(tmp_path)


# What becomes of a file.


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, (1 << 40) + 1)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def theirs(path: Path) -> None:
    path.symlink_to(path.parents[1] / "mine.txt")


def aliases(path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    path.write_text("\n".join(lines))


def nested_yaml(path: Path) -> None:
    path.write_text(f"plugin: {'[' * 900}")


def nested_json(path: Path) -> None:
    path.write_text("[" * 100_000)


def digits(path: Path) -> None:
    path.write_text(f'{{"images": [{{"id": {"9" * 5000}}}]}}')


def compressed(path: Path) -> None:
    file = io.BytesIO()
    torch.save({"model": torch.zeros(40_000_000)}, file)
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))


class Filled:
    def __reduce__(self) -> Any:
        return bytearray, (10**12,)


def greedy(path: Path) -> None:
    path.write_bytes(pickle.dumps({"model": Filled()}, protocol=2))


def header(path: Path) -> None:
    """Tensors whose manifest is nested."""
    save_file({"a": torch.zeros(2)}, path, {"toolkit": "[" * 100_000, "format": "pt"})


def canvas(path: Path) -> None:
    """A PNG of 400 megapixels in a few bytes."""
    picture(path)
    data = bytearray(path.read_bytes())
    data[16:24] = (20_000).to_bytes(4, "big") * 2
    path.write_bytes(data)


Harm = Callable[[Path], None]
HELD = (1, 2, 3)


def check(path: Path, kind: str) -> list[str]:
    return ["data", "check", kind, "--data-dir", str(path)]


Words = Callable[[Place], list[str]]
ON_RUN: dict[str, Words] = {
    "resume": lambda p: ["train", "--resume", str(p.run), "train.steps=3"],
    "config": lambda p: ["train", "--config", str(p.run), "--out", str(p.out)],
    "sheet": lambda p: ["data", "preview", "shapes", "--config", str(p.run), "--out", str(p.out / "a.jpg")],
    "weights": lambda p: ["train", "--config", str(p.run), f"weights={p.run}", "--out", str(p.out)],
    "eval": lambda p: ["eval", str(p.run), *QUICK],
    "compare": lambda p: ["compare", str(p.run), str(p.run), *QUICK],
    "infer": lambda p: ["infer", str(p.run), str(p.coco / "val"), "--out", str(p.out), *QUICK],
    "track": lambda p: ["track", str(p.run), str(p.coco / "val"), "--prompts", str(p.mine), *QUICK[:2]],
    "export": lambda p: ["export", str(p.run), "--out", str(p.out / "w.pth")],
    "summary": lambda p: ["summary", str(p.run)],
}
ON_DATA: dict[str, Callable[[Path, str, Place], list[str]]] = {
    "check": lambda d, k, p: check(d, k),
    "preview": lambda d, k, p: [*_on("preview", d, k, p)[:-1], str(p.out / "a.jpg")],
    "export": lambda d, k, p: _on("export", d, k, p),
    "convert": lambda d, k, p: [*_on("convert", d, k, p), "--to", "coco"],
    "train": lambda d, k, p: [
        *("train", "--plugin", "unet", "--data", k, "--data-dir", str(d), "--out", str(p.out), *FEW),
        *("encoder=original_padded", "weights=none", "depth=2", "model.width=4"),
    ],
    "eval": lambda d, k, p: ["eval", str(p.run), "--data", k, "--data-dir", str(d), *QUICK],
    "infer": lambda d, k, p: ["infer", str(p.run), str(d), "--out", str(p.out), *QUICK],
}


def _on(action: str, data: Path, kind: str, place: Place) -> list[str]:
    split = [] if action == "convert" else ["--split", "train"]
    return ["data", action, kind, "--data-dir", str(data), *split, "--out", str(place.out)]


RUNS: list[tuple[str, Harm, str]] = [
    *[("config.yaml", harm, way) for harm in (sparse, aliases, nested_yaml) for way in ("resume", "config")],
    *[("config.yaml", harm, "sheet") for harm in (pipe, device, aliases)],
    *[("metrics.jsonl", harm, "resume") for harm in (pipe, sparse, device)],
    *[("resume.pt", harm, "resume") for harm in (pipe, sparse, compressed, greedy, theirs)],
    *[("train.log", harm, "resume") for harm in (pipe, theirs, loop)],
    *[(".toolkit.lock", harm, "resume") for harm in (theirs, loop)],
    *[("best.safetensors", header, way) for way in ON_RUN if way not in ("resume", "config", "sheet")],
    *[
        ("best.safetensors", sparse, way)
        for way in ("eval", "compare", "infer", "track", "summary", "export")
    ],
]
COCO = "annotations/instances_train.json"
DATA: list[tuple[str, str, Harm, str]] = [
    *[("coco", COCO, nested_json, way) for way in ON_DATA if way not in ("eval", "infer")],
    *[("coco", COCO, harm, way) for harm in (sparse, digits) for way in ("check", "convert")],
    *[
        ("coco", "train/a.png", harm, way)
        for harm in (canvas, pipe)
        for way in ("check", "preview", "convert")
    ],
    *[("coco", "train/a.png", harm, "infer") for harm in (canvas, pipe, device, sparse, loop)],
    *[("masks", "classes.txt", harm, way) for harm in (device, loop) for way in ("check", "export")],
    *[("masks", "train.txt", harm, "train") for harm in (sparse, loop)],
    *[("masks", "labels/train.png", harm, way) for harm in (canvas, pipe) for way in ("check", "train")],
    *[("masks", "images/val.png", harm, "eval") for harm in (canvas, device)],
    *[("yolo", "data.yaml", harm, way) for harm in (aliases, nested_yaml) for way in ("check", "convert")],
    *[("yolo", "labels/train/a.txt", harm, way) for harm in (pipe, sparse) for way in ("check", "train")],
]


def _title(value: Any) -> str:
    return getattr(value, "__name__", str(value))


@pytest.fixture
def bounded() -> Iterator[None]:
    """At most as many seconds and as much memory as a bad file may cost."""

    def late(*_: object) -> None:
        raise AssertionError(f"it took more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    memory = _restart_peak()
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert _memory("VmHWM") - memory < MOST_MEMORY


def _restart_peak() -> int:
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(key: str) -> int:
    if sys.platform != "linux":
        return 0
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(key))


def files_outside(place: Place) -> set[str]:
    """What lies neither in what the stranger sent nor where something is to be written."""
    known = (place.run, place.coco, place.masks, place.yolo, place.out.parent)
    return {str(path) for path in place.top.iterdir() if path not in known}


def judge(place: Place, words: list[str], capsys: pytest.CaptureFixture[str], *, succeeds: bool) -> None:
    before = files_outside(place)
    code = main(words)
    said = capsys.readouterr()
    assert code in (HELD if not succeeds else (0, *HELD)), said
    if code:
        assert "Hint: " in said.err + said.out
        assert "weights_only" not in said.err
    assert place.mine.read_text() == "mine\n"
    assert files_outside(place) == before


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize(("file", "harm", "way"), RUNS, ids=_title)
def test_runs(
    place: Place,
    file: str,
    harm: Harm,
    way: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(place.out.parent.parent)
    (place.run / file).unlink(missing_ok=True)
    harm(place.run / file)
    judge(place, ON_RUN[way](place), capsys, succeeds=False)


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize(("data", "file", "harm", "way"), DATA, ids=_title)
def test_data(
    place: Place, data: str, file: str, harm: Harm, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = place.top / data
    (folder / file).unlink()
    harm(folder / file)
    judge(place, ON_DATA[way](folder, data, place), capsys, succeeds=way == "infer")


LOST = [
    ("masks", "classes.txt", "classes.txt cannot be read|classes.txt does not exist"),
    ("masks", "train.txt", "train.txt does not exist"),
    ("yolo", "labels/train/a.txt", "a.txt does not exist"),
    ("run", "best.safetensors", "best.safetensors does not exist"),
]


@pytest.mark.parametrize(("folder", "file", "message"), LOST)
def test_a_link_that_leads_nowhere_is_not_taken_for_no_file(
    place: Place, folder: str, file: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which would mean no classes, another split, no objects, or other weights."""
    path = place.top / folder / file
    path.unlink()
    path.symlink_to("/on/another/machine/x")
    words = ON_RUN["summary"](place) if folder == "run" else check(place.top / folder, folder)
    assert main(words) in HELD
    said = capsys.readouterr()
    assert re.search(message, said.err + said.out)


NAMES = ["../../mine.txt", "../mine.png", "{top}/mine.png", "train/../../mine.png"]


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", ["export", "convert", "preview", "eval"])
def test_names_that_lead_out(place: Place, name: str, way: str, capsys: pytest.CaptureFixture[str]) -> None:
    picture(place.top / "mine.png")
    mine = (place.top / "mine.png").read_bytes()
    for split in ("train", "val"):
        path = place.coco / "annotations" / f"instances_{split}.json"
        document = json.loads(path.read_text())
        document["images"][0]["file_name"] = name.format(top=place.top)
        path.write_text(json.dumps(document))
    # a picture may be looked at wherever it lies
    judge(place, ON_DATA[way](place.coco, "coco", place), capsys, succeeds=True)
    assert (place.top / "mine.png").read_bytes() == mine


TRAP = "open({mark!r}, 'w').close()\nraise SystemExit('the stranger was imported')\n"
SHADOWED = (
    *("json", "torch", "numpy", "yaml", "random", "struct", "pickle", "sitecustomize", "usercustomize"),
    *("cv2", "pydantic", "rich", "__init__", "conftest", "setup", "PIL", "plugin", "toolkit_plugin"),
)

PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
from toolkit.cli import main
for words in json.loads(sys.argv[2]):
    print("\\x00", main(words), words[:3], flush=True)
"""


@pytest.mark.slow
def test_folders_that_hold_modules(place: Place) -> None:
    """In a process of its own, since what is imported already cannot be taken from elsewhere."""
    mark = place.top / "new" / "ran"
    mark.parent.mkdir()
    for folder in (place.run, place.coco, place.masks, place.yolo, place.coco / "train"):
        for name in SHADOWED:
            (folder / f"{name}.py").write_text(TRAP.format(mark=str(mark)))
        (folder / "toolkit").mkdir()
        (folder / "toolkit" / "__init__.py").write_text(TRAP.format(mark=str(mark)))
    out = place.out
    commands = [
        ["train", "--resume", str(place.run), "train.steps=3", "train.workers=1"],
        ["eval", ".", *QUICK],
        ["infer", ".", str(place.coco), "--out", str(out / "infer"), *QUICK],
        ["export", ".", "--out", str(out / "w.pth")],
        ["summary", "."],
        ["data", "check", "coco", "--data-dir", str(place.coco)],
        ["data", "preview", "masks", "--data-dir", str(place.masks), "--out", str(out / "a.jpg")],
        ["data", "export", "coco", "--data-dir", str(place.coco), "--out", str(out / "export")],
        ["data", "convert", "yolo", "--data-dir", str(place.yolo), "--to", "via", "--out", str(out / "via")],
        ["data", "list"],
        ["plugins", "list"],
        ["eval", "--predictions", str(out / "infer"), "--data", "masks", "--data-dir", str(out / "x")],
    ]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, str(ROOT), json.dumps(commands)],
        cwd=place.run,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    answers = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("\x00")]
    assert not mark.exists(), done.stderr
    assert len(answers) == len(commands), done.stderr
    expected = ["1" if words[1] == "--predictions" else "0" for words in commands]
    assert answers == expected, done.stderr

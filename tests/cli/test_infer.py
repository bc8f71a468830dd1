"""``toolkit infer``: what it prints, writes and returns."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import fsspec
import numpy as np
import pytest
from PIL import Image

from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, read_checkpoint, save_checkpoint
from toolkit.cli import main
from toolkit.cli.infer import default_results
from toolkit.data.label_maps import read_label_map
from toolkit.inference import image_batches, load
from toolkit.models.building import rebuild_model

PLUGIN = '''
"""One convolution."""
from torch import nn
from toolkit import PluginManifest, SemanticModel

PLUGIN = PluginManifest(name="one-conv", summary="one convolution", task="semantic", build=":build")

def build(settings, classes):
    return SemanticModel(nn.Conv2d(3, len(classes), 1), classes)
'''

Infer = Callable[..., int]


@pytest.fixture
def infer(tmp_path: Path) -> Infer:
    """The command with a trained run and its plugin's file, in a folder with two photos."""
    plugin = tmp_path / "one_conv.py"
    plugin.write_text(PLUGIN)
    registry.add_path(plugin)
    manifest = CheckpointManifest(
        "one-conv", "semantic", ("ground", "square"), palette=((9, 9, 9), (250, 0, 0))
    )
    (tmp_path / "run").mkdir()
    save_checkpoint(
        tmp_path / "run" / "best.safetensors", rebuild_model(manifest, tmp_path).state_dict(), manifest
    )
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.jpg", "deep/b.png"):
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(tmp_path / "photos" / name)

    def run(*words: str, out: str = "out") -> int:
        return main(
            [
                "infer",
                "--device",
                "cpu",
                str(tmp_path / "run"),
                *words,
                "--out",
                str(tmp_path / out),
                "--plugin",
                str(plugin),
            ]
        )

    return run


def test_a_folder(infer: Infer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert infer(str(tmp_path / "photos")) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("2 images done in ")
    first, found, _, measure = printed.out.splitlines()
    assert measure == f"  toolkit eval --predictions {tmp_path / 'out'} --data masks --data-dir FOLDER"
    assert first.endswith(f"results in {tmp_path / 'out'}")
    assert re.fullmatch(r"found: \d+% (ground|square)(, (\d+|< 1)% (ground|square))?", found)
    assert printed.err == ""
    expected = [
        "about.json",
        "labels/a.png",
        "labels/classes.csv",
        "labels/deep/b.png",
        "manifest.jsonl",
        "overlays/a.jpg",
        "overlays/deep/b.jpg",
        "predictions.json",
    ]
    assert (
        sorted(
            p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()
        )
        == expected
    )
    want = load(tmp_path / "run", device="cpu").predict(tmp_path / "photos/a.jpg").label_map
    assert (read_label_map(tmp_path / "out/labels/a.png") == want).all()
    assert Image.open(tmp_path / "out/labels/a.png").getpalette()[:6] == [9, 9, 9, 250, 0, 0]


def test_what_was_left_out_is_said(infer: Infer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("IMG_1.heic", "deep/IMG_2.HEIC", "notes.txt", "._a.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"x")
    assert infer(str(tmp_path / "photos")) == 0
    assert (
        "2 images read; left out: 3 files skipped because of their suffix (2 .heic, 1 .txt); convert .heic to"
        " JPEG or PNG to include them; 1 file hidden or created by the system"
    ) in capsys.readouterr().out.splitlines()
    assert infer(str(tmp_path / "photos"), "--resume") == 0
    Image.new("RGB", (9, 9)).save(tmp_path / "photos" / "a.jpg")
    assert infer(str(tmp_path / "photos"), "--resume") == 0
    assert "1 image done in " in (printed := capsys.readouterr().out)
    assert "1 changed since then and done again" in printed


def test_bad_images_are_reported_counted_and_skipped(
    infer: Infer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos" / "[empty].jpg").write_bytes(b"")
    assert infer(str(tmp_path / "photos"), "--batch-size", "1", "--workers", "1") == 3
    printed = capsys.readouterr()
    assert (
        f"skipped: {tmp_path}/photos/[empty].jpg is empty (0 bytes). Hint: copy or download it again"
        in printed.err
    )
    assert "2 images done" in printed.out
    assert "1 skipped (manifest.jsonl says why)" in printed.out


def test_resume(infer: Infer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert infer(str(tmp_path / "photos" / "deep")) == 0
    assert infer(str(tmp_path / "photos" / "deep")) == 2
    assert "already contains results. Hint: continue them with --resume" in capsys.readouterr().err
    assert infer(str(tmp_path / "photos" / "deep"), "--resume") == 0
    assert capsys.readouterr().out == f"0 images done, 1 done before; results in {tmp_path / 'out'}\n"


def test_windows_and_no_overlays(infer: Infer, tmp_path: Path) -> None:
    assert (
        infer(str(tmp_path / "photos"), "--window", "32", "--overlap", "0.5", "--no-overlays", out="tiled")
        == 0
    )
    assert infer(str(tmp_path / "photos"), out="whole") == 0
    lines = [json.loads(line) for line in (tmp_path / "tiled" / "manifest.jsonl").read_text().splitlines()]
    assert [line["window"] for line in lines] == [32, 32]
    assert not (tmp_path / "tiled" / "overlays").exists()
    for name in ("labels/a.png", "labels/deep/b.png"):
        assert (tmp_path / "tiled" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{}/nowhere"], "nowhere does not exist. Hint: check the path"),
        (["{}/photos/*.gif"], "*.gif. Hint: check the pattern"),
        (["{}/run"], "no image ("),
        (
            ["{}/photos", "--batch-size", "0"],
            "argument --batch-size: expected a whole number of 1 or more, not '0'",
        ),
        (
            ["{}/photos", "--workers", "-1"],
            "argument --workers: expected a whole number of 0 or more, not '-1'",
        ),
        (["{}/photos", "--overlap", "1"], "overlap must be from 0 up to but not including 1, not 1.0"),
        (["{}/photos", "--device", "abacus"], "device 'abacus' cannot be used here"),
        (["{}/photos", "--precision", "fp8"], "invalid choice: 'fp8'"),
    ],
)
def test_wrong_usage(
    infer: Infer, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert infer(*(word.format(tmp_path) for word in words)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infer", str(tmp_path / "run"), str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "error: no run or checkpoint at" in capsys.readouterr().err


def test_a_full_disk(
    infer: Infer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    assert infer(str(tmp_path / "photos")) == 1
    assert "cannot be written: the disk is full. Hint: free some space" in capsys.readouterr().err


def test_ctrl_c(
    infer: Infer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(image_batches, "_predict", interrupt)
    assert infer(str(tmp_path / "photos")) == 1
    printed = capsys.readouterr().err
    assert f"stopped; the results so far are in {tmp_path / 'out'}; --resume continues from there" in printed
    assert "Traceback" not in printed


def test_settings_of_the_model_stand_among_the_paths(
    infer: Infer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert infer(str(tmp_path / "photos"), "model.width=3") == 2
    assert "width" in capsys.readouterr().err
    assert infer(str(tmp_path / "photos"), "train.steps=3") == 2, (
        "which is no setting of the model, and no path that is there"
    )


def test_without_a_folder_results_go_to_one_named_after_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, infer: Infer, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = next(path for path in tmp_path.rglob("*.safetensors")).parent
    assert main(["infer", str(run), "photos"]) == 0
    assert f"results in results/{run.name}" in capsys.readouterr().out
    assert (tmp_path / "results" / run.name / "manifest.jsonl").is_file()
    assert main(["infer", str(run), "photos"]) == 2
    assert "already contains results. Hint: continue them with --resume" in capsys.readouterr().err


def test_names_of_results_that_were_given_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "runs" / "unet-msrc"
    run.mkdir(parents=True)
    (run / "last.safetensors").touch()
    monkeypatch.chdir(run)
    results = Path("results")
    for name in (str(run), f"{run}/", ".", "../unet-msrc"):
        assert default_results(name) == results / "unet-msrc"
    assert default_results("last.safetensors") == results / "unet-msrc-last", "other weights"


# --- what it takes, and what it says at the end ---

SPOTTER = '''
"""Finds one object an image, of the score that a setting says; none where that is 0."""
import torch
from toolkit import Instances, Masks, Model, PluginManifest, Prediction, Settings

PLUGIN = PluginManifest(
    name="spotter", summary="a spot", task="instance", build=":build", settings=":SpotterSettings"
)

class SpotterSettings(Settings):
    score: float = 0.9
    """Of the object."""

class Spotter(Model):
    def __init__(self, settings, classes):
        super().__init__(classes)
        self.score = settings.score

    def predict(self, samples):
        found = []
        for sample in samples:
            mask = torch.zeros((int(self.score > 0), *sample.size), dtype=torch.bool)
            mask[:, 2:9, 3:8] = True
            masks = Masks.from_dense(mask)
            labels, scores = torch.ones(len(mask), dtype=torch.int64), torch.full((len(mask),), self.score)
            objects = Instances(sample.size, masks.boxes_xyxy(), labels, masks, scores)
            found.append(Prediction(sample.id, sample.size, instances=objects))
        return found

def build(settings, classes):
    return Spotter(settings, classes)
'''


@pytest.fixture
def spotter(infer: Infer, tmp_path: Path) -> Infer:
    """The command with a run of a detector in place of the other."""
    plugin = tmp_path / "spotter.py"
    plugin.write_text(SPOTTER)
    manifest = CheckpointManifest("spotter", "instance", ("balloon", "ring"))
    save_checkpoint(tmp_path / "run" / "best.safetensors", {}, manifest)
    return lambda *words, **options: infer(*words, "--plugin", str(plugin), **options)


@pytest.mark.parametrize(
    ("score", "found", "warning"),
    [
        ("0.9", "found: 2 ring\n", ""),
        (
            "0.31",
            "found: no objects; 2 with lower scores are in the files, but not drawn\n",
            "warning: nothing is drawn: the highest score in all 2 images is 0.31, and only objects with at"
            " least 0.5 are drawn. Hint: --draw-above 0.3, or train longer\n",
        ),
        ("0", "found: no objects\n", "warning: no objects were found in all 2 images. Hint: check"),
    ],
)
def test_it_says_what_it_found_and_what_looks_wrong(
    spotter: Infer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    score: str,
    found: str,
    warning: str,
) -> None:
    assert spotter(str(tmp_path / "photos"), f"model.score={score}") == 0
    printed = capsys.readouterr()
    assert f"\n{found}" in printed.out
    assert printed.err.startswith(warning)
    assert bool(printed.err) == bool(warning)


def test_the_advice_that_it_gives_works(
    spotter: Infer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(tmp_path / "photos"), "model.score=0.31"]
    assert spotter(*words, "--draw-above", "0.3") == 0
    printed = capsys.readouterr()
    assert "\nfound: 2 ring\n" in printed.out
    measure = f"  toolkit eval --predictions {tmp_path / 'out'} --data coco --data-dir FOLDER"
    assert printed.out.splitlines()[-1] == measure, "objects are measured with a dataset of objects"
    assert printed.err == ""
    lines = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert [(line["objects"], line["found"]) for line in lines] == [(1, {"ring": 1})] * 2


def test_a_list_on_standard_input(infer: Infer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{tmp_path / 'photos' / 'a.jpg'}\n"))
    assert infer("-") == 0
    assert (tmp_path / "out" / "labels" / "a.png").is_file()


def test_frames_of_a_video(infer: Infer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 10, (48, 32))
    for value in range(0, 200, 20):
        writer.write(np.full((32, 48, 3), value, np.uint8))
    writer.release()
    assert infer(str(film), "--every", "3", "--max-frames", "2") == 0
    assert capsys.readouterr().out.startswith("2 images done")
    labels = sorted(path.name for path in (tmp_path / "out" / "labels" / "film.avi").iterdir())
    assert labels == ["000000.png", "000003.png"]
    assert infer(str(film), "--every", "0") == 2


def test_values_of_the_training_data_are_written_where_the_run_knows_them(
    infer: Infer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(tmp_path / "photos"), "--label-values", "dataset"]
    assert infer(*words) == 2
    assert "the values of the training data of one-conv" in capsys.readouterr().err
    path = tmp_path / "run" / "best.safetensors"
    tensors, manifest = read_checkpoint(path)
    assert manifest is not None
    save_checkpoint(path, tensors, replace(manifest, label_values={"classes": [7, 3], "void": 0}))
    assert infer(*words) == 0
    assert set(read_label_map(tmp_path / "out" / "labels" / "a.png").unique().tolist()) <= {3, 7}
    assert (tmp_path / "out" / "labels" / "classes.csv").read_text().splitlines()[1:] == [
        "0,7,ground,#090909",
        "1,3,square,#fa0000",
        ",0,void,#e0e0c0",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--actors", "2"], "--actors has no effect without --ray. Hint: add --ray local"),
        (["--gpus-per-actor", "0.5"], "--gpus-per-actor has no effect without --ray. Hint: add --ray local"),
        (["--ray", "local", "--gpus-per-actor", "-1"], "gpus_per_actor must be at least 0, not -1"),
        (
            ["--ray", "nowhere"],
            "'nowhere' is not the address of a cluster, such as head:6379. Hint: begin one",
        ),
    ],
)
def test_options_of_a_cluster_that_make_no_sense(
    infer: Infer, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert infer(str(tmp_path / "photos"), *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_list(
    infer: Infer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.txt").write_text("photos/a.jpg\nphotos/nowhere.jpg\nphotos/deep/b.png\n")
    assert infer("--list", "names.txt") == 3
    printed = capsys.readouterr()
    assert printed.out.startswith("2 images done in ")
    assert "--list names.txt" in printed.out
    assert (tmp_path / "out/labels/photos/deep/b.png.png").is_file()
    for words, message in (
        (
            ["photos", "--list", "names.txt"],
            "both PATHs and --list were given. Hint: name images and folders",
        ),
        ([], "neither PATHs nor --list was given. Hint"),
        (["--list", "nowhere.txt"], "nowhere.txt does not exist; it should contain names of images"),
    ):
        assert infer(*words, out="none") == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "none").exists()


def test_results_in_a_store(infer: Infer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fs = fsspec.filesystem("memory")
    words = ["infer", str(tmp_path / "run"), str(tmp_path / "photos"), "--device", "cpu", "--measure"]
    try:
        assert main([*words, "--out", "memory://me:secret@shelf/out"]) == 0
        said = capsys.readouterr().out
        assert "results in memory://shelf/out\n" in said
        assert "The tables are in memory://shelf/out/measurements\n" in said
        assert "secret" not in said
        assert "--predictions" not in said, "eval reads folders"
        names = {path.rpartition("shelf/out/")[2] for path in fs.find("/")}
        assert {"labels/deep/b.png", "manifest.jsonl", "measurements/summary.csv"} <= names
        assert main([*words, "--out", "memory://me:secret@shelf/out"]) != 0
        said = capsys.readouterr().err
        assert "memory://shelf/out already contains results" in said.replace("\n", " ")
        assert "secret" not in said
    finally:
        for path in fs.find("/"):
            fs.rm_file(path)
    assert main([*words, "--out", "https://example.org/out"]) == 2
    assert "nothing can be written to https://example.org/out" in capsys.readouterr().err

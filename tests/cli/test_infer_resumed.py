"""``toolkit infer --resume`` with other options than before: refused where it would mix results, otherwise
the same as a run in one go.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, read_checkpoint, save_checkpoint
from toolkit.cli import main
from toolkit.cli.infer import add_arguments
from toolkit.errors import UsageError
from toolkit.inference import Predictor, Tiling
from toolkit.inference.pipeline import predict_folder
from toolkit.models.building import rebuild_model
from toolkit.models.contract import Model
from toolkit.types import Prediction

PLUGIN = '''
"""One convolution, and the objects of each image: one for each channel that is bright somewhere."""
from torch import nn
from toolkit import PluginManifest, SemanticModel, Settings

class Own(Settings):
    width: int = 1
    """Changes nothing."""

PLUGIN = PluginManifest(
    name="one-conv", summary="one convolution", task="semantic", build=":build", settings=":Own"
)

def build(settings, classes):
    return SemanticModel(nn.Conv2d(3, len(classes), 1), classes)
'''


class Case(NamedTuple):
    """An option: what it was, what it is with ``--resume``, and what is said; empty if it may change."""

    before: list[str]
    after: list[str]
    refusal: str = ""


CASES = {
    "run": Case([], ["RUN2"], "contains results of another model"),
    "paths": Case([], ["model.width=2"], "contains results of another model"),
    "window": Case(
        ["--window", "24"],
        [],
        "contains results that were made with --window 24; now it is no --window. Hint: give --window 24 as"
        " before, or choose another --out",
    ),
    "overlap": Case(
        ["--window", "24", "--overlap", "0.5"],
        ["--window", "24"],
        "made with --overlap 0.5; now it is --overlap 0.25",
    ),
    "precision": Case([], ["--precision", "bf16"], "made with --precision fp32; now it is --precision bf16"),
    "draw_above": Case([], ["--draw-above", "0.9"], "made with --draw-above 0.5; now it is --draw-above 0.9"),
    "label_values": Case([], ["--label-values", "dataset"], "label images with other values"),
    "prompts": Case([], ["--prompts", "auto"], "takes no prompts"),
    "prompts_above": Case([], ["--prompts-above", "0.5"], "takes no prompts"),
    "out": Case([], []),
    "resume": Case([], []),
    "batch_size": Case([], ["--batch-size", "1"]),
    "workers": Case([], ["--workers", "0"]),
    "device": Case([], ["--device", "cpu"]),
    "every": Case([], ["--every", "2"]),
    "max_frames": Case([], ["--max-frames", "2"]),
    "no_overlays": Case(["--no-overlays"], []),
    "measure": Case([], ["--measure"]),
    "pixel_size": Case(["--measure"], ["--measure", "--pixel-size", "2mm"]),
    "geojson": Case(["--measure"], ["--measure", "--geojson"]),
    "plugin": Case([], []),
    "help": Case([], []),
}
"""By the name of the option. For other models, the prompts are part of the model's name in the manifest."""
OF_A_CLUSTER = {"ray", "actors", "gpus_per_actor"}
"""These start processes of Ray, in ``tests/cluster``."""
IN_PLACE_OF_PATHS = {"list"}
"""Lists are resumed in ``tests/inference/test_lists.py``."""


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., int]:
    """The command with a run; the word ``RUN2`` takes another one instead."""
    plugin = tmp_path / "one_conv.py"
    plugin.write_text(PLUGIN)
    registry.add_path(plugin)
    manifest = CheckpointManifest(
        "one-conv", "semantic", ("ground", "square"), label_values={"classes": [7, 3], "void": 0}
    )
    weights = rebuild_model(manifest, tmp_path).state_dict()
    for name in ("run", "run2"):
        (tmp_path / name).mkdir()
        save_checkpoint(tmp_path / name / "best.safetensors", weights, manifest)
        weights = {key: value + 1 for key, value in weights.items()}
    assert read_checkpoint(tmp_path / "run2" / "best.safetensors")[1] is not None
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(tmp_path / "photos" / name)

    def run(*words: str, images: str = "photos", out: str = "out") -> int:
        name = "run2" if "RUN2" in words else "run"
        rest = [word for word in words if word != "RUN2"]
        return main(
            [
                *("infer", str(tmp_path / name), str(tmp_path / images), *rest),
                *("--out", str(tmp_path / out), "--plugin", str(plugin)),
            ]
        )

    return run


def test_every_option_of_the_command_is_here() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert {action.dest for action in parser._actions} == set(CASES) | OF_A_CLUSTER | IN_PLACE_OF_PATHS


@pytest.mark.parametrize("option", CASES)
def test_an_option_that_changes_results_is_refused_and_any_other_ends_as_in_one_go(
    option: str, command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = CASES[option]
    assert command(*case.before, images="photos/a.png") == 0
    before = contents(tmp_path / "out")
    if case.refusal:
        assert command(*case.after, "--resume") == 2
        assert case.refusal in capsys.readouterr().err
        assert contents(tmp_path / "out") == before
        assert command(*case.before, "--resume") == 0, "the advice"
        return
    assert command(*case.after, "--resume") == 0
    assert command(*case.after, out="straight") == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")


def test_the_command_that_tries_skipped_images_again_has_the_same_options(
    command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos" / "c.png").write_bytes(b"no image")
    given = ("--window", "24", "--overlap", "0.5", "--measure", "--pixel-size", "2mm", "--no-overlays")
    assert command(*given) == 3
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "--resume" in line]
    words = shlex.split(line)
    for word in given:
        assert word in words
    assert main(words[1:]) == 3, "it runs, and skips the image again"
    assert "--device" not in words, "what was not given"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class Blank(Model):
    """Finds nothing."""

    def predict(self, samples: list) -> list[Prediction]:
        return [Prediction(s.id, s.size, label_map=torch.zeros(s.size, dtype=torch.uint8)) for s in samples]


@pytest.mark.parametrize("found", [{}, {"options": None}, {"options": {"other": 1}}])
def test_results_of_an_older_version_have_fewer_options(
    command: Callable[..., int], tmp_path: Path, found: dict
) -> None:
    assert command(images="photos/a.png") == 0
    path = tmp_path / "out" / "about.json"
    about = json.loads(path.read_text())
    del about["options"], about["draw_above"]
    path.write_text(json.dumps(about | found))
    assert command("--window", "24", "--resume") == 0


def test_from_python_the_tiling_counts_too(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    predict_folder(Predictor(Blank(("a",)), device="cpu"), tmp_path / "a.png", tmp_path / "out")
    other = Predictor(Blank(("a",)), device="cpu", tiling=Tiling(max_pixels=50))
    with pytest.raises(UsageError, match=r"made with max_pixels 16777216; now it is max_pixels 50\. Hint"):
        predict_folder(other, tmp_path / "a.png", tmp_path / "out", resume=True)

"""The commands on a GPU: a folder of photos through a trained model, and its measurement."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.gpu_runs import FAMILIES, TINY, settings_of

from toolkit import registry
from toolkit.cli import main
from toolkit.training.loop import train
from toolkit.training.splits import open_splits

PIXELS = {"fp32": 0.002, "bf16": 0.05}
"""The part of all pixels in which label maps may differ from those of the CPU in float32: bf16 keeps 8 bits
of the mantissa, and where two classes are about as likely that decides."""

CASES = [
    pytest.param(name, precision, device, id=f"{name}-{precision}-{device}", marks=marks)
    for device, names, marks in (("cpu", ["tiny"], []), ("cuda", list(FAMILIES), [pytest.mark.gpu]))
    for name in names
    for precision in ("fp32", "bf16")
]


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def run_of(name: str, parent: Path) -> tuple[Path, Path]:
    """A run that was trained on the CPU, and a folder of photos like those that it learned from."""
    run, photos = parent / f"{name}-run", parent / f"{name}-photos"
    settings = settings_of(name, "cpu", parent)
    if not run.exists():
        train(settings, run)
        task = registry.task_of(registry.named(registry.plugins(), settings.plugin))
        dataset = open_splits(settings, task).train
        for i in range(6):
            photos.mkdir(exist_ok=True)
            image = dataset[i].image.permute(1, 2, 0).numpy()
            cv2.imwrite(str(photos / f"{i}.png"), np.ascontiguousarray(image[..., ::-1]))
    return run, photos


def infer(name: str, run: Path, photos: Path, out: Path, *words: str) -> list[dict[str, object]]:
    """The manifest of ``toolkit infer``."""
    files = ("--plugin", TINY) if name == "tiny" else ()
    auto = ("model.auto={points_per_side: 4, pred_iou_thresh: 0, stability_score_thresh: 0}",)
    settings = auto if name == "sam2" else ()  # so that something is found
    assert main(["infer", str(run), str(photos), *settings, "--out", str(out), *files, *words]) == 0
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("name", "precision", "device"), CASES)
def test_a_folder(name: str, precision: str, device: str, parent: Path, tmp_path: Path) -> None:
    run, photos = run_of(name, parent)
    records = infer(
        name,
        run,
        photos,
        tmp_path / "there",
        "--device",
        device,
        "--precision",
        precision,
        "--batch-size",
        "4",
    )
    assert [record["status"] for record in records] == ["ok"] * 6
    expected = tmp_path / "here" / "labels"
    infer(name, run, photos, tmp_path / "here", "--device", "cpu")
    if not expected.exists():  # objects, or the class of the photo: a file for each photo
        here, there = (
            [json.loads(path.read_text()) for path in sorted((tmp_path / where).glob(f"{kind}/*.json"))]
            for where in ("here", "there")
            for kind in ("instances", "classes")
            if (tmp_path / where / kind).is_dir()
        )
        assert len(here) == len(there) == 6
        return
    pairs = [
        [
            cv2.imread(str(folder / path.name), cv2.IMREAD_UNCHANGED)
            for folder in (expected, tmp_path / "there" / "labels")
        ]
        for path in sorted(expected.glob("*.png"))
    ]
    assert len(pairs) == 6
    differing = np.mean([np.mean(one != other) for one, other in pairs])
    assert differing <= PIXELS[precision]


@pytest.mark.parametrize(
    ("name", "device"),
    [pytest.param("tiny", "cpu")] + [pytest.param(name, "cuda", marks=pytest.mark.gpu) for name in FAMILIES],
)
def test_eval_gives_the_figures_of_the_cpu(
    name: str, device: str, parent: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = run_of(name, parent)
    files = ("--plugin", TINY) if name == "tiny" else ()
    data = settings_of(name, "cpu", parent).data.name
    figures = []
    for kind in ("cpu", device):
        capsys.readouterr()
        assert (
            main(["eval", str(run), "--data", data, *files, "--device", kind, "--json", "--workers", "0"])
            == 0
        )
        figures.append(json.loads(capsys.readouterr().out)["metrics"])
    here, there = ({key: value for key, value in each.items() if value is not None} for each in figures)
    assert here
    assert there == pytest.approx(here, abs=0.02)

"""Prediction from Python: every kind of input, devices and precision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.errors import CheckpointError, ConfigError, ImageError, InvalidDataError, UsageError
from toolkit.inference import Predictor, Tiling, load
from toolkit.models.contract import Model
from toolkit.models.semantic import SemanticModel
from toolkit.types import Prediction, Sample


class Bright(Model):
    """Class 1 where a pixel is bright; remembers what it was given."""

    def __init__(self) -> None:
        super().__init__(("dark", "bright"))
        self.batches: list[int] = []
        self.grad_modes: list[bool] = []

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        self.batches.append(len(samples))
        self.grad_modes.append(torch.is_grad_enabled() or self.training)
        return [
            Prediction(s.id, s.size, label_map=(s.image.float().mean(0) > 127).to(torch.uint8))
            for s in samples
        ]


def picture(height: int = 20, width: int = 31, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_every_kind_of_image_gives_the_same(tmp_path: Path) -> None:
    array = picture()
    Image.fromarray(array).save(tmp_path / "a.png")
    kinds = [
        array,
        np.asfortranarray(array),
        Image.fromarray(array),
        Image.fromarray(np.dstack([array, np.zeros(array.shape[:2], np.uint8)])),
        torch.from_numpy(array).permute(2, 0, 1),
        torch.from_numpy(array).permute(2, 0, 1).contiguous(),
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
    ]
    predictor = Predictor(Bright().train(), device="cpu")
    want = torch.from_numpy((array.astype(np.float32).mean(axis=2) > 127).astype(np.uint8))
    for image in kinds:
        prediction = predictor.predict(image)
        assert isinstance(prediction, Prediction)
        assert torch.equal(prediction.label_map, want)
    listed = predictor.predict(kinds)
    assert [p.sample_id for p in listed] == [
        *map(str, range(6)),
        str(tmp_path / "a.png"),
        str(tmp_path / "a.png"),
    ]
    assert all(torch.equal(p.label_map, want) for p in listed)
    assert not any(predictor.model.grad_modes)


def test_pillow_images_are_turned_as_files_are(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture()).save(tmp_path / "a.png", exif=exif)
    predictor = Predictor(Bright(), device="cpu")
    from_file = predictor.predict(tmp_path / "a.png")
    assert from_file.size == (31, 20)
    assert torch.equal(predictor.predict(Image.open(tmp_path / "a.png")).label_map, from_file.label_map)


def test_lists_are_predicted_in_batches_and_may_be_empty() -> None:
    predictor = Predictor(Bright(), device="cpu")
    assert len(predictor.predict([picture(5 + i, 9) for i in range(7)], batch_size=3)) == 7
    assert predictor.model.batches == [3, 3, 1]
    assert predictor.predict([]) == []


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 5), np.uint8), r"not uint8 \[4, 5\]"),
        (np.zeros((4, 5, 3), np.float32), r"not float32 \[4, 5, 3\]"),
        (np.zeros((3, 4, 5), np.uint8), r"an RGB uint8 array \[H, W, 3\].*not uint8 \[3, 4, 5\]"),
        (torch.zeros(4, 5, 3), r"image must be a tensor of uint8 \[3, any, any\], not float32"),
        (Image.new("F", (4, 5)), "a Pillow image of mode F has no fixed range"),
        (7, "must be a path, a Pillow image.*not int"),
    ],
)
def test_what_is_not_an_image(image: object, message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        Predictor(Bright(), device="cpu").predict(image)


def test_bad_files_are_errors_here() -> None:
    with pytest.raises(ImageError, match=r"nowhere\.jpg does not exist"):
        Predictor(Bright(), device="cpu").predict("nowhere.jpg")


def test_large_images_are_tiled_among_others() -> None:
    torch.manual_seed(0)
    model = SemanticModel(nn.Conv2d(3, 4, 1), ("a", "b", "c", "d"))
    images = [picture(30, 30), picture(100, 90), picture(10, 200), picture(30, 30, 1)]
    whole = Predictor(model, device="cpu").predict(images)
    tiled = Predictor(model, device="cpu", tiling=Tiling(window=32)).predict(images)
    assert [t.size for t in tiled] == [(30, 30), (100, 90), (10, 200), (30, 30)]
    for a, b in zip(whole, tiled, strict=True):
        assert torch.equal(a.label_map, b.label_map)
        assert a.sample_id == b.sample_id


def test_bf16_computes_under_autocast() -> None:
    seen = []

    class Watch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.conv(images)
            seen.append(out.dtype)
            return out

    for precision in ("fp32", "bf16"):
        Predictor(SemanticModel(Watch(), ("a", "b")), device="cpu", precision=precision).predict(picture())
    assert seen == [torch.float32, torch.bfloat16]


def test_unknown_devices_and_precisions() -> None:
    with pytest.raises(UsageError, match=r"precision must be fp32 or bf16, not 'fp8'"):
        Predictor(Bright(), precision="fp8")
    for device in ("gpu", "cuda:99"):
        with pytest.raises(
            UsageError, match=rf"device '{device}' cannot be used here: .*Hint: use the device cpu, or auto"
        ):
            Predictor(Bright(), device=device)


def test_a_window_for_a_model_that_cannot_use_one() -> None:
    with pytest.raises(
        UsageError,
        match=r"window: this model only predicts whole images\. Hint: leave out window",
    ):
        Predictor(Bright(), device="cpu", tiling=Tiling(window=64))
    Predictor(Bright(), device="cpu", tiling=Tiling())


def test_load_takes_a_run_or_a_file(tmp_path: Path, tiny: str) -> None:
    from toolkit import registry
    from toolkit.models.building import rebuild_model

    registry.add_path(tiny)
    manifest = CheckpointManifest("tiny", "semantic", ("ground", "square"))
    model = rebuild_model(manifest, tmp_path)
    save_checkpoint(tmp_path / "best.safetensors", model.state_dict(), manifest)
    expected = Predictor(model, device="cpu").predict(picture())
    by_run, by_file = load(tmp_path, device="cpu"), load(str(tmp_path / "best.safetensors"), device="cpu")
    assert by_run.classes == ("ground", "square")
    assert by_run.palette == ((0, 0, 0), (128, 0, 0))
    assert by_run.name == by_file.name
    assert by_run.name.startswith("tiny ")
    for predictor in (by_run, by_file):
        assert not predictor.model.training
        assert torch.equal(predictor.predict(picture()).label_map, expected.label_map)
    colored = CheckpointManifest("tiny", "semantic", ("ground", "square"), palette=((1, 2, 3), (4, 5, 6)))
    save_checkpoint(tmp_path / "other.safetensors", model.state_dict(), colored)
    assert load(tmp_path / "other.safetensors").palette == ((1, 2, 3), (4, 5, 6))
    assert load(tmp_path / "other.safetensors").name != by_run.name
    with pytest.raises(CheckpointError):
        load(tmp_path / "nowhere")


def test_settings_of_the_model_can_be_changed_where_the_weights_still_fit(tmp_path: Path, tiny: str) -> None:
    from toolkit import registry
    from toolkit.models.building import rebuild_model

    registry.add_path(tiny)
    manifest = CheckpointManifest("tiny", "semantic", ("ground", "square"))
    save_checkpoint(tmp_path / "best.safetensors", rebuild_model(manifest, tmp_path).state_dict(), manifest)
    changed = load(tmp_path, device="cpu", settings={"dropout": 0.5})
    dropouts = [module.p for module in changed.model.modules() if isinstance(module, torch.nn.Dropout2d)]
    assert dropouts == [0.5]
    assert changed.name != load(tmp_path, device="cpu").name, "so that --resume does not mix results"
    with pytest.raises(ConfigError, match="withd"):
        load(tmp_path, settings={"withd": 4})
    with pytest.raises(CheckpointError, match="with the settings given"):
        load(tmp_path, settings={"width": 5})

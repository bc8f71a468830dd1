"""Published checkpoints: which one a file holds, and what is said when it is another than the model's."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip(
    "toolkit.plugins.sam2.upstream",
    reason="needs the package sam2: see toolkit plugins info sam2",
    exc_type=ImportError,
)

from sam2_cases import toy
from toolkit.plugins.sam2 import weights
from toolkit.plugins.sam2.settings import Sam2Settings
from toolkit.plugins.sam2.weights import load_weights, recognize, settings_of

from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.config import resolve
from toolkit.errors import CheckpointError, DownloadError, UsageError

BLOCKS = {"tiny": (96, 12), "small": (96, 16), "base_plus": (112, 24), "large": (144, 48)}
KINDS = [(version, size) for version in ("2.0", "2.1") for size in BLOCKS]


def shapes_of(version: str, size: str) -> dict[str, Tensor]:
    """As much of a checkpoint as tells it from the others."""
    channels, blocks = BLOCKS[size]
    tensors = {f"image_encoder.trunk.blocks.{i}.norm1.weight": torch.zeros(1) for i in range(blocks)}
    tensors["image_encoder.trunk.patch_embed.proj.weight"] = torch.zeros(channels, 3, 7, 7)
    return tensors | ({"no_obj_embed_spatial": torch.zeros(1, 64)} if version == "2.1" else {})


def random_state(seed: int = 7) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (9 * torch.rand(value.shape, generator=generator)).to(value.dtype)
        for name, value in toy().network.state_dict().items()
    }


def saved(content: Any, path: Path) -> str:
    torch.save(content, path)
    return str(path)


@pytest.mark.parametrize(("version", "size"), KINDS)
def test_version_and_size_are_recognized(version: str, size: str) -> None:
    from toolkit.plugins.sam2.upstream import network_config

    assert recognize(shapes_of(version, size), Path("file.pt")) == (version, size)
    trunk = network_config(version, size, 1024)["image_encoder"]["trunk"]
    assert BLOCKS[size] == (
        trunk["embed_dim"],
        sum(trunk.get("stages", (2, 3, 16, 3))),
    ), "as the package has them"


@pytest.mark.parametrize("model", [("2.1", "tiny"), ("2.0", "large")])
@pytest.mark.parametrize("file", [("2.0", "tiny"), ("2.1", "base_plus")])
def test_a_checkpoint_of_another_kind_names_the_settings_that_fit(
    tmp_path: Path, file: tuple[str, str], model: tuple[str, str]
) -> None:
    with pytest.raises(
        CheckpointError,
        match=(
            rf"is for SAM {file[0]} {file[1]}, but the model is SAM {model[0]} {model[1]}\. Hint:"
            rf" model\.version={file[0]} model\.size={file[1]}"
        ),
    ):
        weights._check_kind(
            shapes_of(*file), Sam2Settings(version=model[0], size=model[1]), tmp_path / "file.pt"
        )


@pytest.mark.parametrize("prefix", ["", "network.", "module."])
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_file_gives_all_its_tensors(tmp_path: Path, prefix: str, wrapped: bool) -> None:
    state, model = random_state(), toy()
    content = {prefix + name: value for name, value in state.items()}
    report = load_weights(
        model, saved({"model": content, "epoch": 3} if wrapped else content, tmp_path / "weights.pt")
    )
    assert all(torch.equal(value, state[name]) for name, value in model.network.state_dict().items())
    assert set(report.loaded) == set(model.state_dict())
    assert report.missing == report.unexpected == report.mismatched == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.pop("sam_mask_decoder.iou_token.weight"),
            r"1 missing in the file: sam_mask_decoder\.iou_token\.weight",
        ),
        (
            lambda state: state.update({"sam_mask_decoder.extra": torch.zeros(1)}),
            r"1 not used: sam_mask_decoder\.extra",
        ),
        (
            lambda state: state.update({"no_mem_embed": torch.zeros(1, 1, 65)}),
            r"no_mem_embed: \[1, 1, 65\] -> \[1, 1, 192\]",
        ),
    ],
)
def test_a_file_that_does_not_fit_as_a_whole_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    state, model = random_state(), toy()
    state["no_mem_embed"] = torch.zeros_like(model.network.no_mem_embed)
    change(state)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_weights(model, saved({"model": state}, tmp_path / "weights.pt"))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()), (
        "nothing was taken"
    )


def test_sam_1_other_files_and_code_are_refused_by_name(tmp_path: Path) -> None:
    first = {
        "image_encoder.patch_embed.proj.weight": torch.zeros(1),
        "image_encoder.blocks.0.norm1.weight": torch.zeros(1),
    }
    with pytest.raises(CheckpointError, match="is a checkpoint of SAM 1"):
        load_weights(toy(), saved(first, tmp_path / "sam_vit_b.pth"))
    with pytest.raises(
        CheckpointError, match=r"is not a SAM 2 checkpoint: it has no tensor .*, but fc\.weight"
    ):
        load_weights(toy(), saved({"fc.weight": torch.zeros(1)}, tmp_path / "resnet.pth"))
    with pytest.raises(CheckpointError, match="opening it could run code"):
        load_weights(toy(), saved({"model": random_state(), "hook": os.system}, tmp_path / "code.pt"))
    whole = Path(saved({"model": random_state()}, tmp_path / "cut.pt"))
    whole.write_bytes(whole.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="truncated"):
        load_weights(toy(), str(whole))


def test_adapters_start_on_top_of_published_weights(tmp_path: Path) -> None:
    state, model = random_state(), toy(trainable="lora")
    report = load_weights(model, saved({"model": state}, tmp_path / "weights.pt"))
    own = model.network.state_dict()
    assert all(torch.equal(own[name], value) for name, value in state.items())
    assert {name for name in own if name not in state} == {name for name in own if "lora_" in name} != set()
    assert len(report.loaded) == len(state)


def test_names_of_published_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(weights, "_download", lambda *kind: asked.append(kind) or Path("absent"))
    manifest = registry.plugins().get("sam2")
    for published in manifest.weights[1:]:
        version, _, size = published.name.removeprefix("sam").partition("-")
        settings = Sam2Settings(version="2.0" if version == "2" else version, size=size)
        assert (
            weights._chosen(published.name, settings)
            == weights._chosen("official", settings)
            == (settings.version, settings.size)
        )
    with pytest.raises(
        UsageError,
        match=(
            r"weights=sam2-large are for SAM 2\.0 large, but the model is SAM 2\.1 tiny\. Hint:"
            r" model\.version=2\.0 model\.size=large"
        ),
    ):
        weights._chosen("sam2-large", Sam2Settings())
    with pytest.raises(UsageError, match=r"the size toy has no published weights\. Hint: weights=none"):
        load_weights(toy(), "official")
    assert manifest.resolve(manifest.load_weights) is load_weights


def test_without_a_network_the_error_says_what_to_fetch_by_hand(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A host that does not exist, and an empty cache: the real failure of a machine that is offline."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://hub.invalid")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(
        DownloadError,
        match=(
            r"sam2_hiera_base_plus\.pt of facebook/sam2-hiera-base-plus .*Hint: download"
            r" https://dl\.fbaipublicfiles\.com/segment_anything_2/072824/"
            r"sam2_hiera_base_plus\.pt elsewhere and set weights= to its path"
        ),
    ):
        weights._download("2.0", "base_plus")
    assert time.monotonic() - start < 10


def test_a_download_is_compared_with_the_published_hash(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The hub's cache calls a large file by the sha256 that the hub publishes."""
    content = b"weights"
    blob = tmp_path / hashlib.sha256(content).hexdigest()
    blob.write_bytes(content)
    link = tmp_path / "sam2.1_hiera_tiny.pt"
    link.symlink_to(blob)
    asked = []
    monkeypatch.setattr(
        "huggingface_hub.hf_hub_download", lambda *names, **_: asked.append(names) or str(link)
    )
    assert weights._download("2.1", "tiny") == link
    assert asked == [("facebook/sam2.1-hiera-tiny", "sam2.1_hiera_tiny.pt")]
    blob.write_bytes(b"weight5")
    with pytest.raises(DownloadError, match=r"is damaged: its sha256 is .* Hint: delete it"):
        weights._download("2.1", "tiny")


# --- settings that the weights decide


@pytest.mark.parametrize(("version", "size"), KINDS)
def test_version_and_size_are_taken_from_a_file(version: str, size: str, tmp_path: Path) -> None:
    file = saved({"model": shapes_of(version, size)}, tmp_path / "weights.pt")
    assert settings_of(file) == {"version": version, "size": size}


def test_of_names_and_runs_and_of_what_decides_nothing(tmp_path: Path) -> None:
    assert settings_of("sam2-large") == {"version": "2.0", "size": "large"}
    assert settings_of("sam2.1-base_plus") == {"version": "2.1", "size": "base_plus"}
    run = tmp_path / "run" / "best.safetensors"
    manifest = CheckpointManifest("sam2", "promptable", ("a",), model={"size": "toy", "version": "2.1"})
    save_checkpoint(run, {"a": torch.zeros(1)}, manifest)
    assert settings_of(str(run)) == settings_of(str(run.parent)) == {"size": "toy", "version": "2.1"}
    (tmp_path / "empty.pt").touch()
    other = saved({"fc.weight": torch.zeros(1)}, tmp_path / "resnet.pth")
    for name in (
        "official",
        "none",
        "sam2-huge",
        "absent.pt",
        str(tmp_path / "empty.pt"),
        str(tmp_path),
        other,
    ):
        assert settings_of(name) == {}


def test_a_run_takes_what_its_user_did_not_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "toolkit")
    file = saved({"model": shapes_of("2.0", "tiny")}, tmp_path / "weights.pt")
    common = {"plugin": "sam2", "data": "labpics"}
    recipe = resolve(**common).model
    assert (recipe.version, recipe.size) == ("2.1", "small"), "otherwise nothing is tried here"
    assert not caplog.messages
    taken = resolve(**common, overrides=[f"weights={file}"]).model
    assert (taken.version, taken.size) == ("2.0", "tiny")
    assert caplog.messages == [f"Set model.version=2.0 model.size=tiny to match weights={file}"]
    mine = resolve(**common, overrides=[f"weights={file}", "size=large"]).model
    assert (mine.version, mine.size) == ("2.0", "large"), "the model's own error says what does not fit"
    config = tmp_path / "mine.yaml"
    config.write_text(f"model: {{size: large}}\nweights: {file}\n")
    assert resolve(**common, config=config).model.size == "large"

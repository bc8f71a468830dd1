"""``toolkit export``: weights for the software that a model comes from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.cli import main
from toolkit.export.weights import export_model
from toolkit.models.building import load_model
from toolkit.runtime.locks import locked_file


@pytest.fixture
def checkpoint(tiny: str, tmp_path: Path) -> Path:
    registry.add_path(tiny)
    manifest = CheckpointManifest(
        plugin="tiny", task="semantic", classes=("ground", "square"), model={"width": 3}, step=7
    )
    plugin = registry.plugins().get("tiny")
    model = plugin.resolve(plugin.build)(plugin.resolve(plugin.settings)(width=3), manifest.classes)
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, model.state_dict(), manifest)
    return path


def test_the_file_holds_the_weights_and_opens_without_running_code(
    checkpoint: Path, tmp_path: Path, tiny: str
) -> None:
    out = tmp_path / "model.pth"
    assert main(["export", str(checkpoint), "--out", str(out), "--plugin", tiny]) == 0
    content = torch.load(out, weights_only=True)
    state = load_model(checkpoint)[0].state_dict()
    assert list(content) == ["model"]
    assert content["model"].keys() == state.keys()
    assert all(torch.equal(content["model"][name], value) for name, value in state.items())
    assert json.loads((tmp_path / "model.json").read_text())["step"] == 7


@pytest.mark.parametrize("name", ["model.safetensors", "model"])
def test_another_suffix_is_refused_before_anything_is_written(
    checkpoint: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(checkpoint), "--out", str(tmp_path / name)]) == 2
    assert "Hint: choose a name that ends in .pth or .pt" in capsys.readouterr().err
    assert not (tmp_path / name).exists()


def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"nothing")
    assert main(["export", str(path), "--out", str(tmp_path / "model.pth")]) == 1
    assert "weights.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "model.pth").exists()


def test_a_file_of_others_in_the_place_of_the_manifest_is_left_alone(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", str(checkpoint), "--out", str(tmp_path / "model.pth")]
    for content in ('{"lr": 1}', "no JSON", "[]"):
        (tmp_path / "model.json").write_text(content)
        assert main(words) == 1
        assert "model.json, but that file exists and is not a manifest. Hint: choose another name" in (
            capsys.readouterr().err
        )
        assert (tmp_path / "model.json").read_text() == content
        assert not (tmp_path / "model.pth").exists()
    (tmp_path / "model.json").unlink()
    assert main(words) == 0
    assert main(words) == 0, "its own is replaced"


def test_a_kill_between_the_two_files_leaves_no_manifest_of_other_weights(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model.pth"
    export_model(checkpoint, out)

    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(Killed):
        export_model(checkpoint, out)
    assert torch.load(out, weights_only=True)["model"], "the weights that were there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.safetensors", "model.pth"]


def test_two_at_once(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model.pth"
    with locked_file(out):
        assert main(["export", str(checkpoint), "--out", str(out)]) == 2
    assert f"another process is writing to {out}. Hint: wait for it" in capsys.readouterr().err
    assert main(["export", str(checkpoint), "--out", str(out)]) == 0


def test_without_out_the_file_is_named_after_the_run(
    checkpoint: Path,
    tmp_path: Path,
    tiny: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "runs" / "v1.2").mkdir(parents=True)
    run = checkpoint.rename(tmp_path / "runs" / "v1.2" / "best.safetensors").parent
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(run), "--plugin", tiny]) == 0
    assert {path.name for path in (tmp_path / "results").iterdir()} == {"v1.2.pth", "v1.2.json"}
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == "To read them: torch.load('results/v1.2.pth', weights_only=True)['model']"
    assert eval(line.partition(": ")[2], {"torch": torch}).keys() == load_model(run)[0].state_dict().keys()

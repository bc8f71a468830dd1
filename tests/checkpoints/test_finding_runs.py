"""Which checkpoint a path stands for; what is none is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from toolkit.checkpoints import find_checkpoint, read_checkpoint, read_foreign
from toolkit.errors import CheckpointError
from toolkit.models.building import load_model, manifest_of_run


def test_the_best_checkpoint_of_a_run_is_preferred(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="neither best"):
        find_checkpoint(tmp_path)
    (tmp_path / "last.safetensors").touch()
    assert find_checkpoint(tmp_path).name == "last.safetensors"
    (tmp_path / "best.safetensors").touch()
    assert find_checkpoint(tmp_path).name == "best.safetensors"
    with pytest.raises(CheckpointError, match="no run or checkpoint at"):
        find_checkpoint(tmp_path / "absent")


def test_files_of_other_software_are_named_wherever_they_are_given(tmp_path: Path) -> None:
    page = tmp_path / "weights.safetensors"
    page.write_text("<!DOCTYPE html><html>sign in</html>")
    expected = "is a web page that was saved instead of the file that it links to. Hint: download"
    for read in (load_model, read_checkpoint, read_foreign, manifest_of_run):
        with pytest.raises(CheckpointError) as caught:
            read(page)
        assert expected in str(caught.value)
    torch.save({"a": torch.zeros(1)}, page)
    with pytest.raises(CheckpointError, match=r"written by torch\.save.*Hint: rename it to weights\.pth"):
        read_checkpoint(page)
    (tmp_path / "saved_model.pb").touch()
    page.unlink()
    with pytest.raises(CheckpointError, match="is a SavedModel of TensorFlow"):
        find_checkpoint(tmp_path)


def test_a_plugin_that_reads_a_file_is_named_to_who_gives_it_to_another(tmp_path: Path) -> None:
    tensors = {"image_encoder.trunk.a": torch.zeros(1), "sam_mask_decoder.a": torch.zeros(1)}
    torch.save(tensors, tmp_path / "sam2.pt")
    with pytest.raises(CheckpointError) as caught:
        load_model(tmp_path / "sam2.pt")
    assert f"Hint: toolkit train --plugin sam2 --weights {tmp_path / 'sam2.pt'} --data D" in str(caught.value)


def test_runs_beside_one_that_is_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "unet-msrc").mkdir()
    (tmp_path / "unet-msrc" / "config.yaml").touch()
    (tmp_path / "photos").mkdir()
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint(tmp_path / "unet-mrsc")
    assert str(caught.value).endswith(f"Hint: there are {tmp_path / 'unet-msrc'}")

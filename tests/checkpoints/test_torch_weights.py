"""Files of ``torch.save``: what is damaged or hostile is refused with a reason."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from toolkit.checkpoints import read_foreign
from toolkit.errors import CheckpointError


class RunsCode:
    """What a hostile file holds: unpickling it makes a folder."""

    def __init__(self, trace: Path) -> None:
        self.trace = str(trace)

    def __reduce__(self) -> object:
        return (os.mkdir, (self.trace,))


@pytest.mark.parametrize("name", ["evil.pth", "evil.pkl", "evil.pt"])
@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path, name: str, writer: str) -> None:
    trace, path = tmp_path / "trace", tmp_path / name
    content = {"model": {"a": torch.zeros(1)}, "extra": RunsCode(trace)}
    if writer == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(
        CheckpointError, match=r"evil\..* is refused: .* could run code \([Uu]nsupported [^)]*\)\. Hint"
    ) as raised:
        read_foreign(path)
    assert "Re-running" not in str(raised.value), "torch's advice to switch the protection off is not ours"
    assert not trace.exists()


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04broken", b"not at all", b"hello world", bytes(range(256))]
)
def test_damaged_torch_files_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "theirs.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"theirs\.pth is (truncated|refused|a text file).*Hint"):
        read_foreign(tmp_path / "theirs.pth")


@pytest.mark.parametrize("content", [{}, [1, 2], {"epoch": 3}, {"model": {"lr": 0.1}}])
def test_torch_files_without_a_state_dict_are_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "theirs.pth")
    with pytest.raises(CheckpointError, match="contains no state dict"):
        read_foreign(tmp_path / "theirs.pth")

"""Images of files and of datasets are read when they are explained."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from judging_cases import photo

from toolkit.data.dataset import Dataset
from toolkit.errors import DataError, UsageError
from toolkit.explaining.images import images_of, samples_of
from toolkit.types import Sample


class OneBroken(Dataset):
    def __init__(self) -> None:
        self.classes, self.palette, self.ids = ("a",), None, ["good", "bad"]

    def __getitem__(self, index: int) -> Sample:
        if index:
            raise DataError("bad cannot be read")
        return photo()


def test_a_sample_that_cannot_be_read_is_reported() -> None:
    good, bad = samples_of(OneBroken())
    assert (good.name, bad.name) == ("good", "bad")
    assert good.read() == (photo(), "")
    assert bad.read() == (None, "bad cannot be read")


def test_files(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 5, 3), np.uint8))
    (tmp_path / "b.png").write_bytes(b"no image")
    first, second = images_of(tmp_path, tmp_path / "out")
    sample, reason = first.read()
    assert sample is not None
    assert (sample.size, reason, first.stem) == ((4, 5), "", "a")
    sample, reason = second.read()
    assert sample is None
    assert "b.png" in reason
    with pytest.raises(UsageError):
        images_of(tmp_path / "nothing", tmp_path)

"""One image of many: whatever it raises is its own failure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from pipeline_cases import write_image

from toolkit.config.scale import Scale
from toolkit.data.images import Picture, read_image
from toolkit.errors import DownloadError
from toolkit.inference.inputs import FileState, InputImage
from toolkit.inference.reading import pixels_of, read_input


@dataclass(frozen=True)
class Raising(InputImage):
    what: BaseException | None = None

    def read(self, scale: Scale | None = None) -> Picture:
        assert self.what is not None
        raise self.what

    def expected_pixels(self) -> int:
        assert self.what is not None
        raise self.what


def test_an_image_with_the_state_of_its_file(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    image = InputImage(tmp_path / "a.png", "x/a.png", "x/a")
    read = read_input(image)
    assert read.sample is not None
    assert (read.sample.id, read.sample.path, read.error) == ("x/a.png", str(tmp_path / "a.png"), "")
    assert torch.equal(read.sample.image, read_image(tmp_path / "a.png"))
    assert read.state == FileState.of(tmp_path / "a.png")
    assert pixels_of(image) == 24 * 37


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (DownloadError("it is gone"), "^it is gone$"),
        (MemoryError(), r"a\.png cannot be read: memory ran out\. Hint: "),
        (ZeroDivisionError("by zero"), r"a\.png cannot be read: ZeroDivisionError: by zero\. Hint: "),
        (RecursionError("too deep"), r"a\.png cannot be read: RecursionError: too deep\. Hint: "),
    ],
)
def test_whatever_is_raised_is_the_image_s_failure(what: Exception, message: str) -> None:
    image = Raising(Path("a.png"), "a.png", "a", what=what)
    read = read_input(image)
    assert read.sample is None
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(read.error)
    assert pixels_of(image) == 0


def test_who_stops_the_program_is_not_taken_for_a_fault() -> None:
    with pytest.raises(KeyboardInterrupt):
        read_input(Raising(Path("a.png"), "a.png", "a", what=KeyboardInterrupt()))


def test_a_failure_that_is_known_already() -> None:
    assert (
        read_input(InputImage(Path("d"), "d/", "d/", "d cannot be searched")).error == "d cannot be searched"
    )

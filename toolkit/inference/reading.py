"""Reading one image of many: whatever goes wrong is that image's failure, and never the folder's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from toolkit.errors import ToolkitError
from toolkit.inference.inputs import FileState, InputImage
from toolkit.types import Sample


@dataclass(frozen=True)
class ReadImage:
    """An image that was read, or could not be.

    Attributes:
        image: where it is.
        sample: the image as models get it; None where there is none.
        error: the reason why there is none.
        state: of its file, when it was read.
        notes: what of the file is not in the sample.
    """

    image: InputImage
    sample: Sample | None = None
    error: str = ""
    state: FileState | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


def read_input(image: InputImage) -> ReadImage:
    """Read an image; may be called from any thread."""
    if image.error:
        return ReadImage(image, error=image.error)
    try:
        # Before it is read, so that a change in between is noticed the next time.
        state = image.state()
        pixels, notes = image.read()
        return ReadImage(image, Sample(image.name, pixels, path=image.where), state=state, notes=notes)
    except ToolkitError as error:
        return ReadImage(image, error=str(error))
    except MemoryError:
        reason = "memory ran out. Hint: cut it into tiles, or read one image at a time by --workers 1"
    except Exception as error:  # a fault in a decoder, say
        reason = f"{type(error).__name__}: {error}. Hint: convert it to PNG"
    return ReadImage(image, error=f"{image.where} cannot be read: {reason}")


def pixels_of(image: InputImage) -> int:
    """How many pixels an image is expected to have; 0 for what will fail anyway."""
    try:
        return image.expected_pixels()
    except Exception:  # reading it will say why
        return 0

"""Reads one image of many: if anything goes wrong, only that image fails, never the whole folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from toolkit.config.scale import Scale
from toolkit.data.image_files import FilePath
from toolkit.data.images import read_image
from toolkit.data.window_reading import WindowReader
from toolkit.errors import DataError, ToolkitError
from toolkit.inference.inputs import FileState, InputImage
from toolkit.types import Sample, Size


@dataclass(frozen=True)
class ReadImage:
    """An image that was read, or could not be.

    Attributes:
        image: the input image.
        sample: the image as input for models; None if it could not be read.
        error: the reason why it could not be read.
        state: the state of its file when it was read.
        notes: what in the file is not in the sample.
        reader: reads its parts, if it is not read as a whole.
    """

    image: InputImage
    sample: Sample | None = None
    error: str = ""
    state: FileState | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    reader: WindowReader | None = None


def read_input(
    image: InputImage,
    open_parts: Callable[[InputImage], WindowReader | None] | None = None,
    scale: Scale | None = None,
) -> ReadImage:
    """Read an image; may be called from any thread.

    Args:
        image: the image.
        open_parts: opens images that are not to be read as a whole; None for those that are.
        scale: how values become 8 bits, that of the model's training.
    """
    if image.error:
        return ReadImage(image, error=image.error)
    try:
        # Before reading, so that a change in between is noticed the next time.
        state = image.state()
        reader = None if open_parts is None else open_parts(image)
        if reader is not None:
            return ReadImage(image, state=state, reader=reader)
        pixels, notes = image.read(scale)
        return ReadImage(image, Sample(image.name, pixels, path=image.where), state=state, notes=notes)
    except ToolkitError as error:
        return ReadImage(image, error=str(error))
    except MemoryError:
        reason = "memory ran out. Hint: cut it into tiles, or read one image at a time by --workers 1"
    except Exception as error:  # such as a bug in a decoder
        reason = f"{type(error).__name__}: {error}. Hint: convert it to PNG"
    return ReadImage(image, error=f"{image.where} cannot be read: {reason}")


def pixels_of(image: InputImage) -> int:
    """The expected number of pixels of an image; 0 if reading it will fail anyway."""
    try:
        return image.expected_pixels()
    except Exception:  # reading it will report why
        return 0


def read_again(path: FilePath, size: Size, scale: Scale | None = None) -> Tensor:
    """The image of a prediction that was made before, uint8 ``[3, H, W]``.

    Args:
        path: its file.
        size: height and width at the time of the prediction.
        scale: how its values became 8 bits.

    Raises:
        ImageError: when its file no longer exists, or cannot be read.
        DataError: when it has another size now.
    """
    image = read_image(path, scale)
    if tuple(image.shape[1:]) != size:
        raise DataError(
            f"{path} has {image.shape[2]} x {image.shape[1]} pixels now, but {size[1]} x {size[0]} when it"
            " was predicted. Hint: predict it again"
        )
    return image

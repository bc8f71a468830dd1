"""The kinds of images that Python functions take, as samples."""

from __future__ import annotations

import os
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from toolkit.config.scale import Scale
from toolkit.data.images import decode_image, read_image, scaled_picture
from toolkit.errors import InvalidDataError
from toolkit.runtime.remote import fetch_bytes, is_url
from toolkit.types import Sample

ImageLike: TypeAlias = "str | os.PathLike[str] | NDArray[Any] | Image.Image | Tensor | Sample"
"""A path or an address; RGB uint8 ``[H, W, 3]`` (NumPy) or ``[3, H, W]`` (torch); a Pillow image; a sample,
which is taken as it is. For a model that was trained with a scale, arrays have the values of the files.
"""


def as_sample(image: ImageLike, name: str = "image", scale: Scale | None = None) -> Sample:
    """Make a sample from a path, an array, a tensor or a Pillow image.

    Args:
        image: the image. With a scale, an array may also be gray, ``[H, W]``, and of any type of numbers.
        name: of the sample, unless the image has a path.
        scale: how its values become 8 bits; also those of 8 bits, as in a file.

    Raises:
        ImageError: when a file is not a complete image.
        DownloadError: when an address cannot be fetched.
        InvalidDataError: when an array has the wrong shape or dtype.
    """
    if isinstance(image, Sample):
        return image
    if isinstance(image, (str, os.PathLike)):
        path = os.fspath(image)
        if is_url(path):
            return Sample(path, decode_image(fetch_bytes(path), path, scale))
        return Sample(path, read_image(path, scale), path=path)
    if isinstance(image, Image.Image):
        if scale is not None:
            return _scaled_sample(np.array(ImageOps.exif_transpose(image)), name, scale)
        return Sample(name, _from_pillow(image))
    if isinstance(image, Tensor):
        if scale is not None:
            return _scaled_sample(image.cpu().movedim(0, -1).numpy(), name, scale)
        return Sample(name, image.cpu())
    if isinstance(image, np.ndarray) and scale is not None:
        return _scaled_sample(image, name, scale)
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = (
            f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        )
        raise InvalidDataError(
            f"image {name!r} must be a path, a Pillow image, an RGB uint8 array [H, W, 3] or an RGB uint8"
            f" tensor [3, H, W], not {found}"
        )
    return Sample(name, torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1))


def _scaled_sample(values: NDArray[Any], name: str, scale: Scale) -> Sample:
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    is_image = values.ndim == 2 or (values.ndim == 3 and values.shape[2] == 3)
    if not is_image or values.dtype.kind not in "uif":
        raise InvalidDataError(
            f"image {name!r} must be an array of numbers, gray [H, W] or RGB [H, W, 3], not {values.dtype}"
            f" {list(values.shape)}; more than three channels are not supported"
        )
    return Sample(name, scaled_picture(values, name, scale).pixels)


def _from_pillow(image: Image.Image) -> Tensor:
    if image.mode.startswith(("I", "F")):
        raise InvalidDataError(
            f"a Pillow image of mode {image.mode} has no fixed range; expected 8 bits per channel, such as"
            " mode RGB"
        )
    return torch.from_numpy(np.array(ImageOps.exif_transpose(image).convert("RGB"))).permute(2, 0, 1)

"""TIFF files with tags as other programs write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

UTM_33 = (1, 1, 0, 4, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633, 3076, 0, 1, 9001)
"""GeoTIFF keys: a projected system, pixels are areas, EPSG:32633, meters."""

DEGREES = (1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, 1, 2048, 0, 1, 4326)


def write_geotiff(
    path: Path,
    *,
    shape: tuple[int, ...] = (20, 30, 3),
    scale: Sequence[float] = (0.5, 0.25, 0),
    tiepoint: Sequence[float] = (0, 0, 0, 500_000, 4_649_000, 0),
    keys: Sequence[int] = UTM_33,
    matrix: Sequence[float] = (),
    extra: Sequence[Any] = (),
) -> Path:
    """An image whose tags say where it lies."""
    tags: list[Any] = [(34735, "H", len(keys), tuple(keys), True)] if keys else []
    tags += [(33550, "d", len(scale), tuple(scale), True)] if scale else []
    tags += [(33922, "d", len(tiepoint), tuple(tiepoint), True)] if tiepoint else []
    tags += [(34264, "d", 16, tuple(matrix), True)] if matrix else []
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    tifffile.imwrite(
        path, pixels, photometric="rgb" if len(shape) == 3 else "minisblack", extratags=[*tags, *extra]
    )
    return path


def write_ome(path: Path, *, shape: tuple[int, ...] = (20, 30), **sizes: Any) -> Path:
    """An OME-TIFF, with ``PhysicalSizeX`` and so on."""
    pixels = np.random.default_rng(0).integers(0, 65_536, shape, np.uint16)
    tifffile.imwrite(path, pixels, ome=True, metadata={"axes": "YX", **sizes})
    return path


def write_imagej(path: Path, *, per_unit: tuple[float, float], unit: str) -> Path:
    """A TIFF as ImageJ saves it."""
    pixels = np.zeros((20, 30), np.uint8)
    tifffile.imwrite(path, pixels, imagej=True, resolution=per_unit, metadata={"unit": unit})
    return path

"""Libraries that are extras, imported where they are used."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from toolkit.errors import UnavailableError


def import_pandas(purpose: str) -> Any:
    """The module ``pandas``.

    Args:
        purpose: what needs it, for the message.

    Raises:
        UnavailableError: when it is not installed; says how to install it.
    """
    try:
        import pandas
    except ImportError as error:
        raise _missing("pandas", "pandas>=2", purpose, error) from error
    return pandas


def import_supervision(purpose: str) -> Any:
    """The module ``supervision``; otherwise as ``import_pandas``."""
    try:
        import supervision
    except ImportError as error:
        raise _missing("supervision", "supervision>=0.22", purpose, error) from error
    return supervision


def import_captum(purpose: str) -> Any:
    """The module ``captum.attr``; otherwise as ``import_pandas``."""
    try:
        import captum.attr
    except ImportError as error:
        raise _missing("explain", "captum>=0.7", purpose, error) from error
    return captum.attr


def import_onnx(purpose: str) -> Any:
    """The module ``onnx``; otherwise as ``import_pandas``."""
    try:
        import onnx
    except ImportError as error:
        raise _missing("onnx", "onnx>=1.16", purpose, error) from error
    return onnx


def import_onnxruntime(purpose: str) -> Any:
    """The module ``onnxruntime``; otherwise as ``import_pandas``."""
    try:
        import onnxruntime
    except ImportError as error:
        raise _missing("onnx", "onnxruntime>=1.20", purpose, error) from error
    return onnxruntime


def import_openvino(purpose: str) -> Any:
    """The module ``openvino``; otherwise as ``import_pandas``."""
    try:
        import openvino
    except ImportError as error:
        raise _missing("openvino", "openvino>=2025.0", purpose, error) from error
    return openvino


def import_nncf(purpose: str) -> Any:
    """The module ``nncf``; otherwise as ``import_pandas``."""
    try:
        import nncf
    except ImportError as error:
        raise _missing("int8", "nncf>=3.0", purpose, error) from error
    return nncf


def import_tifffile(purpose: str) -> Any:
    """The module ``tifffile``, together with the decoders of ``imagecodecs``; otherwise as
    ``import_pandas``.
    """
    try:
        import tifffile
    except ImportError as error:
        raise _missing("tiff", "tifffile>=2024.2", purpose, error) from error
    try:
        import imagecodecs  # noqa: F401 - tifffile decodes with it
    except ImportError as error:
        raise _missing("tiff", "imagecodecs>=2024.1", purpose, error) from error
    return tifffile


def has_tifffile() -> bool:
    """Whether ``import_tifffile`` would succeed; nothing is imported."""
    return all(find_spec(name) is not None for name in ("tifffile", "imagecodecs"))


def import_ray(purpose: str) -> Any:
    """The module ``ray``; otherwise as ``import_pandas``."""
    try:
        import ray
    except ImportError as error:
        raise _missing("ray", "ray>=2.40", purpose, error) from error
    return ray


def import_fastapi(purpose: str) -> Any:
    """The module ``fastapi``, if all that the server needs is installed; otherwise as ``import_pandas``."""
    try:
        import fastapi
        import httptools  # noqa: F401 - needed with it
        import prometheus_client  # noqa: F401 - needed with it
        import python_multipart  # noqa: F401 - needed with it
        import uvicorn  # noqa: F401 - needed with it
    except ImportError as error:
        requirements = "' '".join(
            (
                "fastapi>=0.115",
                "uvicorn>=0.30",
                "httptools>=0.6.3",
                "python-multipart>=0.0.18",
                "prometheus-client>=0.20",
            )
        )
        raise _missing("serve", requirements, purpose, error) from error
    return fastapi


def import_cvat_sdk(purpose: str) -> Any:
    """The module ``cvat_sdk.auto_annotation``; otherwise as ``import_pandas``."""
    try:
        import cvat_sdk.auto_annotation
    except ImportError as error:
        raise _missing("cvat", "cvat-sdk>=2.40", purpose, error) from error
    return cvat_sdk.auto_annotation


def _missing(extra: str, requirement: str, purpose: str, error: ImportError) -> UnavailableError:
    return UnavailableError(
        f"{purpose} needs the extra {extra}, which is not installed ({error}). Hint: pip install"
        f" '{requirement}'"
    )

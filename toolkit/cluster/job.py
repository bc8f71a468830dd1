"""What a process of a cluster is told: how to load the model, and where and how to write the results."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import toolkit
from toolkit import errors
from toolkit.errors import ToolkitError
from toolkit.inference.image_batches import Work


@dataclass(frozen=True)
class Job:
    """The work of all processes.

    Attributes:
        loading: the arguments of ``toolkit.load``; paths are absolute.
        plugins: files and folders of plugins that were named as code, as absolute paths.
        out: the folder of the results, as an absolute path, or its address.
        token: of the command that began it; a process that does not find it in the folder sees another one.
        overlays, draw_above: as in ``predict_folder``.
        dataset_values: whether label images have the values of the training data.
        work: batch size and threads of each process.
        expected: the images that the model has information about, see ``Model.expected_images``.
        current: the folder in which the command was begun, to which paths of images are relative.
    """

    loading: Mapping[str, Any]
    plugins: tuple[str, ...]
    out: str
    token: str
    overlays: bool
    draw_above: float
    dataset_values: bool
    work: Work
    expected: tuple[str, ...] = ()
    current: str = ""


@dataclass(frozen=True)
class Introduction:
    """What a process says of itself before it gets work.

    Attributes:
        host: the name of its machine.
        process: its number there.
        versions: of the toolkit and of Python.
    """

    host: str
    process: int
    versions: Mapping[str, str]


def versions() -> dict[str, str]:
    """What must be the same everywhere, so that all predict and write the same."""
    return {"toolkit": toolkit.__version__, "Python": ".".join(platform.python_version_tuple()[:2])}


def introduction() -> Introduction:
    """That of this process."""
    return Introduction(platform.node() or "a machine without a name", os.getpid(), versions())


@dataclass(frozen=True)
class Problem:
    """An error that was raised in another process. An exception itself may not survive the way.

    Attributes:
        kind: the name of its class in ``toolkit.errors``.
        message: what it says.
    """

    kind: str
    message: str

    @classmethod
    def of(cls, error: Exception, host: str) -> Problem:
        """The problem of an error on a machine."""
        if isinstance(error, ToolkitError):
            return cls(type(error).__name__, f"on {host}: {error}")
        return cls("ToolkitError", f"on {host}: {type(error).__name__}: {error}")

    def error(self) -> ToolkitError:
        """It, to be raised here."""
        kind = getattr(errors, self.kind, ToolkitError)
        known = isinstance(kind, type) and issubclass(kind, ToolkitError)
        return kind(self.message) if known else ToolkitError(self.message)

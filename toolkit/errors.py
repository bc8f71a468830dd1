"""The errors that the toolkit raises on purpose, and the exit code of each on the command line.

::

    ToolkitError                      exit 1: something went wrong while carrying out a request
    ├── UsageError                    exit 2: the request is invalid; nothing was done
    │   ├── ConfigError               a setting is unknown, of the wrong type or out of range
    │   ├── UnknownNameError          no plugin, dataset or evaluator of that name
    │   ├── DuplicateNameError        two origins provide the same name
    │   └── UnavailableError          the name is known but cannot be loaded (a missing package, …)
    ├── InvalidDataError              arrays that do not fit together (also a ValueError)
    ├── DataError                     a dataset's folder or annotation file cannot be used
    │   ├── ImageError                an image file cannot be decoded
    │   ├── LoaderError               a process that reads images has died
    │   └── MissingSplitError         a folder has no such split (often there is no test split)
    ├── CheckpointError               a checkpoint is truncated, of another model, or not safe to open
    ├── DownloadError                 a download failed, or its checksum is wrong
    ├── OutputError                   a file cannot be written (full disk, permissions)
    ├── ExportError                   an exported model gives other answers than the run
    └── TrainingError                 training cannot continue
        └── NonFiniteLossError        a loss became NaN or infinite; names the samples and the loss

A message says what was found, what was expected and how to fix it.
"""

from __future__ import annotations


class ToolkitError(Exception):
    """Base of all errors raised on purpose. ``exit_code`` is what the command line returns for it."""

    exit_code = 1


class UsageError(ToolkitError):
    """The request is invalid; nothing was done."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting is unknown, of the wrong type or out of range."""


class UnknownNameError(UsageError):
    """No plugin, dataset or evaluator has this name."""


class DuplicateNameError(UsageError):
    """Two origins provide a plugin, dataset or evaluator with the same name."""


class UnavailableError(UsageError):
    """The name is known, but its plugin, dataset or evaluator cannot be loaded here."""


class InvalidDataError(ToolkitError, ValueError):
    """Arrays that do not fit together, or values outside what a type allows."""


class DataError(ToolkitError):
    """A dataset's folder or annotation file cannot be used."""


class ImageError(DataError):
    """An image file cannot be decoded."""


class LoaderError(DataError):
    """A process that reads images was stopped, usually because memory ran out."""


class MissingSplitError(DataError):
    """The dataset supports this split, but the folder does not contain it; often there is no test split."""


class CheckpointError(ToolkitError):
    """A checkpoint is truncated, belongs to another model, or is not safe to open."""


class DownloadError(ToolkitError):
    """A download failed, or the downloaded file has the wrong checksum."""


class OutputError(ToolkitError):
    """A file cannot be written."""


class ExportError(ToolkitError):
    """An exported model does not give the same answers as the run."""


class TrainingError(ToolkitError):
    """Training cannot continue."""


class NonFiniteLossError(TrainingError):
    """A loss became NaN or infinite."""

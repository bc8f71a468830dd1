"""The checks as classes for pytest. Derive a class and name what to check; nothing else is needed."""

from __future__ import annotations

import inspect
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from toolkit import registry
from toolkit.errors import UsageError
from toolkit.testing.checks import Check, check_declared, promise, skip
from toolkit.testing.dataset_checks import DatasetCase
from toolkit.testing.evaluator_checks import EvaluatorCase
from toolkit.testing.model_case import ModelCase
from toolkit.testing.samples import CLASSES
from toolkit.testing.suites import DATASET_CHECKS, EVALUATOR_CHECKS, MODEL_CHECKS
from toolkit.types import Size


class Contract:
    """Base class of the contracts.

    Attributes:
        settings: small settings, so that the checks are quick.
        skips: names of checks that it cannot pass -> the reason, in addition to those that its manifest
            declares in ``cannot``.
    """

    settings: ClassVar[Mapping[str, Any]] = {}
    skips: ClassVar[Mapping[str, str]] = {}
    _checks: ClassVar[Sequence[Check[Any]]] = ()

    @classmethod
    def case(cls) -> Any:
        """The subject of the checks."""
        raise NotImplementedError

    @classmethod
    def _place(cls, name: str) -> str:
        """A name unchanged; a relative path resolved from the folder of the file that contains the class."""
        is_path = name.endswith(".py") or "/" in name
        return str(Path(inspect.getfile(cls)).parent / name) if is_path else name

    @classmethod
    def _run(cls, check: Check[Any]) -> None:
        case = cls.__dict__.get("_case")
        if case is None:
            case = cls._case = cls.case()  # type: ignore[attr-defined]
        declared = check_declared(cls._checks, {**case.manifest.cannot, **cls.skips}, case.manifest.name)
        if check.__name__ in declared:
            skip(declared[check.__name__])
        check(case)


def _with_tests(cls: type[Contract]) -> type[Contract]:
    """Add a test method for each check to a contract."""
    for check in cls._checks:
        setattr(cls, f"test_{check.__name__}", _test(check))
    return cls


def _test(check: Check[Any]) -> Callable[[Contract], None]:
    def test(self: Contract) -> None:
        self._run(check)

    test.__name__, test.__doc__ = f"test_{check.__name__}", promise(check)
    return test


class ModelContract(Contract):
    """Checks a plugin against the contract of models::

        class TestMyNet(ModelContract):
            plugin = "mynet.py"
            settings = {"width": 8}

    Attributes:
        plugin: a name, or the path of a file or folder, relative to the folder of the test file.
        train: settings of the section ``train`` on top of the manifest's defaults, needed if the loss does
            not decrease within a few steps.
        size: approximate height and width of the images, in pixels.
        steps: number of steps within which the loss must decrease.
    """

    plugin: ClassVar[str] = ""
    train: ClassVar[Mapping[str, Any]] = {}
    size: ClassVar[Size] = (64, 64)
    steps: ClassVar[int] = 20
    _checks = MODEL_CHECKS

    @classmethod
    def case(cls) -> ModelCase:
        """The plugin with these settings."""
        return ModelCase(cls._place(cls.plugin), cls.settings, cls.train, cls.size, cls.steps)


class DatasetContract(Contract):
    """Checks a dataset against the contract of datasets.

    Attributes:
        dataset: a name, or the path of a file or folder, relative to the folder of the test file.
        folder: folder of its files. None: those written by ``write_files``, or none for a generated dataset.
        limit: number of samples to read from each split.
    """

    dataset: ClassVar[str] = ""
    folder: ClassVar[str | Path | None] = None
    limit: ClassVar[int] = 20
    _checks = DATASET_CHECKS
    _written: ClassVar[str | None] = None

    @classmethod
    def write_files(cls, folder: Path) -> None:
        """Write a small dataset into an empty folder; by default, the dataset's own synthetic sample.
        Override it if the dataset has none.
        """
        manifest = registry.named(registry.datasets(), cls._place(cls.dataset), by_user=True)
        if not manifest.sample:
            raise UsageError(
                f"{cls.__name__}: {cls.dataset} reads files. Hint: override write_files, or set folder"
            )
        manifest.resolve(manifest.sample)(folder)

    @classmethod
    def case(cls) -> DatasetCase:
        """The dataset with these settings."""
        case = DatasetCase(cls._place(cls.dataset), cls.folder, cls.settings, cls.limit)
        if cls.folder is None and case.manifest.needs_folder:
            cls._written = tempfile.mkdtemp()
            cls.write_files(Path(cls._written))
            case = replace(case, folder=cls._written)
        return case

    @classmethod
    def teardown_class(cls) -> None:
        """Remove what was written; called by pytest."""
        if cls._written is not None:
            shutil.rmtree(cls._written)


class EvaluatorContract(Contract):
    """Checks an evaluator against the contract of evaluators.

    Attributes:
        evaluator: a name, or the path of a file or folder, relative to the folder of the test file.
        classes: names of the label indexes.
    """

    evaluator: ClassVar[str] = ""
    classes: ClassVar[Sequence[str]] = CLASSES
    _checks = EVALUATOR_CHECKS

    @classmethod
    def case(cls) -> EvaluatorCase:
        """The evaluator with these settings."""
        return EvaluatorCase(cls._place(cls.evaluator), cls.settings, cls.classes)


for _contract in (ModelContract, DatasetContract, EvaluatorContract):
    _with_tests(_contract)

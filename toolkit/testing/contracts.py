"""The checks as classes for pytest. An author derives one, names what is to be checked, and writes nothing
else.
"""

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
    """What the contracts have in common.

    Attributes:
        settings: small settings to try it with, so that the checks are quick.
        skips: names of checks that it cannot pass -> the reason; beside those that its manifest declares in
            ``cannot``.
    """

    settings: ClassVar[Mapping[str, Any]] = {}
    skips: ClassVar[Mapping[str, str]] = {}
    _checks: ClassVar[Sequence[Check[Any]]] = ()

    @classmethod
    def case(cls) -> Any:
        """What the checks look at."""
        raise NotImplementedError

    @classmethod
    def _place(cls, name: str) -> str:
        """A name as it is; a relative path from the folder of the file that the class is in."""
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
    """Give a contract a test method for each of its checks."""
    for check in cls._checks:
        setattr(cls, f"test_{check.__name__}", _test(check))
    return cls


def _test(check: Check[Any]) -> Callable[[Contract], None]:
    def test(self: Contract) -> None:
        self._run(check)

    test.__name__, test.__doc__ = f"test_{check.__name__}", promise(check)
    return test


class ModelContract(Contract):
    """Holds a plugin to what every model promises::

        class TestMyNet(ModelContract):
            plugin = "mynet.py"
            settings = {"width": 8}

    Attributes:
        plugin: a name, or the path of a file or folder; a relative one from the folder of the test file.
        train: of the section ``train``, laid over the manifest's defaults, where the loss does not fall in a
            few steps with these.
        size: height and width of the images, about, in pixels.
        steps: how many steps the loss gets to fall in.
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
    """Holds a dataset to what every one promises.

    Attributes:
        dataset: a name, or the path of a file or folder; a relative one from the folder of the test file.
        folder: its files. None: those that ``write_files`` writes, or none at all where the dataset is
            generated.
        limit: how many samples of each split are read.
    """

    dataset: ClassVar[str] = ""
    folder: ClassVar[str | Path | None] = None
    limit: ClassVar[int] = 20
    _checks = DATASET_CHECKS
    _written: ClassVar[str | None] = None

    @classmethod
    def write_files(cls, folder: Path) -> None:
        """Write a small dataset into an empty folder: here the stand-in that the dataset draws. Override it
        where it draws none.
        """
        manifest = registry.named(registry.datasets(), cls._place(cls.dataset))
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
    """Holds an evaluator to what every one promises.

    Attributes:
        evaluator: a name, or the path of a file or folder; a relative one from the folder of the test file.
        classes: what labels stand for.
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

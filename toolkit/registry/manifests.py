"""Manifests: what a plugin, dataset, evaluator or task says about itself before any of its code is imported.

A manifest is data. It imports no torch and names its code as ``"module:object"`` (``".model:build"`` is
relative to the module that holds the manifest, ``":build"`` is that module itself), which is imported on
first use.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, ClassVar

from toolkit.errors import UnavailableError, UsageError
from toolkit.registry.published import Download

__all__ = [
    "DatasetManifest",
    "Download",
    "EvaluatorManifest",
    "Manifest",
    "PluginManifest",
    "TaskManifest",
    "Weights",
]


@dataclass(frozen=True)
class Weights:
    """Published weights that ``weights=<name>`` stands for.

    Attributes:
        name: what the user writes.
        license: the license of the weights (often not that of the code).
        source: a page, paper or repository that says where they come from.
        download: the file, or None when the plugin fetches it with a library (timm, …) in ``load_weights``.
        instead: what else to do if the file is not available, for the message, such as the settings that
            training from random weights needs.
    """

    name: str
    license: str
    source: str
    download: Download | None = None
    instead: str = ""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What plugins, datasets and evaluators have in common.

    Attributes:
        name: what the user writes: lower-case letters, digits, ``-`` and ``_``.
        summary: one line for ``list``.
        build: ``"module:callable"`` that builds the object; see the subclass for how it is called.
        settings: ``"module:class"`` of a ``toolkit.config.Settings`` subclass, or empty when there is nothing
            to set.
        requires: distributions that must be installed in addition to the toolkit, such as ``"sam2>=1.1"``.
        install: the command that installs a missing requirement; made from ``requires`` when empty.
        cannot: what it cannot do, as name of a check of ``toolkit plugins check`` -> the reason, with which
            that check is skipped.
        module: the module that holds the manifest; filled in by discovery.
        origin: where it was found (a folder, file or distribution); filled in by discovery.
    """

    kind: ClassVar[str] = "manifest"
    has_build: ClassVar[bool] = True
    optional_references: ClassVar[tuple[str, ...]] = ("settings",)

    name: str
    summary: str
    build: str
    settings: str = ""
    requires: tuple[str, ...] = ()
    install: str = ""
    cannot: Mapping[str, str] = field(default_factory=dict)
    module: str = ""
    origin: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", self.name):
            raise UsageError(
                f"{self.kind} name {self.name!r} must be lower-case letters, digits, '-' and '_', such as"
                " 'my-net'"
            )
        if not self.summary:
            raise UsageError(f"{self.kind} {self.name!r} needs a summary of one line")
        for what in ("build", *self.optional_references):
            reference = getattr(self, what)
            if what == "build" and not reference and not self.has_build:
                continue
            if (reference or what == "build") and not re.fullmatch(r"[\w.]*:\w+", reference):
                raise UsageError(
                    f"{self.kind} {self.name!r}: {what} must read 'module:object', not {reference!r}"
                )

    def resolve(self, reference: str) -> Any:
        """Import what ``"module:object"`` names.

        Raises:
            UnavailableError: when a requirement is missing, or the import fails; says why and how to fix it.
        """
        missing = self.missing_requirements()
        if missing:
            raise UnavailableError(
                f"{self.kind} {self.name!r} needs {', '.join(missing)}. Hint: {self.install_line()}"
            )
        module_name, _, attribute = reference.partition(":")
        try:
            module = importlib.import_module(module_name or self.module, package=self.module)
            return getattr(module, attribute)
        except Exception as error:  # a plugin's import may raise anything at all
            raise UnavailableError(
                f"{self.kind} {self.name!r} from {self.origin} cannot be loaded: importing {reference!r}"
                f" failed with {type(error).__name__}: {error}"
            ) from error

    def missing_requirements(self) -> list[str]:
        """Those of ``requires`` that are not installed or too old, with the version that is installed."""
        from packaging.requirements import Requirement

        missing = []
        for text in self.requires:
            requirement = Requirement(text)
            try:
                version = metadata.version(requirement.name)
            except metadata.PackageNotFoundError:
                missing.append(f"{text} (not installed)")
                continue
            if version not in requirement.specifier:
                missing.append(f"{text} (installed: {version})")
        return missing

    def install_line(self) -> str:
        """The command that installs what is missing."""
        return self.install or "pip install " + " ".join(f"'{text}'" for text in self.requires)


@dataclass(frozen=True, kw_only=True)
class PluginManifest(Manifest):
    """A model plugin. ``build(settings, classes) -> toolkit.Model`` with random weights; nothing is
    downloaded in it.

    Attributes:
        task: name of a ``TaskManifest``; says what the model learns from, what it predicts and how it is
            measured.
        evaluators: names of the evaluators that measure it by default; those of the task when empty.
        defaults: settings that differ from the toolkit's own, as nested mappings by section.
        recommended: settings to start with if neither a recipe nor a settings file is given, laid over
            ``defaults``; ``augment: auto`` stands for the task's ``augment``, ``weights: auto`` for the first
            of ``weights`` if they are available, and ``batch_size: None`` for a batch size that suits the
            training images, at most that of ``defaults``.
        weights: published weights, by name.
        load_weights: ``"module:callable"``, called with ``(model, name_or_path)`` when ``weights=`` is one of
            ``weights`` (with a ``download``: the path of the fetched file) or a file that the toolkit did not
            write; returns a ``toolkit.checkpoints.LoadReport``. Without it such files are matched by the
            names and shapes of their tensors.
        settings_of_weights: ``"module:callable"``, called with the value of ``weights=``; returns the model
            settings that these weights determine, such as ``{"size": "tiny"}``, or an empty mapping if they
            are not known. A run uses them for all settings that its user has not set. Empty when weights
            determine nothing.
        reads: families of networks, as ``toolkit.runtime.weight_files`` calls them, whose checkpoints its
            ``load_weights`` reads; for the hint when another plugin is given one.
        takes_encoders: whether its ``load_weights`` also takes the encoder out of checkpoints of other
            plugins, as ``toolkit.models.encoder_weights.load_encoder_weights`` does; otherwise these are
            refused.
        license: the license of the plugin's code.
        paper: where the model was published.
    """

    kind: ClassVar[str] = "plugin"
    optional_references: ClassVar[tuple[str, ...]] = ("settings", "settings_of_weights")

    task: str
    evaluators: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    recommended: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[Weights, ...] = ()
    load_weights: str = ""
    settings_of_weights: str = ""
    reads: tuple[str, ...] = ()
    takes_encoders: bool = False
    license: str = "Apache-2.0"
    paper: str = ""
    version: str = "1"

    def __post_init__(self) -> None:
        super().__post_init__()
        unreachable = [
            weights.name for weights in self.weights if weights.download is None and not self.load_weights
        ]
        if unreachable:
            raise UsageError(
                f"plugin {self.name!r}: the weights {', '.join(unreachable)} need a download or load_weights"
            )


@dataclass(frozen=True, kw_only=True)
class DatasetManifest(Manifest):
    """A dataset. ``build(folder, split, settings) -> toolkit.Dataset``; ``folder`` is None where
    ``needs_folder`` is false.

    Attributes:
        tasks: names of the tasks that its labels can train.
        splits: the names that ``split`` may take; the first is for training.
        val_split: the split that is held out while training.
        fixed_splits: whether a publication says which photos are in which split, so that nobody may move
            them: photos that two splits share are then reported, but are not an error.
        needs_folder: whether it reads files (False: it is generated).
        takes_file: whether ``folder`` may also be a file, such as one of annotations.
        layout: what the folder must look like, for messages.
        origin_url: the page that publishes it.
        license: the license of the data.
        size: for people, such as ``"591 photos, 90 MB"``.
        downloads: the files that ``toolkit data get`` fetches and unpacks; empty when nobody may or can.
        terms: what must be accepted before they are fetched: ``toolkit data get`` shows it with
            the license and asks; empty when nothing must.
        unread: ``"module:callable"`` that lists what in the folder belongs to no split, such as the
            annotations of a split of another name, or empty. Called as ``unread(folder, settings)``; returns
            a list of texts, which `toolkit data check` and `toolkit data convert` print.
        sample: ``"module:callable"`` that writes a small synthetic version of the dataset in its own layout,
            or empty. Called as ``sample(folder)`` by ``toolkit data sample``; returns how many images it
            wrote.
    """

    kind: ClassVar[str] = "dataset"
    optional_references: ClassVar[tuple[str, ...]] = ("settings", "sample", "unread")

    tasks: tuple[str, ...]
    splits: tuple[str, ...] = ("train", "val", "test")
    val_split: str = "val"
    fixed_splits: bool = False
    needs_folder: bool = True
    takes_file: bool = False
    layout: str = ""
    origin_url: str = ""
    license: str = ""
    size: str = ""
    downloads: tuple[Download, ...] = ()
    terms: str = ""
    sample: str = ""
    unread: str = ""


@dataclass(frozen=True, kw_only=True)
class EvaluatorManifest(Manifest):
    """An evaluator. ``build(settings, classes) -> toolkit.Evaluator``.

    Attributes:
        measures: the fields of a prediction that it can measure, of which the model must predict at least
            one, as in ``TaskManifest.predicts``; empty if not declared.
    """

    kind: ClassVar[str] = "evaluator"

    measures: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TaskManifest(Manifest):
    """What models of a kind learn from and predict. It has no ``build``, because there is nothing to build.

    A field is an attribute of ``Sample`` and ``Prediction`` (``label_map``, ``instances``), or a key of their
    ``extras``.

    Attributes:
        truth: the fields of a sample that a model learns from; all of them must be present.
        predicts: the fields of a prediction. ``answers`` stands for instances that answer prompts one by one.
        evaluators: names of the evaluators that measure its models by default.
        conversions: other tasks whose datasets can train it -> ``"module:callable"``, called with a
            ``Dataset`` and returning one; the first line of its docstring says what it does.
        draw: ``"module:callable"`` that draws the fields over a photo. Called as
            ``draw(picture, labeled, classes, palette, letter_height)`` with an RGB picture, uint8
            ``[H, W, 3]``, and a ``Sample`` or ``Prediction`` of its size; it may draw in place, and returns a
            picture of the same size.
        draws: other fields that ``draw`` also draws: if a sample or a prediction has the task's own fields,
            these are not drawn by the tasks that they belong to.
        write: ``"module:callable"`` that writes the fields of one prediction. Called as
            ``write(prediction, folder, stem, palette)``, from several threads; returns kind -> path of the
            file, relative to ``folder``.
        collect: ``"module:callable"`` that writes one file for all images when they are done. Called as
            ``collect(folder, records, about)`` with the folder of the results, a mapping with ``image``,
            ``size`` (height, width) and ``outputs`` for each image, and the contents of ``about.json``.
        examples: ``"module:callable"`` that makes small samples for the conformance checks. Called as
            ``examples(classes, sizes, objects=3, seed=0)``; returns one ``Sample`` per size (height, width).
        classes: the classes of the examples.
        augment: what ``augment=auto`` stands for, as a recipe lists it.
    """

    kind: ClassVar[str] = "task"
    has_build: ClassVar[bool] = False
    optional_references: ClassVar[tuple[str, ...]] = ("settings", "draw", "write", "collect", "examples")

    build: str = ""
    truth: tuple[str, ...]
    predicts: tuple[str, ...]
    evaluators: tuple[str, ...] = ()
    conversions: Mapping[str, str] = field(default_factory=dict)
    draw: str = ""
    draws: tuple[str, ...] = ()
    write: str = ""
    collect: str = ""
    examples: str = ""
    classes: tuple[str, ...] = ()
    augment: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.predicts:
            raise UsageError(
                f"task {self.name!r} must declare which fields of a prediction its models fill: predicts=(…)"
            )

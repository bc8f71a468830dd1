"""Opens runs and the data to measure them on: the one way for ``eval``, ``compare``, ``report`` and
``panoptic``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, RunLike, path_of_run
from toolkit.config.keys import evaluators_class, for_sections
from toolkit.config.settings import Settings, settings_class
from toolkit.config.tree import merge
from toolkit.data.dataset import Dataset, open_dataset, open_for_task
from toolkit.errors import DataError, UsageError
from toolkit.evaluation.requests import DataChoice, OpenedSplit, Prompting
from toolkit.models.building import load_model, manifest_of_run, plugin_of
from toolkit.models.capabilities import Promptable
from toolkit.models.contract import Model, TrainableModel
from toolkit.models.prompted import FROM, prompted
from toolkit.models.simulated_prompts import AUTO
from toolkit.models.sliding_window import Tiling, windowed
from toolkit.models.windowed_learner import WindowedLearner
from toolkit.registry.manifests import TaskManifest
from toolkit.visualization.drawing import DRAW_ABOVE

SECTIONS = ("data", "evaluators")


@dataclass(frozen=True)
class OpenedData:
    """The data that runs are measured on.

    Attributes:
        opened: what is measured, and where it comes from.
        wanted: the overrides by section: ``data``, ``evaluators`` and ``model``.
        options_differ: whether the runs that were trained on the dataset read it with different options.
    """

    opened: OpenedSplit
    wanted: Mapping[str, dict[str, Any]]
    options_differ: bool


@dataclass(frozen=True)
class OpenedRun:
    """A run with the data that it is measured on.

    Attributes:
        path: its folder, or a checkpoint file.
        model, manifest, task: what the run trained.
        opened: what it is measured on.
        evaluators: settings by name, those of the run overridden by the wanted ones.
        wanted_evaluators: those that were asked for.
        threshold: the score that an object needs to be shown.
        wanted_model: settings of the model that override those of its training.
    """

    path: Path
    model: Model
    manifest: CheckpointManifest
    task: TaskManifest
    opened: OpenedSplit
    evaluators: dict[str, Any]
    wanted_evaluators: dict[str, Any]
    threshold: float
    wanted_model: Mapping[str, Any]


def open_run(run: RunLike, choice: DataChoice, prompting: Prompting) -> OpenedRun:
    """Load a run's model and open the data to measure it on.

    Raises:
        UsageError: when prompts are given that cannot be measured, or to a model that takes none; and as
            ``open_data``.
    """
    path = path_of_run(run)
    manifest = manifest_of_run(path)
    task = registry.tasks().get(manifest.task)
    settings = settings_class(plugin_of(manifest, path))
    found = open_data([path], [manifest], choice, task=task, model=settings)
    model, manifest = load_model(path, found.wanted["model"])
    wanted = found.wanted["evaluators"]
    chosen = merge(evaluators_of(manifest), wanted)
    opened = OpenedRun(
        path, model, manifest, task, found.opened, chosen, wanted, model.draw_above, found.wanted["model"]
    )
    return with_prompts(opened, prompting)


def open_data(
    paths: Sequence[Path],
    manifests: Sequence[CheckpointManifest],
    choice: DataChoice,
    *,
    task: TaskManifest | None = None,
    model: type[Settings] | None = None,
) -> OpenedData:
    """Open the data to measure runs on.

    Args:
        paths: paths of the runs, for messages.
        manifests: manifests of the runs.
        choice: what to measure on; the folder and the options that it leaves open are those of the first run
            that was trained on this dataset.
        task: the task to whose labels a dataset of another task is converted; None leaves them unchanged.
        model: the class of the model's settings, which overrides may then contain.

    Raises:
        UsageError: when the runs were trained on different datasets, or do not say on which, or a folder or
            options are given for a dataset that is open already.
        ConfigError: when there are overrides of other sections.
        DataError: when the split cannot be read, or is empty.
    """
    data = choice.data
    if isinstance(data, str):
        registry.named(registry.datasets(), data, by_user=True)
    data = _common_data(paths, manifests) if data is None else data
    wanted = known_sections(choice.overrides, data, model=model)
    name = name_of_data(data)
    saved = [given for given in map(data_settings, manifests) if given.get("name") == name] or [{}]
    options = merge(dict(saved[0].get("options") or {}), wanted["data"].get("options", {}))
    folder = choice.data_dir or saved[0].get("dir")
    dataset, split = open_split(data, folder, choice.split, options, task)
    differ = any(given.get("options") != saved[0].get("options") for given in saved)
    return OpenedData(OpenedSplit(dataset, data, split, folder, options), wanted, differ)


def with_prompts(run: OpenedRun, prompting: Prompting) -> OpenedRun:
    """The run with a model that gets these prompts and predicts detections; as it is without any.

    Raises:
        UsageError: when prompts are given that cannot be measured, or to a model that takes none.
    """
    if prompting.prompts is None:
        if prompting.above is not None:
            raise UsageError(
                "--prompts-above is for prompts that are another run's detections. Hint: add --prompts"
                " from:RUN"
            )
        return run
    if prompting.prompts == AUTO:
        raise UsageError(
            "--prompts auto: objects found without prompts have no classes. Hint: leave --prompts out"
            " to measure the model by its prompt protocols, or give from:RUN or a file"
        )
    dataset = run.opened.dataset
    model = prompted_on(dataset, run.model, run.manifest, prompting)
    # somebody has asked for each object in a file, but not for each detection
    threshold = DRAW_ABOVE if prompting.prompts.startswith(FROM) else model.draw_above
    return replace(run, model=model, evaluators=run.wanted_evaluators or {"coco": {}}, threshold=threshold)


def prompted_on(dataset: Dataset, model: Model, manifest: CheckpointManifest, prompting: Prompting) -> Model:
    """A promptable model with these prompts for the images of a dataset.

    Raises:
        UsageError: when the model takes no prompts.
        DataError: when prompts are for images that the dataset has not.
    """
    assert prompting.prompts is not None
    found = prompted(
        model,
        prompting.prompts,
        classes=dataset.classes,
        prompts_above=prompting.above,
        start_weights=manifest.start_weights,
    )
    found.expect_images(dataset.ids)
    return found


def tiled(model: Model, tiling: Tiling | None, option: str = "--window") -> Model:
    """The model as ``toolkit infer`` uses it: it predicts large images window by window.

    Args:
        model: the model; one that is measured by its prompt protocols, or can only predict whole images,
            stays as it is.
        tiling: when images are predicted window by window; only very large ones when None.
        option: what the window was given by, for messages.

    Raises:
        UsageError: when a window is requested that the model cannot use.
    """
    tiling = tiling or Tiling()
    if isinstance(model, Promptable):
        if tiling.window is not None:
            raise UsageError(
                f"{option} {tiling.window}: prompt protocols are measured on whole images. Hint: leave out"
                f" {option}, or measure the answers to another run's detections with --prompts from:RUN"
            )
        return model
    found = windowed(model, tiling, option)
    if found.windows is None:
        return model
    return WindowedLearner(model, tiling) if isinstance(model, TrainableModel) else found


def _common_data(paths: Sequence[Path], manifests: Sequence[CheckpointManifest]) -> str:
    names = [_name_in(manifest, path) for path, manifest in zip(paths, manifests, strict=True)]
    if len(set(names)) > 1:
        trained = ", ".join(f"{path} on {name}" for path, name in zip(paths, names, strict=True))
        raise UsageError(
            f"the runs were trained on different datasets: {trained}. Hint: choose one of them with --data"
        )
    return names[0]


def data_settings(manifest: CheckpointManifest) -> Mapping[str, Any]:
    """What the settings of a run say of its data."""
    return manifest.config.get("data") or {}


def evaluators_of(manifest: CheckpointManifest) -> dict[str, Any]:
    """The settings of the evaluators of a run, by name."""
    return dict(manifest.config.get("evaluators") or {})


def known_sections(
    overrides: Mapping[str, Any] | None,
    data: str | Dataset,
    *,
    model: type[Settings] | None = None,
) -> dict[str, dict[str, Any]]:
    """The overrides by section: ``data``, ``evaluators`` and ``model``.

    Args:
        overrides: by full or bare keys, or nested.
        data: the dataset that the options are for; one that is open already takes none.
        model: the settings of the model; without them, they have no effect.

    Raises:
        ConfigError: when there are others.
    """
    flat = dict(overrides or {})
    if isinstance(flat.get("data"), Mapping):
        flat |= {f"data.{key}": value for key, value in flat.pop("data").items()}
    options = (
        Settings if isinstance(data, Dataset) else settings_class(registry.named(registry.datasets(), data))
    )
    sections: list[tuple[str, type[Settings]]] = [
        ("data.options", options),
        ("evaluators", evaluators_class()),
    ]
    if model is not None:
        sections.insert(0, ("model", model))
    wanted: dict[str, dict[str, Any]] = {name: {} for name in (*SECTIONS, "model")}
    return wanted | for_sections(flat, sections)


def data_of_run(run: str | Path) -> str:
    """The dataset that a run was trained on.

    Raises:
        CheckpointError: when there is no run.
        UsageError: when it does not say; then ``--data`` must.
    """
    return _name_in(manifest_of_run(run), run)


def _name_in(manifest: CheckpointManifest, run: str | Path) -> str:
    name = data_settings(manifest).get("name")
    if not name:
        raise UsageError(f"{run} does not say which data it was trained on. Hint: add --data NAME")
    return str(name)


def name_of_data(data: str | Dataset) -> str:
    """What a dataset is called: its name, the whole path of its file, or the class of an object."""
    return type(data).__name__ if isinstance(data, Dataset) else registry.stable_name(data)


def open_split(
    data: str | Dataset,
    data_dir: str | None,
    split: str | None,
    options: Mapping[str, Any],
    task: TaskManifest | None = None,
    *,
    need_images: bool = True,
) -> tuple[Dataset, str]:
    """A split to measure on, by default that for validation, and its name.

    Args:
        data, data_dir, split, options: which; as for ``open_dataset``. A dataset that is open already is
            taken as it is.
        task: of the model, to whose labels a dataset of another task is converted; None leaves them as they
            are.
        need_images: as for ``open_dataset``; only without a task.

    Raises:
        DataError: when it is empty.
        UsageError: when a folder or options are given for a dataset that is open already.
    """
    if isinstance(data, Dataset):
        if data_dir or options:
            raise UsageError("a dataset that is already open takes neither a folder nor options")
        return data, split or "given"
    manifest = registry.named(registry.datasets(), data)
    split = split or manifest.val_split
    if task is None:
        dataset = open_dataset(manifest, data_dir, split, options, need_images=need_images)
    else:
        dataset, _ = open_for_task(manifest, task, data_dir, split, options)
    if not len(dataset):
        raise DataError(f"dataset {data!r}: the split {split!r} has no images")
    return dataset, split

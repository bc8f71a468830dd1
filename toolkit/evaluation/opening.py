"""Opens what is measured: the model of a run, and the data to measure it on."""

from __future__ import annotations

from collections.abc import Mapping
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
from toolkit.models.building import load_model, manifest_of_run, plugin_of_run
from toolkit.models.capabilities import Promptable
from toolkit.models.contract import Model
from toolkit.models.prompted import FROM, prompted
from toolkit.models.simulated_prompts import AUTO
from toolkit.registry.manifests import PluginManifest, TaskManifest
from toolkit.visualization.drawing import DRAW_ABOVE

SECTIONS = ("data", "evaluators")


@dataclass(frozen=True)
class OpenedRun:
    """A run with the data that it is measured on.

    Attributes:
        path: its folder, or a checkpoint file.
        model, manifest, task: what the run trained.
        opened: what it is measured on.
        evaluators: settings by name, those of the run with the wanted ones laid over them.
        wanted_evaluators: those that were asked for.
        threshold: the score that an object needs to be shown.
    """

    path: Path
    model: Model
    manifest: CheckpointManifest
    task: TaskManifest
    opened: OpenedSplit
    evaluators: dict[str, Any]
    wanted_evaluators: dict[str, Any]
    threshold: float


def open_run(run: RunLike, choice: DataChoice, prompting: Prompting) -> OpenedRun:
    """Load a run's model and open the data to measure it on.

    Raises:
        UsageError: when prompts are given that cannot be measured, or to a model that takes none.
    """
    path, data = path_of_run(run), choice.data
    if isinstance(data, str):
        registry.named(registry.datasets(), data, by_user=True)
    data = data_of_run(path) if data is None else data
    wanted = known_sections(choice.overrides, data, plugin=plugin_of_run(path))
    model, manifest = load_model(path, wanted["model"])
    task = registry.tasks().get(manifest.task)
    saved = manifest.config.get("data", {})
    saved = saved if saved.get("name") == name_of_data(data) else {}
    options = merge(saved.get("options") or {}, wanted["data"].get("options", {}))
    folder = choice.data_dir or saved.get("dir")
    dataset, split = open_split(data, folder, choice.split, options, task)
    opened = OpenedSplit(dataset, data, split, folder, options)
    chosen = merge(dict(manifest.config.get("evaluators") or {}), wanted["evaluators"])
    found = OpenedRun(path, model, manifest, task, opened, chosen, wanted["evaluators"], model.draw_above)
    return with_prompts(found, prompting)


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


def takes_prompts(model: Model) -> bool:
    """Whether a model answers prompts."""
    return model.capability(Promptable) is not None


def known_sections(
    overrides: Mapping[str, Any] | None,
    data: str | Dataset,
    *,
    plugin: PluginManifest | None = None,
    model: type[Settings] | None = None,
) -> dict[str, dict[str, Any]]:
    """The overrides by section: ``data``, ``evaluators`` and, with a plugin, ``model``.

    Args:
        overrides: by full or bare keys, or nested.
        data: the dataset that the options are for; one that is open already takes none.
        plugin: that the settings of the model are for.
        model: the settings of the model where it is of no plugin. Without either they have no effect.

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
    if plugin is not None:
        model = settings_class(plugin)
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
    name = manifest_of_run(run).config.get("data", {}).get("name")
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

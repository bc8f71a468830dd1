"""Combines recipes, ``--config`` files and ``key=value`` words into the settings of a run. Later ones win."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field

from toolkit import registry
from toolkit.config.augmentations import AugmentList
from toolkit.config.keys import Sections, check_sections, evaluators_class, has_bare, in_full
from toolkit.config.schema import AUTO, DataSettings, RunSettings, TrainSettings
from toolkit.config.settings import Settings, settings_class, validate, with_fields
from toolkit.config.tree import Tree, as_tree, copy_tree, merge, parse_words, read_yaml
from toolkit.errors import UnknownNameError, UsageError
from toolkit.reading.files import expanded
from toolkit.registry.manifests import Manifest, PluginManifest
from toolkit.registry.matching import check_measurable, check_trainable

logger = logging.getLogger("toolkit")


def resolve(
    *,
    plugin: str | None = None,
    data: str | None = None,
    config: str | Path | None = None,
    overrides: Mapping[str, Any] | Sequence[str] = (),
    resuming: bool = False,
) -> RunSettings:
    """Assemble the settings of a run.

    Args:
        plugin: name or path; may be omitted if ``config`` has it as a name. A path that only a file names is
            not run.
        data: name or path of the dataset; may be omitted likewise.
        config: a YAML file, the folder of a run, or the name of a recipe, see ``find_config``; without it,
            the recipe ``configs/<plugin>-<data>.yaml`` is used if there is one.
        overrides: full or bare keys (``train.lr``, ``lr``; see ``toolkit.config.keys``) with values, nested
            dictionaries, or ``key=value`` words.
        resuming: ``config`` has all settings of a run that continues: nothing is derived from ``overrides``,
            so that everything they do not name stays as it was.

    Raises:
        ConfigError: with all errors in one message.
        UnknownNameError: for an unknown plugin, dataset, evaluator, task or recipe.
        UsageError: when the dataset cannot train the plugin, or an evaluator cannot measure it.
    """
    flat = dict(overrides) if isinstance(overrides, Mapping) else parse_words(overrides)
    path = None if config is None else find_config(config)
    tree = _read_recipe(path) if path else {}
    named = copy_tree(tree.get("model") or {})
    by_user = (
        _name_among("plugin", plugin, flat, "plugin"),
        _name_among("data", data, flat, "data", "data.name"),
    )
    plugin = by_user[0] or tree.get("plugin")
    data_section = tree.get("data") if isinstance(tree.get("data"), dict) else {}
    data = by_user[1] or (data_section or {}).get("name")
    if not plugin or not data:
        raise UsageError(_which(plugin, data, path))
    plugin_manifest = registry.named(registry.plugins(), plugin, by_user=bool(by_user[0]))
    data_manifest = registry.named(registry.datasets(), data, by_user=bool(by_user[1]))
    defaults = copy_tree(plugin_manifest.defaults)
    if path is None:
        path = find_recipe(plugin_manifest.name, data_manifest.name)
        tree = _read_recipe(path) if path else {}
        if not path:
            # the learning rate is for the batch size next to it, which the recommended settings may leave
            # open
            _state_batch_of_lr(defaults, copy_tree(plugin_manifest.recommended))
            defaults = _lay_over(defaults, plugin_manifest.recommended)
    tree = _lay_over(defaults, tree)
    words = as_tree(in_full(flat, run_sections(plugin_manifest, data_manifest)) if has_bare(flat) else flat)
    check_sections(words, "the settings given")
    if not resuming:
        _state_batch_of_lr(tree, words)
    tree = _lay_over(tree, words)
    if not resuming:
        _follow_weights(plugin_manifest, tree, (named, words.get("model") or {}))
    if isinstance(tree.get("data") or {}, dict):
        tree["data"] = merge(
            {"train_split": data_manifest.splits[0], "val_split": data_manifest.val_split},
            tree.get("data") or {},
        )
        tree["data"]["name"] = registry.stable_name(data)
    tree["plugin"] = registry.stable_name(plugin)
    task = registry.task_of(plugin_manifest)
    if tree.get("augment") == AUTO:
        tree["augment"] = [copy_tree(each) for each in task.augment]
    usual = plugin_manifest.evaluators or task.evaluators
    wanted = merge({name: {} for name in usual}, tree.get("evaluators") or {})
    tree["evaluators"] = wanted
    asked = words.get("evaluators") or {}
    manifests = {name: registry.named(registry.evaluators(), name, by_user=name in asked) for name in wanted}
    check_trainable(plugin_manifest, task, data_manifest)
    for manifest in manifests.values():
        check_measurable(manifest, task, f"plugin {plugin_manifest.name!r}")
    return build(tree, plugin_manifest, data_manifest, manifests, source=_source(path, words))


def _read_recipe(path: Path) -> Tree:
    tree = read_yaml(path)
    check_sections(tree, str(path))
    return tree


def _which(plugin: str | None, data: str | None, path: Path | None) -> str:
    """The message that asks for the plugin, the dataset, or both."""
    missing = [
        (kind, option, lists)
        for given, kind, option, lists in (
            (plugin, "plugin", "--plugin NAME", "toolkit plugins list"),
            (data, "dataset", "--data NAME", "toolkit data list"),
        )
        if not given
    ]
    kinds, options, lists = zip(*missing, strict=True)
    where = f"{path} names none" if path else "none was given"
    names = f"{' and '.join(lists)} {'show' if len(lists) > 1 else 'shows'} the names"
    return (
        f"a {' and a '.join(kinds)} {'are' if len(kinds) > 1 else 'is'} needed, but {where}. Hint: add"
        f" {' '.join(options)}; {names}"
    )


def _name_among(kind: str, name: str | None, flat: dict[str, Any], *keys: str) -> str | None:
    """The plugin or the dataset, which may be named among the settings; removed from them.

    Raises:
        UsageError: when two are named.
    """
    for key in keys:
        if isinstance(flat.get(key), str):
            given = flat.pop(key)
            if name and name != given:
                raise UsageError(
                    f"--{kind} {name} and {key}={given} contradict each other. Hint: leave one out"
                )
            name = given
    return name


def run_sections(plugin: Manifest, data: Manifest) -> Sections:
    """All sections of the settings of a run, with the settings classes of each."""
    return (
        ("train", TrainSettings),
        ("model", settings_class(plugin)),
        ("data", DataSettings),
        ("data.options", settings_class(data)),
        ("evaluators", evaluators_class()),
    )


def _follow_weights(plugin: PluginManifest, tree: Tree, named: Sequence[Any]) -> None:
    """Take settings of the model that its start weights determine, such as the size of the network, from the
    weights, except those that the user has set.
    """
    weights = tree.get("weights")
    if not (plugin.settings_of_weights and isinstance(weights, str)):
        return
    decided = plugin.resolve(plugin.settings_of_weights)(weights)
    free = {key: value for key, value in decided.items() if not any(key in given for given in named)}
    model = tree.get("model") or {}
    changed = {key: value for key, value in free.items() if model.get(key) != value}
    if changed and isinstance(model, dict):
        tree["model"] = merge(model, changed)
        logger.info(
            "Set %s to match weights=%s", " ".join(f"model.{k}={v}" for k, v in changed.items()), weights
        )


def _lay_over(tree: Tree, over: Mapping[str, Any]) -> Tree:
    """``merge`` for the settings of a run: a later source's ``train.steps`` replaces an earlier one's
    ``train.epochs``, and vice versa.
    """
    merged, train = merge(tree, over), over.get("train")
    if isinstance(train, Mapping) and isinstance(merged.get("train"), dict):
        for given, other in (("steps", "epochs"), ("epochs", "steps")):
            if given in train and other not in train:
                merged["train"].pop(other, None)
    return merged


def _source(config: Path | None, words: Tree) -> str:
    """Where settings come from, for the beginning of a message."""
    if config is None:
        return "the settings"
    return f"{config} with the settings of the command line" if words else str(config)


def build(
    tree: Tree,
    plugin: Manifest,
    data: Manifest,
    evaluators: Mapping[str, Manifest],
    *,
    source: str,
) -> RunSettings:
    """Validate a tree against the settings classes of the plugin, the dataset and the evaluators."""
    measures = tuple((key, settings_class(manifest)) for key, manifest in evaluators.items())
    whole = _run_class(settings_class(plugin), settings_class(data), measures)
    settings: RunSettings = validate(whole, tree, source=source)
    return settings


@lru_cache(maxsize=32)
def _run_class(
    model: type[Settings], options: type[Settings], evaluators: tuple[tuple[str, type[Settings]], ...]
) -> type[RunSettings]:
    """The settings of runs with these classes. Making it takes longer than all the rest of ``resolve``."""
    data = with_fields(DataSettings.__name__, DataSettings, {"options": _field(options)})
    measures = with_fields("Evaluators", Settings, {name: _field(cls) for name, cls in evaluators})
    fields = {"data": (data, ...), "augment": (AugmentList, ()), "evaluators": (measures, ...)}
    return with_fields(RunSettings.__name__, RunSettings, {"model": _field(model), **fields})


def _field(cls: type[Settings]) -> Any:
    return (cls, Field(default_factory=dict, validate_default=True))


def _state_batch_of_lr(tree: Tree, words: Tree) -> None:
    """A recipe's learning rate refers to the recipe's batch size; one given on the command line, to the batch
    size in use.
    """
    train, over = tree.get("train"), words.get("train")
    if not isinstance(train, dict) or not isinstance(over, dict):
        return
    if "lr" in over:
        train.pop("lr_batch_size", None)
    elif (
        "batch_size" in over
        and "lr" in train
        and train.get("lr_batch_size") is None
        and train.get("batch_size") is not None
    ):
        train["lr_batch_size"] = train["batch_size"]


def recipe_folder() -> Path:
    """The folder of recipes: ``configs/`` of the checkout, or the copy inside the installed package."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent / "configs"
    return checkout if checkout.is_dir() and (package.parent / "setup.py").is_file() else package / "configs"


def find_recipe(plugin: str, data: str) -> Path | None:
    """The recipe for this pair, if there is one."""
    path = recipe_folder() / f"{plugin}-{data}.yaml"
    return path if path.is_file() else None


def find_config(config: str | Path) -> Path:
    """The YAML file that ``--config`` means: a file; the ``config.yaml`` in the folder of a run; or the
    recipe of that name, which may be written as ``unet-msrc`` or ``configs/unet-msrc.yaml``.

    Raises:
        UnknownNameError: when there is none; suggests the nearest recipes and lists all.
    """
    path = expanded(config)
    if path.is_dir() and (path / "config.yaml").is_file():
        return path / "config.yaml"
    if path.exists() and not path.is_dir():
        return path
    recipe = find_recipe_named(path)
    if recipe is not None:
        return recipe
    if path.is_dir():
        raise UnknownNameError(
            f"--config {config} is a folder without config.yaml, so it is not a run. Hint: name a YAML"
            " file, the folder of a run, or a recipe"
        )
    name = path.name.removesuffix(".yaml")
    known = sorted(recipe.stem for recipe in recipe_folder().glob("*.yaml"))
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    meant = f" Did you mean {' or '.join(repr(one) for one in near)}?" if near else ""
    raise UnknownNameError(
        f"--config {config}: there is no file or recipe of that name.{meant} Expected one of:"
        f" {', '.join(known)}"
    )


def find_recipe_named(name: str | Path) -> Path | None:
    """The recipe of a name, such as ``unet-msrc`` or ``configs/unet-msrc.yaml``, if there is one."""
    path = Path(name)
    recipe = recipe_folder() / f"{path.name.removesuffix('.yaml')}.yaml"
    return recipe if path.parent.name in ("", "configs") and recipe.is_file() else None

"""Recipes, ``--config`` files and ``key=value`` words become the settings of a run. Later sources win."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, create_model

from toolkit import registry
from toolkit.config.augmentations import AugmentSettings
from toolkit.config.schema import AUTO, DataSettings, RunSettings
from toolkit.config.settings import Settings, settings_class, validate
from toolkit.config.tree import Tree, copy_tree, merge, nest, parse_overrides, read_yaml
from toolkit.errors import UsageError
from toolkit.registry.manifests import Manifest
from toolkit.registry.matching import check_measurable, check_trainable


def resolve(
    *,
    plugin: str | None = None,
    data: str | None = None,
    config: Path | None = None,
    overrides: Mapping[str, Any] | Sequence[str] = (),
) -> RunSettings:
    """Put together the settings of a run.

    Args:
        plugin: name or path; may be left out when ``config`` has it.
        data: name or path of the dataset; may be left out when ``config`` has it.
        config: a YAML file; without it the recipe ``configs/<plugin>-<data>.yaml`` is used where there is
            one.
        overrides: dotted keys with values, or ``key=value`` words.

    Raises:
        ConfigError: with every fault in one message.
        UnknownNameError: for an unknown plugin, dataset, evaluator or task.
        UsageError: when the dataset cannot train the plugin, or an evaluator cannot measure it.
    """
    tree = read_yaml(config) if config else {}
    plugin = plugin or tree.get("plugin")
    data_section = tree.get("data") if isinstance(tree.get("data"), dict) else {}
    data = data or (data_section or {}).get("name")
    if not plugin or not data:
        where = f"{config} does not name it" if config else "none was given"
        raise UsageError(
            f"which {'plugin' if not plugin else 'dataset'}? {where}. Hint: add"
            f" --{'plugin' if not plugin else 'data'} NAME"
        )
    plugin_manifest = registry.named(registry.plugins(), plugin)
    data_manifest = registry.named(registry.datasets(), data)
    if config is None:
        config = find_recipe(plugin_manifest.name, data_manifest.name)
        tree = read_yaml(config) if config else {}
    defaults = copy_tree(plugin_manifest.defaults)
    if config is None:
        defaults = _lay_over(defaults, plugin_manifest.recommended)
    tree = _lay_over(defaults, tree)
    words = parse_overrides(overrides) if not isinstance(overrides, Mapping) else nest(overrides)
    _state_batch_of_lr(tree, words)
    tree = _lay_over(tree, words)
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
    manifests = {name: registry.named(registry.evaluators(), name) for name in wanted}
    check_trainable(plugin_manifest, task, data_manifest)
    for manifest in manifests.values():
        check_measurable(manifest, task, f"plugin {plugin_manifest.name!r}")
    return build(
        RunSettings.__name__, tree, plugin_manifest, data_manifest, manifests, source=_source(config, words)
    )


def _lay_over(tree: Tree, over: Mapping[str, Any]) -> Tree:
    """``merge`` for the settings of a run: a later source's ``train.steps`` replaces an earlier one's
    ``train.epochs``, and the other way round.
    """
    merged, train = merge(tree, over), over.get("train")
    if isinstance(train, Mapping) and isinstance(merged.get("train"), dict):
        for given, other in (("steps", "epochs"), ("epochs", "steps")):
            if given in train and other not in train:
                merged["train"].pop(other, None)
    return merged


def _source(config: Path | None, words: Tree) -> str:
    """Where settings come from, for the head of a message."""
    if config is None:
        return "the settings"
    return f"{config} with the settings of the command line" if words else str(config)


def build(
    name: str,
    tree: Tree,
    plugin: Manifest,
    data: Manifest,
    evaluators: Mapping[str, Manifest],
    *,
    source: str,
) -> RunSettings:
    """Validate a tree against the settings classes that the plugin, the dataset and the evaluators bring."""
    options = _field(data)
    evaluator_fields: Any = {key: _field(manifest) for key, manifest in evaluators.items()}
    whole = create_model(
        name,
        __base__=RunSettings,
        model=_field(plugin),
        data=(create_model("DataSettings", __base__=DataSettings, options=options), ...),
        augment=(tuple[AugmentSettings, ...], ()),
        evaluators=(create_model("Evaluators", __base__=Settings, **evaluator_fields), ...),
    )
    settings: RunSettings = validate(whole, tree, source=source)
    return settings


def _field(manifest: Manifest) -> Any:
    return (settings_class(manifest), Field(default_factory=dict, validate_default=True))


def _state_batch_of_lr(tree: Tree, words: Tree) -> None:
    """A recipe's learning rate is stated for the recipe's batch; one given on the command line, for the batch
    in force.
    """
    train, over = tree.get("train"), words.get("train")
    if not isinstance(train, dict) or not isinstance(over, dict):
        return
    if "lr" in over:
        train.pop("lr_batch_size", None)
    elif "lr" in train and train.get("lr_batch_size") is None and "batch_size" in train:
        train["lr_batch_size"] = train["batch_size"]


def recipe_folder() -> Path:
    """Where the recipes are: ``configs/`` of the checkout, or the copy inside the installed package."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent / "configs"
    return checkout if checkout.is_dir() and (package.parent / "setup.py").is_file() else package / "configs"


def find_recipe(plugin: str, data: str) -> Path | None:
    """The recipe for this pair, if there is one."""
    path = recipe_folder() / f"{plugin}-{data}.yaml"
    return path if path.is_file() else None

"""Settings: YAML recipes and ``key=value`` words become one typed, frozen ``RunSettings``.

Later sources win: the toolkit's defaults, the plugin's ``defaults``, the recipe or ``--config`` file, then the command line.
Unknown keys are errors, and all faults are reported in one message.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny, ValidationError, create_model, model_validator

from toolkit.config.tree import Tree, copy_tree, merge, nest, parse_overrides, read_yaml
from toolkit.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from toolkit.registry.manifests import Manifest


class Settings(BaseModel):
    """Base of all settings: typed, frozen, and an unknown key is an error. One sentence under each field says what it does."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True)


class DataSettings(Settings):
    """Which dataset, and where it is."""

    name: str
    """Name of the dataset, as `toolkit data list` prints it, or the path of a file that brings one."""
    dir: str | None = None
    """Folder that holds it; `data/<name>` when empty."""
    train_split: str = ""
    """Split to learn from; the dataset's first when empty."""
    val_split: str = ""
    """Split to validate on while training; the dataset's own choice when left out, and none at all when given as empty."""
    in_memory: bool = False
    """Whether training samples are kept in memory once they have been read, for sets that fit; each loader process keeps what it has read."""
    options: SerializeAsAny[Settings] = Settings()
    """The dataset's own settings; `toolkit data info NAME` lists them."""


def _as_list(value: Any) -> Any:
    """One name for a list of one, and nothing for an empty one, as on the command line."""
    return ((value,) if value else ()) if isinstance(value, str) else value


class TrainSettings(Settings):
    """How to learn. Nothing here depends on the number of processes: `batch_size` is what one step sees in all."""

    steps: int | None = Field(None, ge=1)
    """Optimizer steps; give this or `epochs`."""
    epochs: float | None = Field(None, gt=0)
    """Passes over the training split; give this or `steps`."""
    batch_size: int = Field(8, ge=1)
    """Images a step, over all processes and accumulated parts."""
    accumulate: int = Field(1, ge=1)
    """Parts that the batch of a process is worked off in, to save memory."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or SGD with momentum."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate after warm-up, for `lr_batch_size` images a step."""
    lr_batch_size: int | None = Field(None, ge=1)
    """Batch size that `lr` is stated for; `batch_size` when empty."""
    lr_scaling: Literal["linear", "sqrt", "none"] = "linear"
    """How `lr` follows a batch size other than `lr_batch_size`."""
    weight_decay: float = Field(1e-4, ge=0)
    """Decay of matrices and kernels."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of SGD, and beta1 of AdamW."""
    beta2: float = Field(0.999, ge=0, lt=1)
    """beta2 of AdamW."""
    schedule: Literal["constant", "cosine", "poly", "multistep"] = "cosine"
    """How the learning rate falls after warm-up."""
    warmup_steps: int = Field(0, ge=0)
    """Steps in which the learning rate rises linearly from `warmup_factor` of its value; at most half of the run."""
    warmup_factor: float = Field(0.001, gt=0, le=1)
    """Where warm-up starts, as a part of the learning rate."""
    poly_power: float = Field(0.9, gt=0)
    """Exponent of the polynomial schedule."""
    milestones: tuple[int, ...] = ()
    """Steps at which the multistep schedule multiplies the learning rate by `gamma`."""
    gamma: float = Field(0.1, gt=0)
    """Factor of the multistep schedule."""
    freeze: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = ()
    """Parts that do not learn and keep their batch statistics, by name: `encoder`, `encoder.*1`; `!head` takes out again."""
    unfreeze_at: int | None = Field(None, ge=1)
    """Steps after which the parts named by `freeze` learn, too; never when empty."""
    lr_factors: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = {}
    """Parts that learn at a multiple of the learning rate, by name as in `freeze`: `{encoder: 0.1}`; the last one that fits counts."""
    precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    """Mixed precision; auto is bf16 or fp16 on a GPU (whichever it has) and fp32 on a CPU."""
    clip_norm: float | None = Field(None, gt=0)
    """Largest global norm of the gradient; larger ones are scaled down."""
    ema: float | None = Field(None, gt=0, lt=1)
    """Decay of an exponential moving average of the weights, which is then what is measured and kept."""
    eval_every: int | None = Field(None, ge=1)
    """Steps between validations; a tenth of the run when empty."""
    eval_first: bool = False
    """Validate before the first step too, so that the log says what training gained."""
    eval_batch_size: int = Field(4, ge=1)
    """Images at a time while validating, a process."""
    best_metric: str = ""
    """Metric that `best.safetensors` is chosen by, or `loss`; the first of the first evaluator when empty."""
    patience: int | None = Field(None, ge=1)
    """Validations without a better `best_metric` after which training stops early."""
    checkpoint_every: int = Field(100, ge=1)
    """Steps between states that `--resume` can go on from."""
    log_every: int = Field(10, ge=1)
    """Steps between lines in metrics.jsonl and TensorBoard."""
    workers: int = Field(2, ge=0)
    """Processes that read and augment images, for each training process; 0 reads in the training process itself."""
    seed: int = Field(0, ge=0)
    """Fixes the start weights, the order of images and every random choice."""
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Kind of device."""
    devices: int = Field(1, ge=1)
    """Devices (or CPU processes) on each node."""
    num_nodes: int = Field(1, ge=1)
    """Machines that take part."""

    @model_validator(mode="after")
    def _steps_or_epochs(self) -> TrainSettings:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(f"give either steps or epochs, not {'both' if self.steps else 'neither'}")
        if self.milestones and self.schedule != "multistep":
            raise ValueError(f"milestones need schedule=multistep, not {self.schedule}")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must rise, not {list(self.milestones)}")
        if self.unfreeze_at and not self.freeze:
            raise ValueError("unfreeze_at needs freeze, which names what is frozen until then")
        if taken_out := [key for key in self.lr_factors if key.startswith("!")]:
            raise ValueError(f"lr_factors names parts with their factor, so that {taken_out[0]!r} has no meaning there")
        parts = self.accumulate * self.devices * self.num_nodes
        if self.batch_size % parts:
            below = self.batch_size // parts * parts
            nearest = f"nearest that do are {below} and {below + parts}" if below else f"least that does is {parts}"
            raise ValueError(
                f"batch_size {self.batch_size} does not divide into devices × num_nodes × accumulate = {parts} parts; the {nearest}"
            )
        return self

    def scaled_lr(self) -> float:
        """The learning rate for the actual batch size."""
        ratio = self.batch_size / (self.lr_batch_size or self.batch_size)
        factors: dict[str, float] = {"linear": ratio, "sqrt": math.sqrt(ratio), "none": 1.0}
        return self.lr * factors[self.lr_scaling]


class RunSettings(Settings):
    """Everything that a run depends on; saved as ``config.yaml`` in its folder and accepted again by ``--config``."""

    plugin: str
    """Name of the model plugin, as `toolkit plugins list` prints it, or the path of a file or folder that brings one."""
    model: SerializeAsAny[Settings] = Settings()
    """The plugin's own settings; `toolkit plugins info NAME` lists them."""
    weights: str = "none"
    """Where to start from: an official name, the path of a checkpoint, or none for random weights."""
    data: DataSettings
    """Which dataset, and where it is."""
    augment: tuple[Any, ...] = ()
    """Augmentations of the training images, in order."""
    evaluators: SerializeAsAny[Settings] = Settings()
    """The evaluators that measure the model, each with its settings."""
    train: TrainSettings
    """How to learn."""

    def to_yaml(self) -> str:
        """The settings as YAML that ``--config`` reads back to an equal object."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


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
        config: a YAML file; without it the recipe ``configs/<plugin>-<data>.yaml`` is used where there is one.
        overrides: dotted keys with values, or ``key=value`` words.

    Raises:
        ConfigError: with every fault in one message.
        UnknownNameError: for an unknown plugin, dataset or evaluator.
    """
    from toolkit import registry

    tree = read_yaml(config) if config else {}
    plugin = plugin or tree.get("plugin")
    data_section = tree.get("data") if isinstance(tree.get("data"), dict) else {}
    data = data or (data_section or {}).get("name")
    if not plugin or not data:
        where = f"{config} does not name it" if config else "none was given"
        raise UsageError(f"which {'plugin' if not plugin else 'dataset'}? {where}. Repair: add --{'plugin' if not plugin else 'data'} NAME")
    plugin_manifest = registry.named(registry.plugins(), plugin)
    data_manifest = registry.named(registry.datasets(), data)
    if config is None:
        config = find_recipe(plugin_manifest.name, data_manifest.name)
        tree = read_yaml(config) if config else {}
    tree = merge(copy_tree(plugin_manifest.defaults), tree)
    words = parse_overrides(overrides) if not isinstance(overrides, Mapping) else nest(overrides)
    _state_batch_of_lr(tree, words)
    tree = merge(tree, words)
    if isinstance(tree.get("data") or {}, dict):
        tree["data"] = merge({"train_split": data_manifest.splits[0], "val_split": data_manifest.val_split}, tree.get("data") or {})
        tree["data"]["name"] = registry.stable_name(data)
    tree["plugin"] = registry.stable_name(plugin)
    wanted = merge({name: {} for name in plugin_manifest.evaluators}, tree.get("evaluators") or {})
    tree["evaluators"] = wanted
    manifests = {name: registry.named(registry.evaluators(), name) for name in wanted}
    return build(RunSettings.__name__, tree, plugin_manifest, data_manifest, manifests, source=_source(config, words))


def _source(config: Path | None, words: Tree) -> str:
    """Where settings come from, for the head of a message."""
    if config is None:
        return "the settings"
    return f"{config} with the settings of the command line" if words else str(config)


def build(name: str, tree: Tree, plugin: Manifest, data: Manifest, evaluators: Mapping[str, Manifest], *, source: str) -> RunSettings:
    """Validate a tree against the settings classes that the plugin, the dataset and the evaluators bring."""
    from toolkit.data.transforms import AugmentSettings

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


def settings_class(manifest: Manifest) -> type[Settings]:
    """The settings class that a manifest names, or the empty one."""
    cls = manifest.resolve(manifest.settings) if manifest.settings else Settings
    if not (isinstance(cls, type) and issubclass(cls, Settings)):
        raise UsageError(
            f"{manifest.kind} {manifest.name!r}: {manifest.settings} must be a subclass of toolkit.config.Settings, not {cls!r}"
        )
    return cls


def validate(cls: type[Any], tree: Mapping[str, Any], *, source: str) -> Any:
    """Build a settings object.

    Raises:
        ConfigError: lists every fault with its key, value and, for unknown keys, the nearest name.
    """
    try:
        return cls.model_validate(tree)
    except ValidationError as error:
        faults = [_explain(cls, fault) for fault in error.errors()]
        raise ConfigError(
            f"{source}: {len(faults)} fault{'s' * (len(faults) > 1)}\n" + "\n".join(f"  {fault}" for fault in faults)
        ) from None


def _explain(cls: type[BaseModel], fault: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = _fields_at(cls, fault["loc"][:-1])
        near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1, cutoff=0.5)
        if near:
            return f"{key}: unknown key; did you mean {near[0]!r}?"
        return f"{key}: unknown key; there are: {', '.join(known) or 'none'}"
    if fault["type"] == "missing":
        return f"{key}: missing"
    message = fault["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(fault["input"], dict) else f", not {fault['input']!r}"
    return f"{key}: {message[0].lower()}{message[1:]}{shown}"


def _fields_at(cls: Any, path: Sequence[Any]) -> list[str]:
    """Names of the fields of the settings class that a path of keys leads to."""
    for part in path:
        for candidate in (cls, *get_args(cls)):
            fields = getattr(candidate, "model_fields", {})
            if part in fields:
                cls = fields[part].annotation
                break
        else:  # an index into a sequence, or the tag of a union
            choices = [a for a in _flatten(cls) if isinstance(part, int) or _tag(a) == part]
            cls = choices[0] if len(choices) == 1 else next(iter(get_args(cls)), None)
    return sorted(getattr(cls, "model_fields", {}))


def _flatten(annotation: Any) -> list[Any]:
    if hasattr(annotation, "model_fields"):
        return [annotation]
    return [leaf for inner in get_args(annotation) for leaf in _flatten(inner)]


def _tag(cls: Any) -> Any:
    field = getattr(cls, "model_fields", {}).get("name")
    return next(iter(get_args(field.annotation)), None) if field else None


def _state_batch_of_lr(tree: Tree, words: Tree) -> None:
    """A recipe's learning rate is stated for the recipe's batch; one given on the command line, for the batch in force."""
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

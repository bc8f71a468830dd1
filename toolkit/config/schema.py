"""The settings of a run: which data, which model, how to learn."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from toolkit.config.settings import Settings
from toolkit.reading.yaml_text import dump_yaml

AUTO = "auto"
"""The value of `weights` and `augment` by which the toolkit chooses."""


class DataSettings(Settings):
    """Which dataset, and where it is."""

    name: str
    """Name of the dataset, as `toolkit data list` prints it, or the path of a file that brings one."""
    dir: str | None = None
    """Folder that holds it; `data/<name>` when empty."""
    train_split: str = ""
    """Split to learn from; the dataset's first when empty."""
    val_split: str = ""
    """Split to validate on while training; the dataset's own choice when left out, and none at all when given
    as empty.
    """
    in_memory: bool = False
    """Whether training samples are kept in memory once they have been read, for sets that fit; each loader
    process keeps what it has read.
    """
    options: SerializeAsAny[Settings] = Settings()
    """The dataset's own settings; `toolkit data info NAME` lists them."""


def _as_list(value: Any) -> Any:
    """One name for a list of one, and nothing for an empty one, as on the command line."""
    return ((value,) if value else ()) if isinstance(value, str) else value


def _known_device(value: Any) -> Any:
    """Refuse what is no device at all before anything is made; whether it is here is seen later."""
    if isinstance(value, str) and not re.fullmatch(r"auto|(cpu|cuda|mps|xpu|hpu)(:\d+)?", value):
        meant = "cuda" if value.lower() in ("gpu", "nvidia") else "auto, cpu, cuda, cuda:1 or mps"
        raise ValueError(f"write {meant}")
    return value


class TrainSettings(Settings):
    """How to learn. Nothing here depends on the number of processes: `batch_size` is what one step sees in
    all.
    """

    steps: int | None = Field(None, ge=1)
    """Optimizer steps; give this or `epochs`, or neither: then the number of training images decides."""
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
    """Steps in which the learning rate rises linearly from `warmup_factor` of its value; at most half of the
    run.
    """
    warmup_factor: float = Field(0.001, gt=0, le=1)
    """Where warm-up starts, as a part of the learning rate."""
    poly_power: float = Field(0.9, gt=0)
    """Exponent of the polynomial schedule."""
    milestones: tuple[int, ...] = ()
    """Steps at which the multistep schedule multiplies the learning rate by `gamma`."""
    gamma: float = Field(0.1, gt=0)
    """Factor of the multistep schedule."""
    freeze: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = ()
    """Parts that do not learn and keep their batch statistics, by name: `encoder`, `encoder.*1`; `!head`
    takes out again.
    """
    unfreeze_at: int | None = Field(None, ge=1)
    """Steps after which the parts named by `freeze` learn, too; never when empty."""
    lr_factors: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(default_factory=dict)
    """Parts that learn at a multiple of the learning rate, by name as in `freeze`: `{encoder: 0.1}`; the last
    one that fits counts.
    """
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
    loggers: Annotated[tuple[Literal["csv", "wandb", "mlflow"], ...], BeforeValidator(_as_list)] = ()
    """Who else gets the figures: Fabric's CSV logger, Weights & Biases, MLflow."""
    workers: int = Field(2, ge=0)
    """Processes that read and augment images, for each training process; 0 reads in the training process
    itself.
    """
    seed: int = Field(0, ge=0)
    """Fixes the start weights, the order of images and every random choice."""
    device: Annotated[str, BeforeValidator(_known_device)] = "auto"
    """Device to train on, such as `cpu`, `cuda`, `mps`, or a single one of several GPUs, as by
    `cuda:1`. `auto` takes a CUDA GPU if there is one, otherwise an Apple GPU, otherwise the CPU.
    """
    devices: int = Field(1, ge=1)
    """Devices (or CPU processes) on each node."""
    num_nodes: int = Field(1, ge=1)
    """Machines that take part."""

    @model_validator(mode="after")
    def _steps_or_epochs(self) -> TrainSettings:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("give either steps or epochs, not both")
        if self.milestones and self.schedule != "multistep":
            raise ValueError(f"milestones need schedule=multistep, not {self.schedule}")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must rise, not {list(self.milestones)}")
        if self.unfreeze_at and not self.freeze:
            raise ValueError("unfreeze_at needs freeze, which names what is frozen until then")
        if taken_out := [key for key in self.lr_factors if key.startswith("!")]:
            raise ValueError(
                f"lr_factors names parts with their factor, so that {taken_out[0]!r} has no meaning there"
            )
        parts = self.accumulate * self.devices * self.num_nodes
        if self.batch_size % parts:
            below = self.batch_size // parts * parts
            nearest = (
                f"nearest that do are {below} and {below + parts}" if below else f"least that does is {parts}"
            )
            raise ValueError(
                f"batch_size {self.batch_size} does not divide into devices × num_nodes × accumulate ="
                f" {parts} parts; the {nearest}"
            )
        return self

    def scaled_lr(self) -> float:
        """The learning rate for the actual batch size."""
        ratio = self.batch_size / (self.lr_batch_size or self.batch_size)
        factors: dict[str, float] = {"linear": ratio, "sqrt": math.sqrt(ratio), "none": 1.0}
        return self.lr * factors[self.lr_scaling]


class RunSettings(Settings):
    """Everything that a run depends on; saved as ``config.yaml`` in its folder and accepted again by
    ``--config``.
    """

    plugin: str
    """Name of the model plugin, as `toolkit plugins list` prints it, or the path of a file or folder that
    brings one.
    """
    model: SerializeAsAny[Settings] = Settings()
    """The plugin's own settings; `toolkit plugins info NAME` lists them."""
    weights: str = "none"
    """Where to start from: an official name, the path of a checkpoint, none for random weights, or auto: the
    plugin's first official weights where they can be had, else random ones.
    """
    data: DataSettings
    """Which dataset, and where it is."""
    augment: tuple[Any, ...] = ()
    """Augmentations of the training images, in order; auto stands for those that suit the plugin's task."""
    evaluators: SerializeAsAny[Settings] = Settings()
    """The evaluators that measure the model, each with its settings."""
    train: TrainSettings
    """How to learn."""

    def to_yaml(self) -> str:
        """The settings as YAML that ``--config`` reads back to an equal object."""
        return dump_yaml(self.model_dump(mode="json"))

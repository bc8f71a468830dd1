"""The settings of a run: the data, the model and the training."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from toolkit.config.settings import Settings
from toolkit.reading.yaml_text import dump_yaml

AUTO = "auto"
"""The value of `weights` and `augment` that lets the toolkit choose."""


class DataSettings(Settings):
    """Which dataset, and where it is."""

    name: str
    """Name of the dataset, as `toolkit data list` prints it, or the path of a file that defines one."""
    dir: str | None = None
    """Its folder; `data/<name>` if empty."""
    train_split: str = ""
    """Training split; the dataset's first if empty."""
    val_split: str = ""
    """Split to validate on during training; the dataset's validation split if not given, no validation if
    given as empty.
    """
    in_memory: bool = False
    """Whether to keep training samples in memory once they have been read, if they fit; each loader process
    keeps the samples that it has read.
    """
    options: SerializeAsAny[Settings] = Settings()
    """The dataset's own settings; `toolkit data info NAME` lists them."""


def _as_list(value: Any) -> Any:
    """Accept one name for a list of one, and nothing for an empty list, as on the command line."""
    return ((value,) if value else ()) if isinstance(value, str) else value


def _known_device(value: Any) -> Any:
    """Refuse names that are not devices early on; whether the device exists is checked later."""
    if isinstance(value, str) and not re.fullmatch(r"auto|(cpu|cuda|mps|xpu|hpu)(:\d+)?", value):
        meant = "cuda" if value.lower() in ("gpu", "nvidia") else "auto, cpu, cuda, cuda:1 or mps"
        raise ValueError(f"write {meant}")
    return value


class TrainSettings(Settings):
    """The training. Nothing here depends on the number of processes: `batch_size` is the number of images per
    step in all of them together.
    """

    steps: int | None = Field(None, ge=1)
    """Optimizer steps. Set this or `epochs`; if neither is set, they depend on the number of training images.
    """
    epochs: float | None = Field(None, gt=0)
    """Passes over the training split, instead of `steps`."""
    batch_size: int | None = Field(8, ge=1)
    """Images per step, over all processes and accumulated parts. If empty, it depends on the number and the
    size of the training images.
    """
    accumulate: int = Field(1, ge=1)
    """Number of parts that the batch of each process is divided into, to save memory."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or SGD with momentum."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate after warm-up, for `lr_batch_size` images per step."""
    lr_batch_size: int | None = Field(None, ge=1)
    """Batch size that `lr` is meant for; `batch_size` if empty."""
    lr_scaling: Literal["linear", "sqrt", "none"] = "linear"
    """How `lr` is scaled for a batch size other than `lr_batch_size`."""
    weight_decay: float = Field(1e-4, ge=0)
    """Weight decay of matrices and kernels; biases and norms have none."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of SGD, and beta1 of AdamW."""
    beta2: float = Field(0.999, ge=0, lt=1)
    """beta2 of AdamW."""
    schedule: Literal["constant", "cosine", "poly", "multistep"] = "cosine"
    """How the learning rate decreases after warm-up."""
    warmup_steps: int = Field(0, ge=0)
    """Steps over which the learning rate rises linearly from `warmup_factor` of its value; at most half of
    the run.
    """
    warmup_factor: float = Field(0.001, gt=0, le=1)
    """Fraction of the learning rate that warm-up starts from."""
    poly_power: float = Field(0.9, gt=0)
    """Exponent of the polynomial schedule."""
    milestones: tuple[int, ...] = ()
    """Steps at which the multistep schedule multiplies the learning rate by `gamma`."""
    gamma: float = Field(0.1, gt=0)
    """Factor of the multistep schedule."""
    freeze: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = ()
    """Parts that are not trained and keep their batch statistics, by name: `encoder`, `encoder.*1`; `!head`
    excludes a part again.
    """
    unfreeze_at: int | None = Field(None, ge=1)
    """Steps after which the parts named by `freeze` are trained, too; never if empty."""
    lr_factors: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(default_factory=dict)
    """Factors of the learning rate for parts, by name as in `freeze`: `{encoder: 0.1}`; the last match
    applies.
    """
    precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    """Mixed precision; auto is bf16 or fp16 on a CUDA GPU (whichever it supports), and fp32 elsewhere."""
    clip_norm: float | None = Field(None, gt=0)
    """Maximum global norm of the gradient; larger ones are scaled down."""
    ema: float | None = Field(None, gt=0, lt=1)
    """Decay of an exponential moving average of the weights, which is then evaluated and saved."""
    eval_every: int | None = Field(None, ge=1)
    """Steps between validations; a tenth of the run if empty."""
    eval_first: bool = False
    """Whether to validate before the first step, too, so that the log shows what training gained."""
    eval_batch_size: int = Field(4, ge=1)
    """Images at a time during validation, per process."""
    eval_window: int | None = Field(None, ge=1)
    """Validation predicts images larger than this window by window, as `--window` of `infer` and `eval` does;
    if empty, only very large ones.
    """
    eval_overlap: float = Field(0.25, ge=0, lt=1)
    """Fraction of a window that overlaps with the next one, as `--overlap`."""
    best_metric: str = ""
    """Metric that selects `best.safetensors`, or `loss`; the first metric of the first evaluator if empty."""
    patience: int | None = Field(None, ge=1)
    """Validations without improvement of `best_metric` after which training stops early; never if empty."""
    checkpoint_every: int = Field(100, ge=1)
    """Steps between saved states, from which `--resume` continues."""
    log_every: int = Field(10, ge=1)
    """Steps between lines in metrics.jsonl and TensorBoard."""
    loggers: Annotated[tuple[Literal["csv", "wandb", "mlflow"], ...], BeforeValidator(_as_list)] = ()
    """Additional loggers: Fabric's CSV logger, Weights & Biases, MLflow."""
    report: bool | None = None
    """Whether to write `report.html` and `report.json` at the end, about the best validation; if empty, runs
    of half a minute or more write them. Runs in several processes write none.
    """
    workers: int = Field(2, ge=0)
    """Processes that read and augment images, per training process; 0 reads them in the training process
    itself.
    """
    seed: int = Field(0, ge=0)
    """Seed of the start weights, the order of the images and every random choice."""
    device: Annotated[str, BeforeValidator(_known_device)] = "auto"
    """Device to train on: `auto`, `cpu`, `cuda`, `mps`, or one of several GPUs, such as `cuda:1`; auto is a
    CUDA GPU if there is one, otherwise Apple's GPU, otherwise the CPU.
    """
    devices: int = Field(1, ge=1)
    """Devices (or CPU processes) on each node."""
    num_nodes: int = Field(1, ge=1)
    """Number of machines."""

    @model_validator(mode="after")
    def _steps_or_epochs(self) -> TrainSettings:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("give either steps or epochs, not both")
        if self.milestones and self.schedule != "multistep":
            raise ValueError(f"milestones need schedule=multistep, not {self.schedule}")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must be in ascending order, not {list(self.milestones)}")
        if self.unfreeze_at and not self.freeze:
            raise ValueError("unfreeze_at needs freeze, which names what is frozen until then")
        if taken_out := [key for key in self.lr_factors if key.startswith("!")]:
            raise ValueError(f"lr_factors cannot exclude parts, so {taken_out[0]!r} is not allowed")
        parts = self.accumulate * self.devices * self.num_nodes
        if self.batch_size is not None and self.batch_size % parts:
            below = self.batch_size // parts * parts
            nearest = (
                f"nearest values are {below} and {below + parts}" if below else f"smallest value is {parts}"
            )
            raise ValueError(
                f"batch_size {self.batch_size} is not divisible by devices × num_nodes × accumulate ="
                f" {parts}; the {nearest}"
            )
        return self

    @property
    def images_per_step(self) -> int:
        """The batch size, once it is known."""
        assert self.batch_size is not None, "with_batch_size chooses one before the run begins"
        return self.batch_size

    def scaled_lr(self) -> float:
        """The learning rate for the actual batch size."""
        ratio = self.images_per_step / (self.lr_batch_size or self.images_per_step)
        factors: dict[str, float] = {"linear": ratio, "sqrt": math.sqrt(ratio), "none": 1.0}
        return self.lr * factors[self.lr_scaling]


class RunSettings(Settings):
    """Everything that a run depends on; saved as ``config.yaml`` in its folder and accepted again by
    ``--config``.
    """

    plugin: str
    """Name of the model plugin, as `toolkit plugins list` prints it, or the path of a file or folder that
    defines one.
    """
    model: SerializeAsAny[Settings] = Settings()
    """The plugin's own settings; `toolkit plugins info NAME` lists them."""
    weights: str = "none"
    """Start weights: an official name, the path of a checkpoint, none for random weights, or auto: the
    plugin's first official weights if they are available, otherwise random ones.
    """
    data: DataSettings
    """Which dataset, and where it is."""
    augment: tuple[Any, ...] = ()
    """Augmentations of the training images, in order; auto stands for the usual ones of the plugin's task."""
    evaluators: SerializeAsAny[Settings] = Settings()
    """The evaluators, each with its settings."""
    train: TrainSettings
    """The training."""

    def to_yaml(self) -> str:
        """The settings as YAML that ``--config`` reads back to an equal object."""
        return dump_yaml(self.model_dump(mode="json"))

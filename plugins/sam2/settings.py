"""What can be set."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from toolkit.config import Settings

Size = Literal["tiny", "small", "base_plus", "large", "toy"]
Version = Literal["2.0", "2.1"]
Trainable = Literal["decoder", "decoder+neck", "full", "lora"]
PromptKind = Literal["point", "box", "mix"]
MaskChoice = Literal["best", "first", "single", "only"]


class LoraSettings(Settings):
    """Low-rank adapters in the attention of the image encoder, for `trainable: lora` (Hu et al.,
    https://arxiv.org/abs/2106.09685).
    """

    rank: int = Field(default=8, ge=1)
    """Rank of each adapter."""
    alpha: float = Field(default=16.0, gt=0, allow_inf_nan=False)
    """An adapter's output is multiplied by `alpha / rank`."""


class CacheSettings(Settings):
    """Where the features that a frozen encoder has computed are kept, so that each image is encoded once."""

    enabled: bool = True
    """Whether to keep them; without effect where nothing of the encoder is frozen."""
    folder: str | None = None
    """Folder for them, which several processes and runs can share; `~/.cache/toolkit/sam2-features` when
    empty.
    """
    max_gb: float = Field(default=20.0, gt=0, allow_inf_nan=False)
    """Size that the folder may grow to, in 10^9 bytes. What was not used for longest goes first."""
    precision: Literal["fp16", "fp32"] = "fp16"
    """Kind of number they are kept in; fp16 takes 8.4 MB an image of 1024 pixels, and the loss agrees to
    1e-4.
    """


class AutoSettings(Settings):
    """How everything in an image is found without prompts: by points on a grid, as upstream's
    ``SAM2AutomaticMaskGenerator`` does it.
    """

    points_per_side: int = Field(default=32, ge=1)
    """Points along each side of the grid."""
    points_per_batch: int = Field(default=64, ge=1)
    """Points that go through the mask decoder at a time."""
    pred_iou_thresh: float = Field(default=0.8, ge=0, le=1)
    """Masks of a lower predicted IoU go."""
    stability_score_thresh: float = Field(default=0.95, ge=0, le=1)
    """Masks that change more than this when the threshold moves go."""
    stability_score_offset: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """How far the threshold moves for that, in logits."""
    box_nms_thresh: float = Field(default=0.7, ge=0, le=1)
    """A mask goes where its box has a higher IoU than this with a better one."""
    crop_n_layers: int = Field(default=0, ge=0, le=4)
    """Layers of windows in which the image is looked at again, 2^layer a side."""
    crop_n_points_downscale_factor: int = Field(default=1, ge=1)
    """What the points of each further layer are divided by."""


class Sam2Settings(Settings):
    """The network, what of it learns, and from which prompts."""

    size: Size = "tiny"
    """Size of the image encoder; `toy` is a small network of the same make, for demos and tests, which has no
    published weights.
    """
    version: Annotated[
        Version, BeforeValidator(lambda value: str(value) if isinstance(value, float) else value)
    ] = "2.1"
    """Version of the published network, which `weights` must match."""
    image_size: int | None = Field(None, ge=64)
    """Height and width that images are brought to, a multiple of 32; 1024 when empty, and 128 for `toy`."""
    trainable: Trainable | None = None
    """What learns: `decoder` (mask decoder and prompt encoder), `decoder+neck`, `full`, or `lora` (decoder,
    and adapters in the encoder). Empty is `decoder`, and `full` for `toy`. `train.freeze` takes parts out of
    this choice, until `train.unfreeze_at` or for good, and never adds any."""
    lora: LoraSettings = LoraSettings()
    """The adapters of `trainable: lora`."""
    preset: Literal["lab", "sam2"] = "lab"
    """How it learns: `lab` is the short recipe that is popular with laboratories, `sam2` that of SAM 2's
    authors.
    """
    prompts: PromptKind | None = None
    """Prompts to learn from; `mix` is a point or a box, half and half. Empty is `point` for the preset `lab`
    and `mix` for `sam2`.
    """
    box_noise: float = Field(0.1, ge=0, le=1)
    """How far the sides of a box to learn from move at random, as a part of their length; 0.1 is what SAM's
    authors chose, and 0 for boxes that will always be tight."""
    corrections: int | None = Field(None, ge=0, le=16)
    """Clicks on errors of the prediction that follow a prompt while learning; empty is 0 for the preset `lab`
    and 7 for `sam2`.
    """
    max_objects: int = Field(8, ge=1)
    """Objects of an image that a step learns from at most, drawn at random; bounds the memory."""
    mask: MaskChoice | None = None
    """Which of the masks is predicted: `best` by its own score of three for a single point and one mask for
    clearer prompts, as SAM 2's authors recommend; `first` of the three, which the preset `lab` trains;
    `single`; or `only`, the single mask even for a point and however unstable, which then learns from all
    prompts. Empty is `first` for `lab` and `best` for `sam2`."""
    rough_masks: bool = False
    """Whether the network sees each prompt as a rough mask too, from which a start at random weights learns
    to follow prompts much sooner. The published weights were not trained so, and upstream's predictors do not
    draw them."""
    mask_threshold: float = Field(0.0, allow_inf_nan=False)
    """Logit above which a pixel belongs to the mask."""
    chunk: int | None = Field(None, ge=1)
    """Prompts that go through the mask decoder at a time; empty is 4 on a CPU and 64 on a GPU for images of
    1024 pixels, and more for smaller ones.
    """
    auto: AutoSettings = AutoSettings()
    """How everything in an image is found without prompts."""
    cache: CacheSettings = CacheSettings()
    """The features of images, kept on disk."""

    @model_validator(mode="after")
    def _usable(self) -> Sam2Settings:
        if self.image_size is not None and self.image_size % 32:
            raise ValueError(f"image_size must be a multiple of 32, not {self.image_size}")
        if self.size == "toy" and self.version != "2.1":
            raise ValueError("size toy exists only in version 2.1")
        return self

    def filled(self) -> Filled:
        """The choices that are empty, made."""
        is_toy, is_lab = self.size == "toy", self.preset == "lab"
        return Filled(
            image_size=self.image_size or (128 if is_toy else 1024),
            trainable=self.trainable or ("full" if is_toy else "decoder"),
            prompts=self.prompts or ("point" if is_lab else "mix"),
            corrections=self.corrections if self.corrections is not None else (0 if is_lab else 7),
            mask=self.mask or ("first" if is_lab else "best"),
        )


class Filled(Settings):
    """Settings that have a value whatever the user left empty; see the fields of the same names in
    ``Sam2Settings``.
    """

    image_size: int
    """Height and width that images are brought to."""
    trainable: Trainable
    """What learns."""
    prompts: PromptKind
    """Prompts to learn from."""
    corrections: int
    """Clicks that follow a prompt."""
    mask: MaskChoice
    """Which of the masks is predicted."""

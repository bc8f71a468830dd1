"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from toolkit.config import Settings

Size = Literal["tiny", "small", "base_plus", "large", "toy"]
Version = Literal["2.0", "2.1"]
Trainable = Literal["decoder", "decoder+neck", "full", "lora"]
PromptKind = Literal["point", "box", "mix"]
MaskChoice = Literal["best", "first", "single", "only"]

PUBLISHED_SIZE = 1024
"""Height and width of the input of the published networks."""


class LoraSettings(Settings):
    """Low-rank adapters in the attention of the image encoder, for `trainable: lora` (Hu et al.,
    https://arxiv.org/abs/2106.09685).
    """

    rank: int = Field(default=8, ge=1)
    """Rank of each adapter."""
    alpha: float = Field(default=16.0, gt=0, allow_inf_nan=False)
    """An adapter's output is multiplied by `alpha / rank`."""


class CacheSettings(Settings):
    """Cache for the features of a frozen encoder, so that each image is encoded only once."""

    enabled: bool = True
    """Whether to cache features; has no effect if no part of the encoder is frozen."""
    folder: str | None = None
    """Cache folder, which several processes and runs can share; `~/.cache/toolkit/sam2-features` if empty."""
    max_gb: float = Field(default=20.0, gt=0, allow_inf_nan=False)
    """Maximum size of the folder in GB (10^9 bytes). The least recently used features are deleted first."""
    precision: Literal["fp16", "fp32"] = "fp16"
    """Data type in which features are cached; fp16 takes 8.4 MB per image of 1024 pixels, and the loss agrees
    to 1e-4.
    """


class AutoSettings(Settings):
    """Segmentation of everything in an image without prompts, by points on a grid, as in SAM 2's
    ``SAM2AutomaticMaskGenerator``; each point is prompted as in training.
    """

    points_per_side: int = Field(default=32, ge=1)
    """Points along each side of the grid."""
    points_per_batch: int = Field(default=64, ge=1)
    """Points decoded at a time, at most as many as `chunk`. The memory for masks is limited separately."""
    pred_iou_thresh: float | None = Field(default=None, ge=0, le=1)
    """Masks with a lower predicted IoU are dropped. If empty: 0.8 for a network that is prompted as SAM 2's
    authors do (`model.mask=best`, 1024 pixels, no rough masks), for which they chose it; otherwise 0.5.
    """
    stability_score_thresh: float | None = Field(default=None, ge=0, le=1)
    """Masks with a lower stability score are dropped; the score is the IoU of the masks at a raised and at a
    lowered threshold. If empty: 0.95 for a network that is prompted as SAM 2's authors do, otherwise 0.9."""
    stability_score_offset: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """How far the threshold is moved up and down for the stability score, in logits. If empty: 1; if
    `stability_score_thresh` is also empty and the network's input is smaller than 1024 pixels, proportionally
    less, because its masks are coarser.
    """
    box_nms_thresh: float = Field(default=0.7, ge=0, le=1)
    """NMS threshold: a mask is dropped if its box has a higher IoU than this with a better one."""
    crop_n_layers: int = Field(default=0, ge=0, le=4)
    """Number of crop layers in which the image is segmented again; layer i has 2^i crops per side."""
    crop_n_points_downscale_factor: int = Field(default=1, ge=1)
    """Factor by which the points per side are divided in each further layer."""

    @model_validator(mode="before")
    @classmethod
    def _chosen_by_nobody(cls, values: Any) -> Any:
        """Clear values that older runs have saved although nobody chose them: the former fixed thresholds."""
        once = {"pred_iou_thresh": 0.8, "stability_score_thresh": 0.95, "stability_score_offset": 1.0}
        is_whole = isinstance(values, dict) and values.keys() == cls.model_fields.keys()
        if is_whole and all(values[name] == value for name, value in once.items()):
            return {**values, **dict.fromkeys(once)}
        return values

    def filled(self, *, image_size: int, is_published_way: bool) -> FilledAuto:
        """The settings, with defaults where they are empty.

        Args:
            image_size: height and width of the network's input.
            is_published_way: whether points are prompted and answered as by SAM 2's own generator.
        """
        offset = self.stability_score_offset
        if offset is None:
            chosen = self.stability_score_thresh is not None
            offset = 1.0 if chosen else image_size / PUBLISHED_SIZE
        iou, stability = (0.8, 0.95) if is_published_way else (0.5, 0.9)
        given = self.model_dump(
            exclude={"pred_iou_thresh", "stability_score_thresh", "stability_score_offset"}
        )
        return FilledAuto(
            **given,
            pred_iou_thresh=iou if self.pred_iou_thresh is None else self.pred_iou_thresh,
            stability_score_thresh=(
                stability if self.stability_score_thresh is None else self.stability_score_thresh
            ),
            stability_score_offset=offset,
        )


class FilledAuto(Settings):
    """Settings of the search with a value for everything; see the fields of the same names in
    ``AutoSettings``.
    """

    points_per_side: int
    """Points along each side of the grid."""
    points_per_batch: int
    """Points decoded at a time, at most."""
    pred_iou_thresh: float
    """Lowest predicted IoU."""
    stability_score_thresh: float
    """Lowest stability score."""
    stability_score_offset: float
    """Its offset, in logits."""
    box_nms_thresh: float
    """Highest IoU of the boxes of two masks."""
    crop_n_layers: int
    """Number of crop layers."""
    crop_n_points_downscale_factor: int
    """Factor by which the points per side are divided in each further layer."""


class Sam2Settings(Settings):
    """The network, which parts of it are trained, and with which prompts."""

    size: Size = "tiny"
    """Size of the image encoder; `toy` is a small network of the same design for demos and tests, without
    published weights.
    """
    version: Annotated[
        Version, BeforeValidator(lambda value: str(value) if isinstance(value, float) else value)
    ] = "2.1"
    """Version of the published network; must match `weights`."""
    image_size: int | None = Field(None, ge=64)
    """Height and width to which images are resized, a multiple of 32; if empty, 1024, or 128 for `toy`."""
    trainable: Trainable | None = None
    """Which parts are trained: `decoder` (mask decoder and prompt encoder), `decoder+neck`, `full`, or `lora`
    (decoder, and adapters in the encoder). If empty: `decoder`, or `full` for `toy`. `train.freeze` removes
    parts from this choice, permanently or until `train.unfreeze_at`, and never adds any."""
    lora: LoraSettings = LoraSettings()
    """The adapters of `trainable: lora`."""
    preset: Literal["lab", "sam2"] = "lab"
    """Training recipe: `lab` is the common short fine-tuning recipe (pixel cross-entropy and a small IoU
    term); `sam2` is that of SAM 2's authors.
    """
    prompts: PromptKind | None = None
    """Training prompts; `mix` is a point or a box with equal probability. If empty: `point` for
    `model.preset=lab`, `mix` for `model.preset=sam2`.
    """
    box_noise: float = Field(0.1, ge=0, le=1)
    """Random jitter of training boxes, as a fraction of their side lengths; SAM's authors use 0.1. Use 0 if
    prompt boxes will always be tight."""
    corrections: int | None = Field(None, ge=0, le=16)
    """Correction clicks on errors of the prediction after each training prompt; if empty, 0 for
    `model.preset=lab` and 7 for `model.preset=sam2`.
    """
    max_objects: int = Field(8, ge=1)
    """Maximum number of objects per image in a training step, drawn at random; limits memory."""
    mask: MaskChoice | None = None
    """Which of the decoder's masks is predicted. `best`: for a single point, the one of three masks with the
    best predicted score; for clearer prompts, the single mask, as SAM 2's authors recommend. `first`: the
    first of the three. `single`: the single mask, or the best of three where it is unstable. `only`: the
    single mask even for a point and even if unstable. Training trains the masks that this selects. When
    empty: `first` for `model.preset=lab`, `best` for `model.preset=sam2`."""
    rough_masks: bool = False
    """Whether the network also gets each prompt as a rough mask, which helps a network with random weights
    learn to follow prompts much sooner. The published weights were not trained this way, and SAM 2's own
    predictors do not use rough masks."""
    mask_threshold: float = Field(0.0, allow_inf_nan=False)
    """Logit above which a pixel belongs to the mask."""
    chunk: int | None = Field(None, ge=1)
    """Prompts decoded at a time; if empty, 4 on a CPU and 64 on a GPU for images of 1024 pixels, and more
    for smaller ones.
    """
    auto: AutoSettings = AutoSettings()
    """Segmentation of everything in an image without prompts."""
    cache: CacheSettings = CacheSettings()
    """Cache for image features on disk."""

    @model_validator(mode="after")
    def _usable(self) -> Sam2Settings:
        if self.image_size is not None and self.image_size % 32:
            raise ValueError(f"image_size must be a multiple of 32, not {self.image_size}")
        if self.size == "toy" and self.version != "2.1":
            raise ValueError("size toy exists only in version 2.1")
        return self

    def filled(self) -> Filled:
        """The settings, with defaults where they are empty."""
        is_toy, is_lab = self.size == "toy", self.preset == "lab"
        image_size = self.image_size or (128 if is_toy else PUBLISHED_SIZE)
        mask: MaskChoice = self.mask or ("first" if is_lab else "best")
        as_published = mask == "best" and not self.rough_masks and image_size == PUBLISHED_SIZE
        return Filled(
            image_size=image_size,
            trainable=self.trainable or ("full" if is_toy else "decoder"),
            prompts=self.prompts or ("point" if is_lab else "mix"),
            corrections=self.corrections if self.corrections is not None else (0 if is_lab else 7),
            mask=mask,
            auto=self.auto.filled(image_size=image_size, is_published_way=as_published and not is_toy),
        )


class Filled(Settings):
    """Settings with a value for everything that the user left empty; see the fields of the same names in
    ``Sam2Settings``.
    """

    image_size: int
    """Height and width to which images are resized."""
    trainable: Trainable
    """Which parts are trained."""
    prompts: PromptKind
    """Training prompts."""
    corrections: int
    """Correction clicks after each prompt."""
    mask: MaskChoice
    """Which of the decoder's masks is predicted."""
    auto: FilledAuto
    """Segmentation of everything in an image without prompts."""

"""The loss of samples: objects are drawn, prompted, decoded and corrected, and compared with the truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from toolkit.errors import InvalidDataError
from toolkit.types import Masks, Sample

from .answers import choose, trained_masks
from .clicks import boxes, corrections, first_clicks
from .decoder import DecoderOutput, ImageDecoder
from .features import ImageFeatures
from .losses import Terms, lab_loss, sam2_loss
from .settings import Sam2Settings
from .upstream import NO_OBJ_SCORE, SAM2Base

ANYWHERE = 0.1
"""Probability that a correction is a click anywhere on the object instead of on an error, as in SAM 2's
training.
"""


class Learner:
    """Computes losses according to the settings; stateless.

    Args:
        settings: preset, prompts, corrections and the number of objects.
    """

    def __init__(self, settings: Sam2Settings) -> None:
        filled = settings.filled()
        self.is_lab = settings.preset == "lab"
        self.kind, self.corrections, self.max_objects = (
            filled.prompts,
            filled.corrections,
            settings.max_objects,
        )
        self.box_noise = settings.box_noise
        self.image_size, self.choice, self.rough_masks = filled.image_size, filled.mask, settings.rough_masks

    def loss(
        self,
        network: SAM2Base,
        samples: Sequence[Sample],
        features: Iterable[ImageFeatures],
        *,
        chunk: int,
        is_random: bool,
    ) -> dict[str, Tensor]:
        """The terms of the loss, each the mean over the samples of the mean over a sample's objects.

        Args:
            network: provides the decoder.
            samples: samples with true masks.
            features: the features of each sample's image.
            chunk: number of objects processed at a time.
            is_random: draw objects and prompts at random; otherwise they are the same every time, for
                validation.

        Raises:
            InvalidDataError: when a sample has no masks; names it.
        """
        device = next(network.parameters()).device
        truths = [self._truth(sample, is_random, device) for sample in samples]
        counts = torch.tensor([len(truth) for truth in truths])
        decoder = ImageDecoder(network, list(features), drawn=self.rough_masks)
        truth = torch.cat(truths)
        images = torch.arange(len(samples)).repeat_interleave(counts).to(device, non_blocking=True)
        weights = (1 / (counts * len(samples))).repeat_interleave(counts).to(device, non_blocking=True)
        has_box = self._has_box(truth, counts, is_random)
        total: Terms = {}
        for use_box in (False, True):
            for rows in torch.split((has_box == use_box).nonzero()[:, 0], chunk):
                if len(rows):
                    terms = self._objects(decoder, truth[rows], images[rows], use_box, is_random)
                    total = {
                        name: total.get(name, 0) + (value * weights[rows]).sum()
                        for name, value in terms.items()
                    }
        return total

    def _truth(self, sample: Sample, is_random: bool, device: torch.device) -> Tensor:
        """Masks of the training objects in the network's grid, bool ``[P, S, S]`` on ``device``; one empty
        mask if there is no object.
        """
        objects = sample.instances
        if objects is None or objects.masks is None:
            raise InvalidDataError(
                f"sample {sample.path or sample.id!r} has no object masks to train this model on"
            )
        usable = objects.masks.areas() > 0
        if objects.is_crowd is not None:
            usable &= ~objects.is_crowd
        rows = usable.nonzero()[:, 0]
        if not len(rows):
            return torch.zeros(1, self.image_size, self.image_size, dtype=torch.bool, device=device)
        if is_random:
            rows = rows[torch.randperm(len(rows))]
        return _in_grid(objects.masks[rows[: self.max_objects]], self.image_size, device)

    def _has_box(self, truth: Tensor, counts: Tensor, is_random: bool) -> Tensor:
        """Which objects are prompted by their box, bool ``[P]``; absent objects have none."""
        total = int(counts.sum())
        every_second = torch.cat(
            [torch.arange(count) % 2 == 1 for count in counts.tolist()]
        )  # of each sample
        mixed = torch.rand(total) < 0.5 if is_random else every_second
        chosen = mixed if self.kind == "mix" else torch.full((total,), self.kind == "box")
        return chosen.to(truth.device) & truth.flatten(1).any(1)

    def _objects(
        self, decoder: ImageDecoder, truth: Tensor, images: Tensor, use_box: bool, is_random: bool
    ) -> Terms:
        """The terms of ``P`` objects, each ``[P]``, summed over the first prompt and its corrections."""
        noise = self.box_noise if is_random else 0.0
        points, labels = boxes(truth, noise=noise) if use_box else first_clicks(truth, is_random=is_random)
        output = decoder(points, labels, None, images)
        total, previous = self._compare(output, truth, is_ambiguous=not use_box)
        for _ in range(self.corrections):
            if is_random and bool(torch.rand(1) < ANYWHERE):
                point, label = first_clicks(truth, is_random=True)
            else:
                point, label = corrections(truth, self._in_full(previous)[:, 0] > 0, is_random=is_random)
            points, labels = torch.cat([points, point], dim=1), torch.cat([labels, label], dim=1)
            output = decoder(points, labels, previous, images)
            terms, previous = self._compare(output, truth, is_ambiguous=False)
            total = {name: total[name] + value for name, value in terms.items()}
        return total

    def _compare(self, output: DecoderOutput, truth: Tensor, *, is_ambiguous: bool) -> tuple[Terms, Tensor]:
        """The terms of one prompt, and the logits ``[P, 1, S / 4, S / 4]`` to be corrected by the next
        one."""
        exists = output.object_logits[:, 0]
        if self.is_lab:
            mask, iou = choose(output, self.choice, is_ambiguous=is_ambiguous)
            return lab_loss(self._in_full(mask[:, None])[:, 0], truth, iou, exists), mask[:, None]
        shown = where_it_exists(output)
        groups = trained_masks(self.choice, is_ambiguous=is_ambiguous)
        terms = [
            sam2_loss(self._in_full(shown[:, chosen]), truth, output.ious[:, chosen], exists)
            for chosen in groups
        ]
        mean = {name: torch.stack([each[name] for each in terms]).mean(0) for name in terms[0]}
        masks, ious = shown[:, groups[0]], output.ious[:, groups[0]]
        best = ious.argmax(1)[:, None, None, None].expand(-1, 1, *masks.shape[2:])
        return mean, masks.gather(1, best)

    def _in_full(self, masks: Tensor) -> Tensor:
        """Logits ``[P, M, S / 4, S / 4]`` at the resolution of the truth, in float32."""
        return F.interpolate(
            masks.float(), (self.image_size, self.image_size), mode="bilinear", align_corners=False
        )


def where_it_exists(output: DecoderOutput) -> Tensor:
    """The masks of some prompts; if the object score says that there is no object, every pixel of the mask is
    set far from the object.

    SAM 2's authors do this before they compare masks and before they correct them, so that a missed object is
    trained as such: its mask has the loss of an empty answer, and no gradient.
    """
    is_there = (output.object_logits > 0)[:, :, None, None]
    return torch.where(is_there, output.masks, output.masks.new_tensor(NO_OBJ_SCORE))


def _in_grid(masks: Masks, size: int, device: torch.device | None = None) -> Tensor:
    """Masks resized to ``[P, size, size]`` by nearest neighbor; a mask too small for the grid keeps its
    center pixel.
    """
    dense = masks.dense(device)
    grid = F.interpolate(dense[None].to(torch.uint8), (size, size), mode="nearest-exact")[0].bool()
    for row in (~grid.flatten(1).any(1)).nonzero()[:, 0].cpu().tolist():
        center = dense[row].nonzero().float().mean(0).cpu()
        y, x = (center / torch.tensor(masks.size) * size).long().tolist()
        grid[row, y, x] = True
    return grid

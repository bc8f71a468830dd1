"""The gate of models that answer prompts: the same prompts must have the same answers, in order.

Where masks are chosen, by a score or by how stable they are, two may be equally good, and rounding decides.
So an answer that differs also counts as the same if torch gives it to the prompt moved by a hair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from toolkit.errors import ExportError, UsageError
from toolkit.export.parity import HINT, LIMITS, Limits, keep_worst, mask_iou
from toolkit.models import simulated_prompts
from toolkit.models.capabilities import MaskPromptable, Promptable
from toolkit.models.contract import Model, evaluating
from toolkit.types import Instances, Masks, Prompts, Sample, Size

MANY = 100
"""How many prompts are answered at once for one image."""

HAIR = 1e-4
"""How far a prompt is moved, as a fraction of the image's sides."""

MISSED = 0.02
"""Fraction of the objects found without prompts that may be others: which are found depends on many limits,
and on which of two similar objects is better.
"""

Answer = Callable[[Prompts], Instances]


def compare_answers(
    wanted: Instances,
    found: Instances,
    where: str,
    limits: Limits = LIMITS,
    also: Callable[[int], Iterable[Instances]] = lambda row: (),
) -> dict[str, float]:
    """Compare the answers to the same prompts, row by row.

    Args:
        wanted, found: in torch, and exported.
        where: the image and its prompts, for messages.
        limits: what scores and masks may differ by; boxes follow from masks.
        also: for a row, other answers that are as good as the wanted one, each of one row.

    Returns:
        The largest differences by kind: ``scores``, ``mask_iou`` (the smallest) and ``undecided``, the
        number of rows that agree with another answer only.

    Raises:
        ExportError: when a row differs, or one is missing.
    """
    if len(wanted) != len(found):
        raise ExportError(
            f"{where}: {len(wanted)} answers in torch, {len(found)} in the export; there must be one for each"
            f" prompt. {HINT}"
        )
    worst: dict[str, float] = {}
    for row in range(len(wanted)):
        what, differences = _differs(wanted[[row]], found[[row]], limits)
        if what and any(not _differs(other, found[[row]], limits)[0] for other in also(row)):
            worst["undecided"] = worst.get("undecided", 0.0) + 1
            continue
        if what:
            raise ExportError(f"{where}: the answer to prompt {row} has {what}. {HINT}")
        keep_worst(worst, differences)
    return worst


def _differs(wanted: Instances, found: Instances, limits: Limits) -> tuple[str, dict[str, float]]:
    """What differs in two answers, or nothing, and by how much."""
    differences: dict[str, float] = {}
    if wanted.scores is not None and found.scores is not None:
        a, b = float(wanted.scores[0]), float(found.scores[0])
        if not abs(a - b) <= limits.scores:
            return (
                f"the score {a:.5f} in torch, but {b:.5f} in the export; the limit is {limits.scores:g}",
                {},
            )
        differences["scores"] = abs(a - b)
    if (wanted.masks is None) != (found.masks is None):
        return f"a mask only in {'torch' if wanted.masks else 'the export'}", {}
    if wanted.masks is not None and found.masks is not None:
        if wanted.masks.counts == found.masks.counts:
            return "", {**differences, "mask_iou": 1.0}
        iou, differing = mask_iou(wanted.masks.dense()[0], found.masks.dense()[0])
        if iou < limits.mask_iou and differing > 1:
            return (
                f"a mask of {int(wanted.masks.areas()[0]):,} pixels in torch and of"
                f" {int(found.masks.areas()[0]):,} in the export, with an IoU of {iou:.5f}; the limit is"
                f" {limits.mask_iou:g}",
                {},
            )
        differences["mask_iou"] = iou
    return "", differences


def compare_found(wanted: Instances, found: Instances, where: str, limits: Limits = LIMITS) -> None:
    """Compare what is found without prompts; all but a few objects must be among those of the other side.

    Raises:
        ExportError: when more are missing, with both numbers.
    """
    most = max(1, int(MISSED * max(len(wanted), len(found))))
    same = 0
    if len(wanted) and len(found) and wanted.masks is not None and found.masks is not None:
        codes = wanted.masks.to_coco(), found.masks.to_coco()
        ious = torch.from_numpy(coco_mask.iou(codes[0], codes[1], [0] * len(codes[1])))
        same = int((ious.amax(1) >= limits.mask_iou).sum())
        # two empty masks have no overlap, but are the same
        same += min(
            int((each.masks.areas() == 0).sum()) for each in (wanted, found) if each.masks is not None
        )
    missing = max(len(wanted), len(found)) - same
    if missing > most:
        raise ExportError(
            f"{where}: without prompts, {len(wanted)} objects are found in torch and {len(found)} in the"
            f" export, of which {same} have the same mask; {most} may be others. {HINT}"
        )


def prompt_cases(size: Size, *, takes_masks: bool, many: bool) -> Iterator[tuple[str, Prompts]]:
    """Prompts for an image: none, points, boxes, both, some with padding, masks, and many.

    Args:
        size: height and width of the image, in pixels.
        takes_masks: whether masks are among them.
        many: whether a hundred are.
    """
    random = torch.Generator().manual_seed(0)
    yield "no prompt", Prompts(boxes_xyxy=torch.zeros((0, 4)))
    yield "a point", _points(size, 1, 1, random)
    yield "a box", Prompts(boxes_xyxy=_boxes(size, 1, random))
    yield "points on and off the object", _points(size, 3, 4, random)
    several = _points(size, 2, 2, random)
    yield "points in boxes", replace(several, boxes_xyxy=_boxes(size, 2, random))
    if takes_masks:
        masks = torch.zeros((2, *size), dtype=torch.bool)
        masks[0, : size[0] // 2 + 1, : size[1] // 2 + 1] = True
        masks[1, size[0] // 3 :, size[1] // 3 :] = True
        yield "masks", Prompts(masks=Masks.from_dense(masks))
    if many:
        yield f"{MANY} points", _points(size, MANY, 1, random)
        yield f"{MANY} boxes", Prompts(boxes_xyxy=_boxes(size, MANY, random))


def _points(size: Size, count: int, each: int, random: torch.Generator) -> Prompts:
    """Points anywhere; of several, the second is off the object, and the last of every second prompt is
    padding.
    """
    points = torch.rand((count, each, 2), generator=random) * torch.tensor([size[1], size[0]])
    labels = torch.ones((count, each), dtype=torch.int64)
    labels[:, 1:2] = 0
    if each > 1:
        labels[1::2, -1] = -1
    return Prompts(points_xy=points, point_labels=labels)


def _boxes(size: Size, count: int, random: torch.Generator) -> Tensor:
    corners = torch.rand((count, 2, 2), generator=random) * torch.tensor([size[1], size[0]])
    low, high = corners.amin(1), corners.amax(1)
    return torch.cat([low, torch.maximum(high, low + 0.1)], dim=1)


def moved(prompts: Prompts, row: int, size: Size) -> Iterator[Prompts]:
    """The prompt in a row, moved by a hair in each direction; nothing for one that is a mask alone."""
    sides = torch.tensor([size[1], size[0]])
    for step in ((HAIR, 0), (-HAIR, 0), (0, HAIR), (0, -HAIR), (HAIR, HAIR), (-HAIR, -HAIR)):
        shift = torch.tensor(step) * sides
        given: dict[str, Any] = {}
        if prompts.points_xy is not None and prompts.point_labels is not None:
            points = (prompts.points_xy[[row]] + shift).clamp_min(0)
            given |= {"points_xy": torch.minimum(points, sides), "point_labels": prompts.point_labels[[row]]}
        if prompts.boxes_xyxy is not None:
            given["boxes_xyxy"] = prompts.boxes_xyxy[[row]] + shift.repeat(2)
        if not given:
            return
        masks = None if prompts.masks is None else prompts.masks[[row]]
        logits = None if prompts.logits is None else prompts.logits[[row]]
        yield Prompts(**given, masks=masks, logits=logits)


def gate_answers(
    model: Model, exported: Model, samples: Sequence[Sample], differences: dict[str, float]
) -> list[Sample]:
    """Compare the answers to all kinds of prompts for some images, the last with many prompts and without
    any.

    Args:
        model, exported: in torch, and with graphs.
        samples: the images.
        differences: receives the largest differences.

    Returns:
        The images with a few of the prompts, for ``predict.py``.

    Raises:
        ExportError: when they differ; names the image and the prompts.
    """
    with evaluating(model), evaluating(exported):
        for sample in samples:
            ours, theirs = (_answering(each, sample) for each in (model, exported))
            last = sample is samples[-1]
            takes_masks = model.capability(MaskPromptable) is not None
            for name, prompts in prompt_cases(sample.size, takes_masks=takes_masks, many=last):
                where = f"image {sample.id!r} ({sample.size[0]} x {sample.size[1]}), {name}"
                keep_worst(differences, compare_to_torch(ours, theirs, prompts, sample.size, where))
            if takes_masks:
                _compare_refined(model, exported, sample, differences)
            if last:
                found = [_promptable(each).find_all(_encoded(each, sample)) for each in (model, exported)]
                compare_found(found[0], found[1], f"image {sample.id!r}")
    return [_with_prompts(sample) for sample in samples]


def _with_prompts(sample: Sample) -> Sample:
    """With two prompts of several points and a box each, and a third of which one is padding."""
    random = torch.Generator().manual_seed(1)
    points = _points(sample.size, 4, 1, random)
    return sample.with_(prompts=points)


def _promptable(model: Model) -> Promptable:
    found = model.capability(Promptable)
    if found is None:
        raise UsageError("this model takes no prompts. Hint: declare the capability Promptable")
    return found


def _encoded(model: Model, sample: Sample) -> Any:
    try:
        return _promptable(model).encode([sample])[0]
    except Exception as error:  # what surrounds a wrong graph may fail in any way
        raise ExportError(f"{sample.id}: the export cannot encode it: {error}") from error


def _answering(model: Model, sample: Sample) -> Answer:
    promptable, encoded = _promptable(model), _encoded(model, sample)
    return lambda prompts: promptable.answer(encoded, prompts)


def compare_to_torch(
    ours: Answer, theirs: Answer, prompts: Prompts, size: Size, where: str, limits: Limits = LIMITS
) -> dict[str, float]:
    """Compare the export's answers with those of torch, see ``compare_answers``.

    Args:
        ours, theirs: give the answers of torch, and of the export.
        prompts: for the image.
        size: height and width of the image.
        where: the image and its prompts, for messages.
        limits: as for ``compare_answers``.
    """
    wanted = ours(prompts)
    try:
        found = theirs(prompts)
    except Exception as error:  # what surrounds a wrong graph may fail in any way
        raise ExportError(f"{where}: torch has an answer, but the export fails: {error}") from error
    return compare_answers(
        wanted, found, where, limits, lambda row: (ours(each) for each in moved(prompts, row, size))
    )


def _compare_refined(model: Model, exported: Model, sample: Sample, differences: dict[str, float]) -> None:
    """Give the answer to a point back with another point, the same answer to both."""
    refining = model.capability(MaskPromptable)
    assert refining is not None
    random = torch.Generator().manual_seed(2)
    first = _points(sample.size, 2, 1, random)
    _, logits = refining.answer_logits(_encoded(model, sample), first)
    again = replace(_points(sample.size, 2, 2, random), logits=logits)
    ours, theirs = (_answering(each, sample) for each in (model, exported))
    where = f"image {sample.id!r} ({sample.size[0]} x {sample.size[1]}), earlier answers"
    keep_worst(differences, compare_to_torch(ours, theirs, again, sample.size, where))


def compare_protocol(
    model: Model, protocol: str, sample: Sample, wanted: Instances, found: Instances
) -> dict[str, float]:
    """Compare the answers of a prompt protocol; nothing for those whose prompts depend on earlier answers,
    or that have none.

    Raises:
        ExportError: when they differ.
    """
    prompts = protocol_prompts(protocol, sample)
    if prompts is None:
        return {}
    answer: list[Answer] = []

    def also(row: int) -> Iterator[Instances]:
        with evaluating(model):
            if not answer:
                answer.append(_answering(model, sample))
            for each in moved(prompts, row, sample.size):
                yield answer[0](each)

    where = f"protocol {protocol}, image {sample.id!r} ({sample.size[0]} x {sample.size[1]})"
    return compare_answers(wanted, found, where, also=also)


def protocol_prompts(protocol: str, sample: Sample) -> Prompts | None:
    """The prompts of a protocol for a sample, if they follow from the truth alone."""
    if protocol == simulated_prompts.AUTO or simulated_prompts.corrections_of(protocol):
        return None
    truth = simulated_prompts.truth_of(sample)
    if protocol == simulated_prompts.BOX:
        return simulated_prompts.box_prompts(truth)
    return simulated_prompts.point_prompts(truth)


def listed(prompts: Prompts) -> list[dict[str, Any]]:
    """Points and boxes as in a JSON file of prompts, see ``toolkit.formats.prompt_records``."""
    rows: list[dict[str, Any]] = []
    for row in range(len(prompts)):
        entry: dict[str, Any] = {}
        if prompts.points_xy is not None and prompts.point_labels is not None:
            given = prompts.point_labels[row] >= 0
            entry["points_xy"] = prompts.points_xy[row][given].tolist()
            entry["point_labels"] = prompts.point_labels[row][given].tolist()
        if prompts.boxes_xyxy is not None:
            entry["box_xyxy"] = prompts.boxes_xyxy[row].tolist()
        rows.append(entry)
    return rows

"""Checks of model plugins: building and predicting."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from toolkit.evaluation.protocols import predict_protocols
from toolkit.models.capabilities import MaskPromptable, Promptable
from toolkit.models.contract import Model, TrainableModel, evaluating
from toolkit.models.simulated_prompts import AUTO, truth_of
from toolkit.runtime.seeding import seed_everything
from toolkit.testing.checks import expect, explain, skip
from toolkit.testing.closeness import difference
from toolkit.testing.model_case import ModelCase
from toolkit.testing.samples import unlabeled, with_prompts
from toolkit.types import VOID, Instances, PanopticMap, PixelMap, Prediction, Prompts, Sample

ODD_SIZES = ((1, 1), (1, 37), (23, 1), (2, 3), (31, 33), (70, 130))


def builds(case: ModelCase) -> None:
    """`build` makes a model for the given classes, and the same model for the same seed."""
    model = case.build()
    expect(
        model.classes == case.classes,
        f"the model's classes are {model.classes}, but it was built for {case.classes}",
    )
    again = case.build().state_dict()
    for name, value in model.state_dict().items():
        same = name in again and torch.equal(value, again[name])
        expect(
            same,
            f"{name} differs between two models built with the same seed. Hint: draw initial weights from"
            " torch's global"
            " generator only",
        )


def predictions_fit_the_samples(case: ModelCase) -> None:
    """There is one prediction per sample, in order, in the sample's pixels, on the CPU, with everything that
    the task requires and values in range.
    """
    samples = case.unlabeled()
    for model in (case.build(), case.trained_or_new()):
        predictions = case.predict(model, samples)
        expect(
            len(predictions) == len(samples),
            f"{len(predictions)} predictions were returned for {len(samples)} samples",
        )
        for sample, prediction in zip(samples, predictions, strict=True):
            _check_prediction(case, sample, prediction)


def _check_prediction(case: ModelCase, sample: Sample, prediction: Prediction) -> None:
    expect(
        prediction.sample_id == sample.id,
        f"the prediction for {sample.id!r} has sample_id {prediction.sample_id!r}. Hint: pass each sample's"
        " own id, in order",
    )
    expect(
        prediction.size == sample.size,
        f"the prediction for an image of {sample.size} has size {prediction.size}. Hint: resize predictions"
        " to the sample's own pixels",
    )
    task, classes = case.task, len(case.classes)
    missing = [name for name in task.predicts if prediction.get(name) is None]
    expect(not missing, f"the task is {task.name}, but the prediction has no {' and no '.join(missing)}")
    if "label_map" in task.predicts and prediction.label_map is not None:
        _check_label_map(prediction.label_map, classes)
    if prediction.instances is not None:
        _check_instances(sample, prediction.instances, classes)
    for name, value in prediction.extras.items():
        numbers = value.values if isinstance(value, PixelMap) else value
        if isinstance(value, PanopticMap):
            numbers = value.numbers
            beyond = [segment.label for segment in value.segments if segment.label >= classes]
            expect(not beyond, f"{name} has a segment of class {beyond[:1]}, but there are {classes} classes")
        on_cpu = not isinstance(numbers, torch.Tensor) or numbers.device.type == "cpu"
        expect(on_cpu, f"{name} is on a device. Hint: add .cpu()")


def _check_label_map(label_map: torch.Tensor, classes: int) -> None:
    beyond = label_map[(label_map >= classes) & (label_map != VOID)]
    expect(
        beyond.numel() == 0,
        f"a label map has values such as {beyond[:1].tolist()}, but there are {classes} classes (and {VOID})",
    )
    expect(label_map.device.type == "cpu", f"the label map is on {label_map.device}. Hint: add .cpu()")


def _check_instances(sample: Sample, instances: Instances, classes: int) -> None:
    expect(instances.scores is not None, "the instances have no scores")
    assert instances.scores is not None
    expect(
        instances.boxes_xyxy.device.type == "cpu",
        f"the boxes are on {instances.boxes_xyxy.device}. Hint: add .cpu()",
    )
    if len(instances):
        expect(
            int(instances.labels.max()) < classes,
            f"an object has label {int(instances.labels.max())}, but there are {classes} classes",
        )
        low, high = float(instances.scores.min()), float(instances.scores.max())
        expect(low >= 0 and high <= 1, f"scores range from {low:.3g} to {high:.3g}, but must be in 0…1")
        _check_inside(sample, instances)


def _check_inside(sample: Sample, instances: Instances) -> None:
    height, width = sample.size
    limit = torch.tensor([width, height, width, height], dtype=torch.float32)
    outside = ((instances.boxes_xyxy < 0) | (instances.boxes_xyxy > limit)).any(1)
    box = instances.boxes_xyxy[outside][:1].tolist()
    expect(
        not outside.any(),
        f"a box lies outside its image of {width}×{height} pixels: {box}. Hint: clip the boxes",
    )


def masks_and_boxes_agree(case: ModelCase) -> None:
    """No mask extends beyond the box of its object by more than a pixel, and masks and boxes belong to the
    same image.
    """
    if "instances" not in case.task.predicts:
        skip(f"a {case.task.name} model predicts no objects")
    found = 0
    for prediction in case.predict(case.trained_or_new(), case.unlabeled()):
        instances = prediction.instances
        if instances is None or instances.masks is None:
            continue
        filled = instances.masks.areas() > 0
        found += int(filled.sum())
        tight, boxes = instances.masks.boxes_xyxy()[filled], instances.boxes_xyxy[filled]
        beyond = torch.cat([boxes[:, :2] - tight[:, :2], tight[:, 2:] - boxes[:, 2:]], 1).amax(1)
        if bool((beyond > 1).any()):
            worst = int(beyond.argmax())
            raise AssertionError(
                f"a mask covers {_whole(tight[worst])}, but its box is {_whole(boxes[worst])}."
                " Hint: masks and boxes must be in the sample's own pixels and in the same order"
            )
    if not found:
        skip(
            "no object with a mask was predicted, so there is nothing to compare; lower the score threshold"
            " in the settings, or train for more steps"
        )


def _whole(box: torch.Tensor) -> list[float]:
    return [round(value, 1) for value in box.tolist()]


def any_image_size(case: ModelCase) -> None:
    """Images of any size can be predicted, down to a single pixel."""
    model = case.build()
    for size in ODD_SIZES:
        sample = unlabeled(case.samples(1, sizes=[size])[0])
        try:
            (prediction,) = case.predict(model, [sample])
        except Exception as error:
            raise AssertionError(
                f"an image of {size[0]}×{size[1]} pixels (height×width): {explain(error, case.manifest)}"
            ) from error
        expect(
            prediction.size == size, f"an image of size {size} gave a prediction of size {prediction.size}"
        )


def batch_equals_singles(case: ModelCase) -> None:
    """A prediction does not depend on what else is in the batch."""
    samples = case.unlabeled()
    for model in (case.build(), case.trained_or_new()):
        together = case.predict(model, samples)
        for sample, one in zip(samples, together, strict=True):
            (alone,) = case.predict(model, [sample])
            what = difference(one, alone)
            expect(
                not what,
                f"sample {sample.id!r} of {sample.size} is predicted differently alone and in a batch of"
                f" {len(samples)}: {what}. Hint: compute nothing across the batch, and do not let padding"
                " affect the result",
            )


def truth_is_not_looked_at(case: ModelCase) -> None:
    """A prediction is the same whether or not the sample has labels."""
    model, samples = case.build(), case.samples()
    with_labels, without = (
        case.predict(model, samples),
        case.predict(model, [unlabeled(sample) for sample in samples]),
    )
    _expect_the_same(with_labels, without, "when its labels are removed", "predict from the image only")


def _expect_the_same(first: Sequence[Prediction], second: Sequence[Prediction], when: str, hint: str) -> None:
    for one, other in zip(first, second, strict=True):
        what = difference(one, other, exact=True)
        expect(not what, f"the prediction for {one.sample_id!r} changes {when}: {what}. Hint: {hint}")


def no_objects(case: ModelCase) -> None:
    """An image without objects can be predicted and, if the model is trainable, trained on."""
    empty = case.samples(2, objects=0)
    for model in (case.build(), case.trained_or_new()):
        case.predict(model, [unlabeled(sample) for sample in empty])
    if isinstance(model, TrainableModel):
        for batch in (empty, [*empty[:1], *case.samples(1)]):
            _check_loss(
                case,
                batch,
                (
                    "samples without objects"
                    if batch is empty
                    else "a sample without objects together with one with objects"
                ),
            )


def _check_loss(case: ModelCase, batch: list[Sample], what: str) -> None:
    model = case.build_trainable()
    seed_everything(0, "loss")
    losses = model.loss(batch)
    bad = [f"{name} is {value.item()}" for name, value in losses.items() if not torch.isfinite(value)]
    expect(
        not bad,
        f"for {what}, {', '.join(bad)}. Hint: the mean of an empty tensor is NaN; return 0 if there is"
        " nothing to train on",
    )


def one_class(case: ModelCase) -> None:
    """A model with a single class can be built, predicts and, if trainable, can be trained."""
    classes = ("thing",)
    model, samples = case.build(classes), case.samples(2, classes=classes)
    for prediction in case.predict(model, [unlabeled(sample) for sample in samples]):
        label_map, instances = prediction.label_map, prediction.instances
        beyond = label_map is not None and bool(((label_map != 0) & (label_map != VOID)).any())
        beyond |= instances is not None and len(instances) > 0 and int(instances.labels.max()) > 0
        expect(not beyond, "a model with one class predicts a second one")
    if isinstance(model, TrainableModel):
        value = case.loss_of(model.train(), samples)
        expect(
            torch.isfinite(torch.tensor(value)).item() is True,
            f"the loss of a model with one class is {value}",
        )


def predicting_is_repeatable(case: ModelCase) -> None:
    """The same image gets the same prediction twice."""
    model, samples = case.build(), case.unlabeled()
    with evaluating(model):
        first, second = model.predict(samples), model.predict(samples)
    _expect_the_same(first, second, "from one call to the next", "predict must not be random")


def prompts_are_answered(case: ModelCase) -> None:
    """Each prompt is answered with one object, in order, for all kinds of prompts; each protocol can be
    evaluated on every sample.
    """
    model = case.build()
    promptable = model.capability(Promptable)
    if promptable is None:
        skip("the model does not declare the capability Promptable")
    samples = case.samples()
    kinds = {"points": (True, False), "boxes": (False, True), "points and boxes": (True, True)}
    for kind, (points, boxes) in kinds.items():
        asked = [unlabeled(with_prompts(sample, points=points, boxes=boxes)) for sample in samples]
        for sample, prediction in zip(asked, case.predict(model, asked), strict=True):
            _check_answers(sample, prediction, kind)
    _check_masks(model, samples)
    expect(
        len(promptable.protocols) > 0,
        "protocols is empty, so the model cannot be measured. Hint: list the supported ways to prompt it",
    )
    with evaluating(model):
        by_protocol = predict_protocols(promptable, samples)
    for protocol, predictions in by_protocol.items():
        for sample, prediction in zip(samples, predictions, strict=True):
            if protocol != AUTO:
                _check_answers(sample, prediction, f"protocol {protocol}")


def _check_masks(model: Model, samples: Sequence[Sample]) -> None:
    """If the model takes masks: check masks alone, and earlier answers with boxes."""
    takes_masks, promptable = model.capability(MaskPromptable), model.capability(Promptable)
    if takes_masks is None or promptable is None:
        return
    with evaluating(model):
        for sample, encoded in zip(samples, promptable.encode(samples), strict=True):
            truth = truth_of(sample)
            found, logits = takes_masks.answer_logits(
                encoded, Prompts(masks=truth.masks, labels=truth.labels)
            )
            fits = logits.dtype == torch.float32 and logits.dim() == 3 and len(logits) == len(truth)
            expect(
                fits,
                f"answer_logits gives logits {logits.dtype} {list(logits.shape)}; expected float32"
                f" [{len(truth)}, h, w]",
            )
            boxes = Prompts(boxes_xyxy=truth.boxes_xyxy, labels=truth.labels, logits=logits)
            for what, answers in (("masks", found), ("earlier answers", promptable.answer(encoded, boxes))):
                _check_answers(sample, Prediction(sample.id, sample.size, instances=answers), what)


def _check_answers(sample: Sample, prediction: Prediction, what: str) -> None:
    wanted = sample.prompts if sample.instances is None else sample.instances
    count = len(prediction.instances) if prediction.instances is not None else 0
    expect(
        wanted is not None and count == len(wanted),
        f"{what}: {len(wanted or ())} prompts of sample {sample.id!r} were answered with {count} objects;"
        " expected one per prompt, in order",
    )
    if prediction.instances is not None and sample.prompts is not None and sample.prompts.labels is not None:
        same = torch.equal(prediction.instances.labels, sample.prompts.labels)
        expect(
            same,
            f"{what}: the labels of the prompts, {sample.prompts.labels.tolist()}, came back as"
            f" {prediction.instances.labels.tolist()}",
        )

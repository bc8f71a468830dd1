"""Scores of photos from a model's predictions alone, and the method that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from toolkit.errors import UsageError
from toolkit.explaining.batches import Score
from toolkit.explaining.drise import DriseOptions, Shortcut, drise
from toolkit.explaining.similarity import similarity_score
from toolkit.explaining.subject import Map, Subject
from toolkit.explaining.windows import Window, sufficient
from toolkit.models.capabilities import Promptable
from toolkit.models.contract import Model
from toolkit.types import Prediction, Sample, Target, class_scores


def drise_map(subject: Subject) -> Map:
    """The map of D-RISE: how much higher the score is when a pixel is visible, compared with the mean over
    all masks. The score is the similarity of the predictions with the target.
    """
    effort, image = subject.effort, subject.sample.image
    score = prediction_score(subject.model, subject.sample, subject.target)
    options = DriseOptions(masks=effort.masks, batch_size=effort.batch_size, seed=effort.seed)
    found = drise(
        score, image, options, shortcut=window_finder(subject.model, subject.sample, subject.target)
    )
    predicted = 1.0 if found.window is None else found.window.area / (image.shape[1] * image.shape[2])
    figures = {"masks": float(found.masks), "stability": found.stability, "window": predicted}
    return Map(found.map - found.mean, None, figures, float(score(image[None])[0]))


def prediction_score(model: Model, sample: Sample, target: Target) -> Score:
    """How much of a target is in a model's predictions for photos; see ``similarity``."""
    promptable = model.capability(Promptable)
    predict = model.predict if promptable is None else partial(_answers, promptable)
    return similarity_score(predict, sample, target, partial(_class_score, len(model.classes)))


def window_finder(model: Model, sample: Sample, target: Target) -> Shortcut:
    """Looks for a window of a photo in which a target has the same scores as in the whole photo."""

    def score_in(window: Window) -> Score:
        image = window.crop(sample.image)
        part = Sample(sample.id, image, path=sample.path)
        return prediction_score(model, part, window.target(target))

    def find(images: Tensor, scores: Sequence[float]) -> tuple[Window, Score] | None:
        window = sufficient(target, sample.size, score_in, images, scores)
        return None if window is None else (window, score_in(window))

    return find


def _answers(promptable: Promptable, samples: Sequence[Sample]) -> list[Prediction]:
    answers = []
    for sample, encoded in zip(samples, promptable.encode(samples), strict=True):
        assert sample.prompts is not None  # those of the target
        answers.append(
            Prediction(sample.id, sample.size, instances=promptable.answer(encoded, sample.prompts))
        )
    return answers


def _class_score(classes: int, prediction: Prediction, label: int) -> float:
    scores = class_scores(prediction, classes)
    if scores is None:
        raise UsageError(
            f"the prediction for {prediction.sample_id!r} has no scores of the classes, so that the class"
            " cannot be explained from predictions. Hint: use a method that uses gradients"
        )
    return float(scores.values[label])

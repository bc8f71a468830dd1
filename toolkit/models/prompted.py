"""A promptable model with a source of prompts: a file, another model's detections, or none."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from toolkit.checkpoints import checkpoint_name
from toolkit.errors import InvalidDataError, UsageError
from toolkit.formats.prompts import UNNAMED, PromptFile
from toolkit.models.building import load_model
from toolkit.models.capabilities import Promptable, Trackable
from toolkit.models.contract import Model
from toolkit.models.simulated_prompts import AUTO
from toolkit.types import Instances, Masks, Prediction, Prompts, Sample

C = TypeVar("C")

FROM = "from:"


class PromptSource(ABC):
    """A source of prompts.

    Attributes:
        classes: names of the label indexes.
        name: identifies the prompts in manifests.
    """

    classes: tuple[str, ...]
    name: str

    def expect_images(self, names: Iterable[str]) -> None:  # noqa: B027 - only prompt files need it
        """Receive the names of all images before the first is predicted.

        Raises:
            DataError: when prompts are for an image that is not there.
        """

    @abstractmethod
    def prompts(self, samples: Sequence[Sample]) -> list[list[tuple[Prompts, Tensor | None]]]:
        """For each sample, groups of prompts, each with scores ``[N]`` by which to multiply those of the
        answers, or None.
        """


class FromFile(PromptSource):
    """Prompts from a file; see ``toolkit.formats.prompts``."""

    def __init__(self, path: Path, classes: Sequence[str] | None = None) -> None:
        self._file = PromptFile(path, classes)
        self.classes = self._file.classes
        self.name = f"prompts {path.name} {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"

    def expect_images(self, names: Iterable[str]) -> None:
        """Match the names in the file with those of the images."""
        self._file.assign(names)

    def prompts(self, samples: Sequence[Sample]) -> list[list[tuple[Prompts, Tensor | None]]]:
        """The prompts in the file for each sample."""
        return [[(group, None) for group in self._file.groups(sample.id, sample.size)] for sample in samples]


class FromDetector(nn.Module, PromptSource):
    """Another model's detections: their boxes become the prompts, with their classes and scores.

    Args:
        detector: a model that predicts instances, in eval mode; computes in full precision.
        name: of its weights, for manifests.
        score_threshold: detections with a lower score are ignored.

    Raises:
        UsageError: when the model cannot detect.
    """

    def __init__(self, detector: Model, name: str = "a detector", score_threshold: float = 0.05) -> None:
        super().__init__()
        if detector.capability(Promptable) is not None:
            raise UsageError(
                f"{FROM}: {type(detector).__name__} itself needs prompts. Hint: pass a run of a detector"
            )
        self.detector, self.score_threshold = detector, score_threshold
        self.classes = detector.classes
        self.name = f"prompts of {name}"

    def prompts(self, samples: Sequence[Sample]) -> list[list[tuple[Prompts, Tensor | None]]]:
        """The boxes that the detector finds in each sample."""
        with torch.autocast(self.detector.device.type, enabled=False):
            predictions = self.detector.predict(samples)
        return [[self._boxes(prediction.instances)] for prediction in predictions]

    def _boxes(self, found: Instances | None) -> tuple[Prompts, Tensor | None]:
        if found is None:
            raise UsageError(
                f"{FROM}: {type(self.detector).__name__} predicts no instances. Hint: pass a run of a"
                " detector"
            )
        if found.scores is not None:
            found = found[found.scores >= self.score_threshold]
        found = found[(found.boxes_xyxy[:, 2:] > found.boxes_xyxy[:, :2]).all(dim=1)]
        return Prompts(boxes_xyxy=found.boxes_xyxy, labels=found.labels), found.scores


class PromptedModel(Model):
    """A promptable model that gets its prompts from a source, and so predicts like any detector.

    An answer's score is the model's own estimate of its mask's IoU, times the score of the detection that
    prompted it.

    Args:
        model: answers the prompts.
        source: source of the prompts; with None, the model finds everything in the image, as objects without
            a class.
    """

    draw_above = 0.0  # each object was requested by a prompt

    def __init__(self, model: Model, source: PromptSource | None) -> None:
        super().__init__(source.classes if source else (UNNAMED,))
        self.model, self.source = model, source

    def capability(self, kind: type[C]) -> C | None:
        """The inner model's capability for interactive prompting and tracking; otherwise its own."""
        return self.model.capability(kind) if kind in (Promptable, Trackable) else super().capability(kind)

    def expect_images(self, names: Iterable[str]) -> None:
        """Match the names in a prompt file with those of the images; see
        ``PromptSource.expect_images``.
        """
        if self.source is not None:
            self.source.expect_images(names)

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """One prediction per sample; a sample without prompts has no objects."""
        if self.source is None:
            return self.model.predict([sample.with_(prompts=None) for sample in samples])
        work: list[tuple[int, Prompts, Tensor | None]] = []
        for i, groups in enumerate(self.source.prompts(samples)):
            work += [(i, prompts, scores) for prompts, scores in groups if len(prompts)]
        answers = (
            self.model.predict([samples[i].with_(prompts=prompts) for i, prompts, _ in work]) if work else []
        )
        parts: list[list[Instances]] = [[] for _ in samples]
        for (i, _, scores), answer in zip(work, answers, strict=True):
            if answer.instances is None:
                raise InvalidDataError(
                    f"{type(self.model).__name__} returned a prediction for sample {answer.sample_id!r}"
                    " without instances"
                )
            parts[i].append(_weighted(answer.instances, scores))
        return [
            Prediction(s.id, s.size, instances=_joined(s, found))
            for s, found in zip(samples, parts, strict=True)
        ]


def _weighted(answers: Instances, scores: Tensor | None) -> Instances:
    if scores is None or answers.scores is None:
        return answers
    return replace(answers, scores=answers.scores * scores)


def _joined(sample: Sample, parts: Sequence[Instances]) -> Instances:
    """The answers to all groups of prompts of one image."""
    if len(parts) == 1:
        return parts[0]
    counts = tuple(code for part in parts if part.masks for code in part.masks.counts)
    empty = Instances.empty(sample.size, with_masks=True, with_scores=True)
    if not parts:
        return empty
    scores = [torch.ones(len(part)) if part.scores is None else part.scores for part in parts]
    return Instances(
        sample.size,
        torch.cat([part.boxes_xyxy for part in parts]),
        torch.cat([part.labels for part in parts]),
        Masks(sample.size, counts),
        torch.cat(scores),
    )


def prompted(model: Model, prompts: str, *, classes: Sequence[str] | None = None) -> PromptedModel:
    """The model with the prompt source given by a command-line argument.

    Args:
        model: must be promptable.
        prompts: ``auto``, ``from:RUN`` for another run's detections, or the path of a file of prompts.
        classes: names for the label indexes; the source's own classes when None.

    Raises:
        UsageError: when the model takes no prompts, or the other run cannot detect.
        DataError: when the file is invalid.
    """
    if model.capability(Promptable) is None:
        raise UsageError(
            f"--prompts {prompts}: {type(model).__name__} takes no prompts. Hint: leave out --prompts, or"
            " use a promptable run"
        )
    if prompts == AUTO:
        return PromptedModel(model, None)
    if prompts.startswith(FROM):
        run = prompts.removeprefix(FROM)
        detector, manifest = load_model(run)
        return PromptedModel(model, FromDetector(detector, checkpoint_name(run, manifest)))
    return PromptedModel(model, FromFile(Path(prompts), classes))

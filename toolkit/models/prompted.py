"""A promptable model with a source of prompts: a file, another model's detections, or none."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from toolkit.checkpoints import checkpoint_name
from toolkit.errors import DataError, InvalidDataError, UsageError
from toolkit.formats.prompt_records import UNNAMED
from toolkit.formats.prompts import PromptFile
from toolkit.models.building import load_model
from toolkit.models.capabilities import Explainable, MaskPromptable, Promptable, Trackable, Windowable
from toolkit.models.contract import Model
from toolkit.models.learned import prompts_not_learned
from toolkit.models.simulated_prompts import AUTO, BOX, POINT
from toolkit.reading.files import read_bytes
from toolkit.types import Instances, Masks, Prediction, Prompts, Sample

C = TypeVar("C")

FROM = "from:"
PROMPTS_ABOVE = 0.05
"""The default minimum score for a detection to become a prompt."""


class PromptSource(ABC):
    """A source of prompts.

    Attributes:
        classes: names of the label indexes.
        name: identifies the prompts in manifests.
        kinds: the kinds of prompts, ``point`` and ``box``.
    """

    classes: tuple[str, ...]
    name: str
    kinds: frozenset[str]

    def expect_images(self, names: Iterable[str]) -> None:  # noqa: B027 - only prompt files need it
        """Receive the names of all images before the first is predicted.

        Raises:
            DataError: when prompts are for an image that does not exist.
        """

    def expected_images(self) -> tuple[str, ...]:
        """Those of these images that have prompts; only prompt files know it."""
        return ()

    def order(self, name: str) -> tuple[str, ...]:
        """The ids of the objects in an image in the order in which they were given, if they have any."""
        return ()

    @abstractmethod
    def prompts(self, samples: Sequence[Sample]) -> list[list[tuple[Prompts, Tensor | None]]]:
        """For each sample, groups of prompts, each with scores ``[N]`` by which to multiply those of the
        answers, or None.
        """


class FromFile(PromptSource):
    """Prompts from a file; see ``toolkit.formats.prompt_records``."""

    def __init__(self, path: Path, classes: Sequence[str] | None = None) -> None:
        self._file = PromptFile(path, classes)
        self.classes = self._file.classes
        self.kinds = self._file.kinds
        self.name = (
            f"prompts {path.name} {hashlib.sha256(read_bytes(path, 'prompts', DataError)).hexdigest()[:16]}"
        )

    def expect_images(self, names: Iterable[str]) -> None:
        """Match the names in the file with those of the images."""
        self._file.assign(names)

    def expected_images(self) -> tuple[str, ...]:
        """The images that the file has prompts for."""
        return self._file.images

    def order(self, name: str) -> tuple[str, ...]:
        """The ids of an image's objects, in the order of the file."""
        return self._file.ids(name)

    def prompts(self, samples: Sequence[Sample]) -> list[list[tuple[Prompts, Tensor | None]]]:
        """The prompts in the file for each sample."""
        return [[(group, None) for group in self._file.groups(sample.id, sample.size)] for sample in samples]


class FromDetector(nn.Module, PromptSource):
    """Another model's detections: their boxes become the prompts, with their classes and scores.

    Args:
        detector: a model that predicts instances, in eval mode; computes in full precision.
        name: the name of its weights, for manifests.
        score_threshold: detections with a lower score are ignored.

    Raises:
        UsageError: when the model cannot detect.
    """

    def __init__(
        self, detector: Model, name: str = "a detector", score_threshold: float = PROMPTS_ABOVE
    ) -> None:
        super().__init__()
        if detector.capability(Promptable) is not None:
            raise UsageError(f"{FROM}: this model itself needs prompts. Hint: pass a run of a detector")
        self.detector, self.score_threshold = detector, score_threshold
        self.classes = detector.classes
        self.kinds = frozenset({BOX})
        above = "" if score_threshold == PROMPTS_ABOVE else f" above {score_threshold:g}"
        self.name = f"prompts of {name}{above}"

    def prompts(self, samples: Sequence[Sample]) -> list[list[tuple[Prompts, Tensor | None]]]:
        """The boxes that the detector finds in each sample."""
        with torch.autocast(self.detector.device.type, enabled=False):
            predictions = self.detector.predict(samples)
        return [[self._boxes(prediction.instances)] for prediction in predictions]

    def _boxes(self, found: Instances | None) -> tuple[Prompts, Tensor | None]:
        if found is None:
            raise UsageError(f"{FROM}: this model predicts no instances. Hint: pass a run of a detector")
        if found.scores is not None:
            found = found[found.scores >= self.score_threshold]
        found = found[(found.boxes_xyxy[:, 2:] > found.boxes_xyxy[:, :2]).all(dim=1)]
        return Prompts(boxes_xyxy=found.boxes_xyxy, labels=found.labels), found.scores


class PromptedModel(Model, Windowable):
    """A promptable model that gets its prompts from a source, so that it predicts like any detector.

    An answer's score is the model's own estimate of its mask's IoU, times the score of the detection that
    prompted it.

    Args:
        model: answers the prompts.
        source: source of the prompts; with None, the model finds everything in the image, as objects without
            a class.

    Attributes:
        refusal: why the model cannot find everything by itself; empty if it can.
    """

    draw_above = 0.0  # each object was requested by a prompt

    def __init__(self, model: Model, source: PromptSource | None) -> None:
        super().__init__(source.classes if source else (UNNAMED,))
        self.model, self.source, self.refusal = model, source, ""

    @property
    def shrinks_large_images(self) -> bool:
        """Promptable models encode an image at a size of their own."""
        return True

    def capability(self, kind: type[C]) -> C | None:
        """The inner model's capability for interactive prompting, tracking and explaining; otherwise its
        own. Prompts from a file are for whole images, and so not for windows.
        """
        if kind is Windowable and isinstance(self.source, FromFile):
            return None
        inner = kind in (Promptable, MaskPromptable, Trackable, Explainable)
        return self.model.capability(kind) if inner else super().capability(kind)

    def expect_images(self, names: Iterable[str]) -> None:
        """Match the names in a prompt file with those of the images; see
        ``PromptSource.expect_images``.
        """
        self._check_can_search()
        if self.source is not None:
            self.source.expect_images(names)

    def expected_images(self) -> tuple[str, ...]:
        """The images with prompts from a file."""
        return () if self.source is None else self.source.expected_images()

    def _check_can_search(self) -> None:
        if self.source is None and self.refusal:
            raise UsageError(self.refusal)

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """One prediction per sample; a sample without prompts has no objects."""
        self._check_can_search()
        if self.source is None:
            return self.model.predict([sample.with_(prompts=None) for sample in samples])
        work: list[tuple[int, Prompts, Tensor | None]] = []
        for i, groups in enumerate(self.source.prompts(samples)):
            work += [(i, prompts, scores) for prompts, scores in groups if len(prompts)]
        answers = (
            self.model.predict([samples[i].with_(prompts=prompts) for i, prompts, _ in work]) if work else []
        )
        parts: list[list[Instances]] = [[] for _ in samples]
        for (i, prompts, scores), answer in zip(work, answers, strict=True):
            if answer.instances is None:
                raise InvalidDataError(
                    f"the model returned a prediction for sample {answer.sample_id!r} without instances"
                )
            parts[i].append(replace(_weighted(answer.instances, scores), ids=prompts.ids))
        return [
            Prediction(s.id, s.size, instances=_joined(s, found, self.source.order(s.id)))
            for s, found in zip(samples, parts, strict=True)
        ]


def _weighted(answers: Instances, scores: Tensor | None) -> Instances:
    if scores is None or answers.scores is None:
        return answers
    return replace(answers, scores=answers.scores * scores)


def _joined(sample: Sample, parts: Sequence[Instances], order: Sequence[str]) -> Instances:
    """The answers to all groups of prompts of one image, in the order of their ids if they have any."""
    if len(parts) == 1 and not order:
        return parts[0]
    empty = Instances.empty(sample.size, with_masks=True, with_scores=True)
    if not parts:
        return empty
    scores = [torch.ones(len(part)) if part.scores is None else part.scores for part in parts]
    joined = Instances(
        sample.size,
        torch.cat([part.boxes_xyxy for part in parts]),
        torch.cat([part.labels for part in parts]),
        Masks.joined(sample.size, [part.masks for part in parts if part.masks is not None]),
        torch.cat(scores),
    )
    if not order:
        return joined
    ids = tuple(each for part in parts for each in part.ids or ())
    return replace(joined, ids=ids)[[ids.index(each) for each in order]]


def prompted(
    model: Model,
    prompts: str,
    *,
    classes: Sequence[str] | None = None,
    prompts_above: float | None = None,
    start_weights: Mapping[str, str] | None = None,
) -> PromptedModel:
    """The model with the prompt source given by a command-line argument.

    Args:
        model: must be promptable.
        prompts: ``auto``, ``from:RUN`` for another run's detections, or the path of a file of prompts.
        classes: names for the label indexes; the source's own classes when None.
        prompts_above: minimum score for a detection of another run to become a prompt; 0.05 when None.
        start_weights: what the model's training started from, as in its manifest; None if unknown.

    Raises:
        UsageError: when the model takes no prompts or has not learned them, the other run cannot detect, or
            a score is given for prompts that have none.
        DataError: when the file is invalid.
    """
    promptable = model.capability(Promptable)
    if promptable is None:
        raise UsageError(
            f"--prompts {prompts}: this model takes no prompts. Hint: leave out --prompts, or"
            " use a promptable run"
        )
    if prompts_above is not None:
        _check_above(prompts, prompts_above)
    source = _source(prompts, classes, prompts_above)
    prompted_model = PromptedModel(model, source)
    if source is None:
        hint = "give prompts of the kind that it was trained with: --prompts FILE, or from:RUN for boxes"
        prompted_model.refusal = prompts_not_learned(promptable, [POINT], start_weights or {}, hint)
        return prompted_model
    hint = "prompt it as it was trained (model.prompts of the run), or train with model.prompts=mix"
    if reason := prompts_not_learned(promptable, source.kinds, start_weights or {}, hint):
        raise UsageError(reason)
    return prompted_model


def _source(
    prompts: str, classes: Sequence[str] | None, prompts_above: float | None
) -> FromDetector | FromFile | None:
    if prompts == AUTO:
        return None
    if prompts.startswith(FROM):
        run = prompts.removeprefix(FROM)
        detector, manifest = load_model(run)
        above = PROMPTS_ABOVE if prompts_above is None else prompts_above
        return FromDetector(detector, checkpoint_name(run, manifest), above)
    return FromFile(Path(prompts), classes)


def _check_above(prompts: str, above: float) -> None:
    if not prompts.startswith(FROM):
        raise UsageError(
            f"--prompts-above {above:g}: --prompts {prompts} has no scores. Hint: leave out --prompts-above,"
            f" or take the prompts from another run's detections with --prompts {FROM}RUN"
        )
    if not 0 <= above <= 1:
        raise UsageError(f"--prompts-above must be a score from 0 to 1, not {above:g}")

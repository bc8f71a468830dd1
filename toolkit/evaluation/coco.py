"""The evaluator ``coco``: average precision and recall of boxes, masks and keypoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import hotcoco
import numpy as np

from toolkit.errors import InvalidDataError
from toolkit.evaluation.base import DocumentEvaluator, Evaluator
from toolkit.evaluation.bootstrap import Resampling
from toolkit.evaluation.coco_accumulation import match_table
from toolkit.evaluation.coco_compared import ComparedImage
from toolkit.evaluation.coco_diagnosis import DIAGNOSED, diagnose
from toolkit.evaluation.coco_documents import document_images, load_results
from toolkit.evaluation.coco_draws import DrawnImages, draw_figures
from toolkit.evaluation.coco_figures import (
    Figures,
    IoUType,
    coco_report,
    figures,
    overlap_parameters,
    sliced,
    table_figures,
)
from toolkit.evaluation.coco_limits import Densities, document_densities, limit_notes
from toolkit.evaluation.coco_matching import Ints
from toolkit.evaluation.coco_objects import ImageRecord, Images, kinds_of, objects
from toolkit.evaluation.coco_settings import CocoSettings
from toolkit.evaluation.report import Report
from toolkit.evaluation.slices import Slices, slices_in_words
from toolkit.formats.coco_numbers import coco_numbers
from toolkit.types import Instances, Prediction, Sample

if TYPE_CHECKING:
    from toolkit.data.dataset import Dataset

COCO_KEYPOINTS = 17

_COPY = "\0"  # occurs in no path, and so in no sample's id


class Coco(Evaluator, Resampling, DocumentEvaluator):
    """COCO's metrics, equal to those of pycocotools, in the order of its summary; what is undefined there
    (-1) is NaN here.

    For each of ``bbox``, ``segm`` and ``keypoints`` that truth and predictions have:

    - ``AP``: mean over the classes, over IoU (OKS) thresholds 0.50, 0.55 … 0.95 and over 101 levels of
      recall; ``AP50`` and ``AP75`` at one threshold; ``APs``, ``APm``, ``APl`` for objects below 32², from
      32² to 96², and above 96² square pixels;
    - ``AR1``, ``AR10``, ``AR100``: the highest recall with that many detections per image, averaged over
      thresholds and classes; ``ARs`` … ``ARl``.

    Crowds count neither as misses nor as false positives. An object's area is ``Instances.areas``, or else
    that of its mask, or else of its box; a detection's is that of its mask among masks, of its box otherwise,
    as in Detectron2 and mmdetection.

    Detections with equal scores are ranked in the order of their images in the dataset (by COCO image id
    where there is one), so the results do not depend on how the images are divided among processes. A sample
    that occurs twice is counted once.

    With the setting ``diagnosis``, for boxes and masks, at one IoU (``match_iou``):

    - ``dAP_classification``, ``dAP_localization``, ``dAP_both``, ``dAP_duplicate``, ``dAP_background``,
      ``dAP_missed``, ``dAP_false_positives``, ``dAP_false_negatives``: by how much AP would rise without such
      errors (Bolya et al. 2020);
    - ``F1``: the mean over the classes of the highest F1 at any score threshold; ``ECE``: the expected
      calibration error of the scores (Guo et al. 2017).

    Args:
        settings: see ``CocoSettings``.
        classes: the names that labels stand for.
    """

    resamples = 200

    def __init__(self, settings: CocoSettings, classes: Sequence[str]) -> None:
        self.settings = settings
        self.classes = tuple(classes)
        self._slices = Slices(settings)
        self._order: dict[str, int] = {}
        self._drawn_from: DrawnImages | None = None
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._images: dict[str, ImageRecord] = {}
        self._times: Ints | None = None

    def prepare(self, dataset: Dataset) -> None:
        """Learn the order of the images."""
        self._order = dict(coco_numbers(dataset).image_ids)
        self._drawn_from = None

    def _update(self, sample: Sample, prediction: Prediction) -> None:
        if sample.instances is None:
            raise InvalidDataError(
                f"{_named(sample)} has no instances, so the evaluator coco cannot compare a prediction with"
                " it"
            )
        if prediction.instances is None or (
            len(prediction.instances) and prediction.instances.scores is None
        ):
            raise InvalidDataError(
                f"the prediction for {_named(sample)} must have instances with scores for the evaluator coco"
            )
        truth, found = objects(sample.instances, is_truth=True), objects(prediction.instances, is_truth=False)
        self._check("truth", sample, sample.instances, truth.labels)
        self._check("prediction", sample, prediction.instances, found.labels)
        self._slices.of(sample.id)  # which fails where the table lacks the image
        self._take_draw()
        self._images[sample.id] = ImageRecord(prediction.size, truth, found)

    def _check(self, name: str, sample: Sample, instances: Instances, labels: Ints) -> None:
        """Check the truth or the prediction of a sample."""
        if not len(labels):
            return
        wanted, highest = self.settings.iou_types, int(labels.max())
        if highest >= len(self.classes):
            raise InvalidDataError(
                f"{_named(sample, name)} has label {highest}, but there are {len(self.classes)} classes"
            )
        for kind, value in (("segm", instances.masks), ("keypoints", instances.keypoints)):
            if value is None and kind in (wanted or ()):
                raise InvalidDataError(
                    f"{_named(sample, name)} has no {'masks' if kind == 'segm' else kind}, but iou_types"
                    f" asks for {kind!r}"
                )
        if instances.keypoints is None or "keypoints" not in (wanted or ("keypoints",)):
            return
        points, sigmas = instances.keypoints.shape[1], self.settings.keypoint_sigmas
        if points != (COCO_KEYPOINTS if sigmas is None else len(sigmas)):
            raise InvalidDataError(
                f"{_named(sample, name)} has {points} keypoints. Hint: give evaluators.coco.keypoint_sigmas"
                f" that many values, not {COCO_KEYPOINTS if sigmas is None else len(sigmas)}"
            )

    def state(self) -> dict[str, ImageRecord]:
        """Boxes, scores and run-length codes of all images so far, by the sample's id."""
        self._take_draw()
        return dict(self._images)

    def merge(self, states: Sequence[dict[str, ImageRecord]]) -> None:
        """Replace the state with the union of ``states``."""
        self.reset()
        for state in states:
            self._images |= state

    def merge_repeated(self, states: Sequence[dict[str, ImageRecord]], times: Sequence[int]) -> None:
        """Replace the state with ``states``, each repeated the given number of times as separate images; the
        report then has what differs between draws, the metrics.
        """
        self.reset()
        if self._drawn_from is None or not self._drawn_from.are_of(states):
            self._drawn_from = DrawnImages(states, self._order)
        self._times = self._drawn_from.times(times)

    def _take_draw(self) -> None:
        """Put the images of a draw, with their copies, among those that were added one by one."""
        if self._times is None:
            return
        assert self._drawn_from is not None
        for sample_id, record, count in zip(
            self._drawn_from.ids, self._drawn_from.images, self._times.tolist(), strict=True
        ):
            self._images |= {f"{sample_id}{_COPY}{i}": record for i in range(count)}
        self._times = None

    def report(self) -> Report:
        """The metrics so far."""
        if self._times is not None and self._drawn_from is not None:
            groups = self._slices.positions(self._drawn_from.ids)
            parts = draw_figures(self._drawn_from, self._times, self.settings, self.classes, groups)
            return coco_report(parts, self.classes, (), (), {})
        in_order = sorted(
            self._images, key=lambda key: (self._order.get(key.partition(_COPY)[0], len(self._order)), key)
        )
        images = [self._images[sample_id] for sample_id in in_order]
        kinds = list(self.settings.iou_types or kinds_of(images))
        together = Images(images)
        return self._report(
            {kind: together.pair(kind, self.classes) for kind in kinds},
            list(zip(in_order, images, strict=True)),
            list(enumerate(self.classes, start=1)),
            together.densities(),
        )

    def report_document(
        self, document: dict[str, Any], results: Sequence[Mapping[str, Any]], category_ids: Sequence[int]
    ) -> Report:
        """Evaluate a COCO results file against a COCO document, in the files' own precision, without
        ``update``.

        As in pycocotools, the area of a detection is that of its box if the first result has one.

        Args:
            document: see ``CocoNumbered.coco_document``.
            results: checked by ``toolkit.formats.coco_results``.
            category_ids: the document's id of each class.
        """
        truth = hotcoco.COCO(document)
        detections = load_results(truth, results)
        kinds: list[IoUType] = ["bbox"]
        keys: dict[IoUType, str] = {"segm": "segmentation", "keypoints": "keypoints"}
        for kind, key in keys.items():
            given = all(key in entry for entry in results)
            if not given and kind in (self.settings.iou_types or ()):
                raise InvalidDataError(f"not every result has {key!r}, but iou_types asks for {kind!r}")
            annotated = bool(document["annotations"]) and all(
                key in entry for entry in document["annotations"]
            )
            kinds += [kind] if given and annotated else []
        kinds = list(self.settings.iou_types or kinds)
        categories = list(zip(category_ids, self.classes, strict=True))
        densities = document_densities(document["annotations"], results)
        pairs = dict.fromkeys(kinds, (truth, detections))
        names = {image["id"]: str(image.get("file_name") or image["id"]) for image in document["images"]}
        wanted = self.settings.diagnosis or self.settings.boundary
        found = document_images(truth, document, results, category_ids, with_entries=wanted)
        images = [(names[image], each) for image, each in found.items()]
        return self._report(pairs, images, categories, densities)

    def _report(
        self,
        pairs: Mapping[IoUType, tuple[hotcoco.COCO, hotcoco.COCO]],
        images: Sequence[tuple[str, ComparedImage]],
        categories: Sequence[tuple[int, str]],
        densities: Densities,
    ) -> Report:
        limits, sigmas = self.settings.max_detections, self.settings.keypoint_sigmas
        parts = [
            figures(*pair, kind, categories, max_detections=limits, sigmas=sigmas)
            for kind, pair in pairs.items()
        ]
        first = next(iter(parts[0].per_class.values()))
        if self.settings.boundary and "segm" in pairs:
            matches = [image.matches("boundary", limits) for _, image in images]
            table = match_table(matches, overlap_parameters(limits))
            parts.append(table_figures("boundary", table, categories, max_detections=limits))
        parts += [
            self._diagnosis(kind, images) for kind in pairs if self.settings.diagnosis and kind in DIAGNOSED
        ]
        ids = [name.partition(_COPY)[0] for name, _ in images]
        groups = self._slices.positions(ids)
        for kind, pair in pairs.items():
            numbers = sorted(pair[0].get_img_ids()) if groups else []
            for group, positions in groups.items():
                some = figures(
                    *pair,
                    kind,
                    categories,
                    max_detections=limits,
                    sigmas=sigmas,
                    image_ids=[numbers[position] for position in positions],
                )
                parts.append(sliced(some, group))
        absent = [name for name, value in zip(self.classes, first, strict=True) if np.isnan(value)]
        notes = []
        if self.settings.boundary and "segm" not in pairs:
            notes.append(
                "Boundary metrics were left out, because they need masks in both truth and predictions."
            )
        if not images:
            notes.append("No samples were evaluated, so all metrics are undefined.")
        elif absent:
            notes.append(
                f"{len(absent)} of {len(self.classes)} classes ({', '.join(absent)}) have no objects and are"
                " left out of the means."
            )
        notes += limit_notes(densities, pairs, limits)
        counts = {group: len(positions) for group, positions in groups.items()}
        return coco_report(parts, self.classes, ids, [*notes, *slices_in_words(counts)], counts)

    def _diagnosis(self, kind: IoUType, images: Sequence[tuple[str, ComparedImage]]) -> Figures:
        thresholds = self.settings.thresholds()
        judged = [image.judged(kind, thresholds) for _, image in images]
        return diagnose(judged, kind, self.classes, thresholds, self.settings.calibration_bins)


def _named(sample: Sample, part: str = "") -> str:
    named = f"sample {sample.id!r}" + (f" ({sample.path})" if sample.path else "")
    return f"the {part} of {named}" if part else named


def build(settings: CocoSettings, classes: Sequence[str]) -> Coco:
    """Build the evaluator; named in its manifest."""
    return Coco(settings, classes)

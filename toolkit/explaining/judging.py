"""Scores of an explanation: is the map better than chance, does it point at the object, and does it depend on
what the model has learned?
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from toolkit.errors import UsageError
from toolkit.explaining.black_box import prediction_score
from toolkit.explaining.deletion import Curve, DeletionGame, DeletionOptions, Faithfulness
from toolkit.explaining.front import Explainer
from toolkit.explaining.pointing import Pointing, point, truth_for
from toolkit.explaining.prediction_intervals import of_proportion
from toolkit.explaining.sanity import SanityCheck, check_sanity
from toolkit.explaining.subject import Subject
from toolkit.explaining.types import Explanation
from toolkit.models.contract import Model
from toolkit.types import Sample, Target
from toolkit.wording import counted


@dataclass(frozen=True)
class JudgeOptions:
    """Which scores are computed.

    Attributes:
        draws: random maps that a map is compared with in deletion and insertion; 0 leaves these out.
        check: whether to compare with the map of a model with random weights.

    Raises:
        UsageError: when there is a single draw, whose interval would be infinite.
    """

    draws: int = 10
    check: bool = False

    def __post_init__(self) -> None:
        if self.draws < 0 or self.draws == 1:
            raise UsageError(
                f"draws must be 0 or at least 2, not {self.draws}. Hint: an interval needs several draws; 0"
                " computes no scores"
            )


@dataclass(frozen=True)
class Judgment:
    """The scores of one map.

    Attributes:
        faithfulness: deletion and insertion, or None if they were not computed.
        pointing: the pointing game, or None if the truth about the target is not known.
        sanity: the check of randomized weights, or None if it was not made.
    """

    faithfulness: Faithfulness | None = None
    pointing: Pointing | None = None
    sanity: SanityCheck | None = None

    def warnings(self) -> list[str]:
        """What speaks against the map, in a few words each; nothing if all is well."""
        words = []
        if self.faithfulness is not None and not (
            self.faithfulness.deletes_better or self.faithfulness.inserts_better
        ):
            words.append(self.faithfulness.verdict)
        if self.sanity is not None and not self.sanity.passed:
            words.append("does not show what was learned")
        return words

    def words(self) -> list[str]:
        """The results in a few words each, for titles: the verdict, where the map points if there is truth,
        and the rank correlation with the map of random weights.
        """
        words = [] if self.faithfulness is None else [self.faithfulness.verdict]
        if self.pointing is not None:
            words.append("points at the object" if self.pointing.hit else "points beside the object")
        if self.sanity is not None:
            how = "another" if self.sanity.passed else "a related"
            words.append(f"random weights give {how} map ({self.sanity.correlation:.2f})")
        return words

    def document(self) -> dict[str, Any]:
        """The scores as plain values, without those that were not computed."""
        found: dict[str, Any] = {}
        if self.faithfulness is not None:
            found["faithfulness"] = _faithfulness(self.faithfulness)
        if self.pointing is not None:
            found["pointing"] = asdict(self.pointing)
        if self.sanity is not None:
            stages = [asdict(stage) for stage in self.sanity.stages]
            found["random_weights"] = {
                "correlation": self.sanity.correlation,
                "passed": self.sanity.passed,
                "stages": stages,
            }
        return found


class Judge:
    """Scores the maps of an explainer.

    Args:
        explainer: what made the maps.
        options: which scores are computed.
        truth_classes: the classes of the truth in the samples; None if they have none.
    """

    def __init__(
        self,
        explainer: Explainer,
        options: JudgeOptions | None = None,
        truth_classes: Sequence[str] | None = None,
    ) -> None:
        self.explainer, self.options = explainer, options or JudgeOptions()
        self.truth_classes = truth_classes

    def judge(self, sample: Sample, explanation: Explanation) -> Judgment:
        """The scores of the map of a sample."""
        return Judgment(
            self._faithfulness(sample, explanation),
            self._pointing(sample, explanation),
            self._sanity(sample, explanation),
        )

    def _faithfulness(self, sample: Sample, explanation: Explanation) -> Faithfulness | None:
        if not self.options.draws:
            return None
        effort, predictor = self.explainer.effort, self.explainer.predictor
        options = DeletionOptions(draws=self.options.draws, batch_size=effort.batch_size, seed=effort.seed)
        with predictor.computing():
            score = prediction_score(predictor.model, sample, explanation.target)
            return DeletionGame(score, sample.image, options).judge(explanation.map)

    def _pointing(self, sample: Sample, explanation: Explanation) -> Pointing | None:
        if self.truth_classes is None:
            return None
        target = _in_classes(explanation.target, self.explainer.predictor.classes, self.truth_classes)
        truth = None if target is None else truth_for(target, sample, self.truth_classes)
        return None if truth is None else point(explanation.map, truth)

    def _sanity(self, sample: Sample, explanation: Explanation) -> SanityCheck | None:
        if not self.options.check:
            return None
        effort = self.explainer.effort
        if "masks" in explanation.figures:
            # a random map never becomes stable, so it gets as many masks as the original
            effort = replace(effort, masks=int(explanation.figures["masks"]))

        def explain(model: Model) -> Tensor:
            subject = Subject(model, sample, explanation.target, explanation.layer, effort)
            values = self.explainer.compute(subject).values.detach().float().cpu()
            return torch.nan_to_num(values, 0.0, 0.0, 0.0)

        model = self.explainer.predictor.model
        return check_sanity(model, explain, seed=effort.seed, original=explanation.map)


def _in_classes(target: Target, classes: Sequence[str], others: Sequence[str]) -> Target | None:
    """The target with the index that its class has among other classes; None if they do not have it."""
    if target.label is None or target.kind == "prompt":
        return target
    name = classes[target.label]
    return replace(target, label=others.index(name)) if name in others else None


def _faithfulness(found: Faithfulness) -> dict[str, Any]:
    chance = found.chance
    return {
        "verdict": found.verdict,
        "deletion": _curve(found.deletion) | {"center": asdict(chance.center_deletion)},
        "insertion": _curve(found.insertion) | {"center": asdict(chance.center_insertion)},
        "random": asdict(chance.random),
        "draws": chance.draws,
    }


def _curve(curve: Curve) -> dict[str, Any]:
    rounded = [round(value, 6) for value in curve.fractions], [round(value, 6) for value in curve.scores]
    return {"area": curve.area, "fractions": rounded[0], "scores": rounded[1]}


def summary(judgments: Sequence[Judgment]) -> dict[str, Any]:
    """Counts and means over all maps, without those that were not computed."""
    found: dict[str, Any] = {}
    faithful = [each.faithfulness for each in judgments if each.faithfulness is not None]
    pointing = [each.pointing for each in judgments if each.pointing is not None]
    sanity = [each.sanity for each in judgments if each.sanity is not None]
    if faithful:
        found["maps"] = len(faithful)
        found["deletion_better"] = sum(each.deletes_better for each in faithful)
        found["insertion_better"] = sum(each.inserts_better for each in faithful)
        found["deletion"] = _mean([each.deletion.area for each in faithful])
        found["insertion"] = _mean([each.insertion.area for each in faithful])
        found["random"] = _mean([each.chance.random.mean for each in faithful])
    if pointing:
        found["pointing"] = {"games": len(pointing), "hits": sum(each.hit for each in pointing)}
    if sanity:
        found["random_weights"] = {
            "maps": len(sanity),
            "passed": sum(each.passed for each in sanity),
            "correlation": _mean([abs(each.correlation) for each in sanity]),
        }
    return found


def summary_words(found: Mapping[str, Any]) -> list[str]:
    """What ``summary`` returned, in sentences."""
    words = []
    if "maps" in found:
        words.append(
            f"better than chance: {found['deletion_better']} of {counted(found['maps'], 'map')} by deletion,"
            f" {found['insertion_better']} by insertion"
        )
    if "pointing" in found:
        games = found["pointing"]
        share = of_proportion(games["hits"], games["games"])
        words.append(
            f"pointing game: {games['hits']} of {counted(games['games'], 'map')} point at the object"
            f" ({share.mean:.2f}, 95 % interval {share.low:.2f} to {share.high:.2f})"
        )
    if "random_weights" in found:
        check = found["random_weights"]
        words.append(
            f"random weights: {check['passed']} of {counted(check['maps'], 'map')} changed; mean absolute"
            f" rank correlation {check['correlation']:.2f}"
        )
    return words


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)

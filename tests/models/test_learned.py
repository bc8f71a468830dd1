"""Models from random weights are not asked what their training never showed them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from toolkit.errors import UsageError
from toolkit.evaluation.objects import Objects, ObjectsSettings
from toolkit.evaluation.protocols import plan_measurements
from toolkit.inference.interactive import Session
from toolkit.inference.predictor import Predictor
from toolkit.models.capabilities import MaskPromptable, Trackable
from toolkit.models.learned import check_tracking_learned, prompts_not_learned
from toolkit.models.promptable import PromptableModel
from toolkit.models.prompted import prompted
from toolkit.types import Instances, Masks, Prompts, Sample


class Answers(PromptableModel, MaskPromptable):
    """Answers everything with nothing."""

    def __init__(self, *untrained: str) -> None:
        super().__init__(["x"])
        self.untrained_prompts = untrained

    def encode(self, samples: Sequence[Sample]) -> list[Any]:
        return [sample.size for sample in samples]

    def answer(self, encoded: Any, prompts: Prompts) -> Instances:
        masks = Masks.from_dense(torch.zeros(len(prompts), *encoded))
        zeros = torch.zeros(len(prompts), dtype=torch.int64)
        return Instances(encoded, masks.boxes_xyxy(), zeros, masks, torch.ones(len(prompts)))

    def answer_logits(self, encoded: Any, prompts: Prompts) -> tuple[Instances, Tensor]:
        return self.answer(encoded, prompts), torch.zeros(len(prompts), *encoded)

    def find_all(self, encoded: Any) -> Instances:
        return Instances.empty(encoded, with_masks=True, with_scores=True)

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        raise NotImplementedError


NOTHING = {"name": "none", "license": "none"}
IMAGE = np.zeros((9, 9, 3), np.uint8)


@pytest.mark.parametrize(
    "start", [NOTHING, {"name": "official", "license": "MIT"}, {"name": "runs/a"}, {}, None]
)
@pytest.mark.parametrize("untrained", [(), ("point",), ("box",), ("box", "mask"), ("point", "mask")])
@pytest.mark.parametrize("kind", ["point", "box", "both"])
def test_files_of_prompts(
    tmp_path: Path, start: dict[str, str] | None, untrained: tuple[str, ...], kind: str
) -> None:
    rows = {
        "point": "image,x,y\na,1,1\n",
        "box": "image,x0,y0,x1,y1\na,1,1,3,3\n",
        "both": "image,x,y,x0,y0,x1,y1\na,1,1,,,,\na,,,1,1,3,3\n",
    }
    path = tmp_path / "p.csv"
    path.write_text(rows[kind])
    asked = {"point", "box"} if kind == "both" else {kind}
    if start is NOTHING and asked & set(untrained):
        with pytest.raises(UsageError, match=r"from random weights and never .* Hint: .*model\.prompts=mix"):
            prompted(Answers(*untrained), str(path), start_weights=start)
    else:
        assert prompted(Answers(*untrained), str(path), start_weights=start).source is not None


def test_everything_is_found_by_points_so_they_must_have_been_learned() -> None:
    model = prompted(Answers("point"), "auto", start_weights=NOTHING)
    sample = Sample("a", torch.zeros(3, 9, 9, dtype=torch.uint8))
    for ask in (lambda: model.predict([sample]), lambda: model.expect_images(["a"])):
        with pytest.raises(UsageError, match=r"never with prompts of the kind point.*--prompts FILE"):
            ask()
    for other in (
        prompted(Answers("box"), "auto", start_weights=NOTHING),
        prompted(Answers("point"), "auto"),
    ):
        other.expect_images(["a"])
        assert len(other.predict([sample])) == 1


def test_a_session_can_be_had_and_refuses_what_was_not_learned() -> None:
    about = {"start_weights": NOTHING}
    model = prompted(Answers("point", "mask"), "auto", start_weights=NOTHING)
    session = Session(Predictor(model, device="cpu", about=about), IMAGE)
    assert not session.box(1, 1, 4, 4).any()
    with pytest.raises(UsageError, match="of the kind point"):
        session.point(1, 1)
    with pytest.raises(UsageError, match="of the kind mask"):
        session.mask(np.ones((9, 9), bool))
    assert len(session.instances) == 1
    session = Session(Predictor(Answers("point", "mask"), device="cpu"), IMAGE)
    session.point(1, 1)
    session.mask(np.ones((9, 9), bool))


def test_the_message_names_one_kind_and_is_empty_where_all_is_well() -> None:
    assert "of the kind box, so" in prompts_not_learned(
        Answers("box", "point"), ["point", "box"], NOTHING, "do"
    )
    assert prompts_not_learned(Answers("box"), ["box"], NOTHING, "do this").endswith("Hint: do this")
    assert prompts_not_learned(Answers("box"), ["point"], NOTHING, "") == ""
    assert prompts_not_learned(Answers("box"), [], NOTHING, "") == ""


def test_models_without_parts_for_tracking_alone_can_always_track() -> None:
    class Tracks(Trackable):
        def track(self, frames: Any, prompts: Any) -> Any:
            raise NotImplementedError

    check_tracking_learned(Tracks(), NOTHING, "a run")
    model = Tracks()
    model.only_for_tracking = ("memory",)
    with pytest.raises(UsageError, match=r"^a run was trained from random weights.*\(memory, …\)"):
        check_tracking_learned(model, NOTHING, "a run")


@pytest.mark.parametrize(
    ("untrained", "start", "expected"),
    [
        (("box",), NOTHING, ["box"]),
        (("point",), NOTHING, ["point", "point+2"]),
        (("mask",), NOTHING, []),
        ((), NOTHING, []),
        (("box", "point"), {"name": "official", "license": "MIT"}, []),
        (("box", "point"), None, []),
    ],
)
def test_figures_of_prompts_that_were_not_learned_say_so(
    untrained: tuple[str, ...], start: dict[str, str] | None, expected: list[str]
) -> None:
    evaluator = Objects(ObjectsSettings(), ("x",))
    planned = plan_measurements(Answers(*untrained), [evaluator], start)
    assert [each.protocol for each in planned] == ["box", "point", "point+2"]
    noted = [each.protocol for each in planned if "random answers" in " ".join(each.report().notes)]
    assert noted == expected

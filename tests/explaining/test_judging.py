"""The scores of explanations: in documents, in words, on pictures, and in the folder of a command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import pytest
import torch
from judging_cases import SIZE, Brightness, Whole, explainer, photo

from toolkit.cli import main
from toolkit.data.dataset import Dataset
from toolkit.errors import UsageError
from toolkit.explaining.deletion import BETTER, NOT_BETTER, UNDEFINED
from toolkit.explaining.folder import explain_folder
from toolkit.explaining.judging import Judge, JudgeOptions, Judgment, summary, summary_words
from toolkit.explaining.subject import Effort
from toolkit.explaining.types import Explanation
from toolkit.inference.predictor import Predictor
from toolkit.types import Prediction, Sample, Target

CLASSES = ("bright", "background")
"""Those of the truth, in another order than the model's."""


def truth() -> Sample:
    """The photo, labeled in these classes."""
    sample = photo()
    assert sample.label_map is not None
    return sample.with_(label_map=1 - sample.label_map)


@pytest.fixture(scope="module")
def judged() -> tuple[Explanation, Judgment]:
    chosen = explainer()
    explanation = chosen.explain(truth())
    judge = Judge(chosen, JudgeOptions(draws=6, check=True), CLASSES)
    return explanation, judge.judge(truth(), explanation)


def map_of(values: torch.Tensor) -> Explanation:
    label_map = photo().label_map
    assert label_map is not None
    return Explanation("photo", "drise", Target("class", 1, label_map == 1), None, values, 1.0)


def test_a_true_map_passes_all(judged: tuple[Explanation, Judgment]) -> None:
    _, found = judged
    assert found.faithfulness is not None
    assert found.faithfulness.verdict == BETTER
    assert found.pointing is not None
    assert found.pointing.hit
    assert found.pointing.energy > 0.5
    assert found.sanity is not None
    assert found.sanity.passed
    assert found.warnings() == []
    assert found.words()[:2] == [BETTER, "points at the object"]
    assert found.words()[2].startswith("random weights give another map (")


def test_what_the_document_says(judged: tuple[Explanation, Judgment]) -> None:
    document = json.loads(json.dumps(judged[1].document()))
    assert {*document} == {"faithfulness", "pointing", "random_weights"}
    faithful = document["faithfulness"]
    assert faithful["verdict"] == BETTER
    assert faithful["deletion"]["area"] < faithful["random"]["low"]
    assert faithful["draws"] == 6
    assert faithful["deletion"]["fractions"][0] == 0
    assert len(faithful["deletion"]["scores"]) == len(faithful["deletion"]["fractions"])
    assert document["random_weights"]["passed"] is True
    assert document["pointing"] == {"hit": True, "energy": judged[1].pointing.energy}


def test_a_map_that_knows_nothing_is_marked() -> None:
    judge = Judge(explainer(), JudgeOptions(draws=6), CLASSES)
    corner = torch.zeros(SIZE)
    corner[-4:, :4] = 1
    found = judge.judge(truth(), map_of(corner))
    assert found.warnings() == [NOT_BETTER]
    assert found.words() == [NOT_BETTER, "points beside the object"]
    assert found.sanity is None
    plain = Judge(explainer(), JudgeOptions(draws=0)).judge(truth(), map_of(corner))
    assert plain.document() == {}
    assert plain.words() == plain.warnings() == []


def test_the_model_is_not_changed_by_the_check() -> None:
    model = Brightness()
    before = model.weights.weight.clone()
    chosen = explainer(model)
    Judge(chosen, JudgeOptions(draws=0, check=True)).judge(truth(), chosen.explain(truth()))
    assert torch.equal(before, model.weights.weight)


def test_a_model_that_does_not_look_has_no_verdict() -> None:
    model = Whole()
    sample = photo().with_(image=torch.full((3, *SIZE), 90, dtype=torch.uint8), label_map=None)
    chosen = explainer(model)
    found = Judge(chosen, JudgeOptions(draws=2)).judge(sample, chosen.explain(sample))
    assert found.warnings() == [UNDEFINED]


def test_a_class_that_the_truth_does_not_have_is_no_game() -> None:
    judge = Judge(explainer(), JudgeOptions(draws=0), ("sky", "sea"))
    assert judge.judge(truth(), map_of(torch.rand(SIZE))).pointing is None


def test_one_draw_has_no_interval() -> None:
    with pytest.raises(UsageError, match="draws must be 0 or at least 2, not 1"):
        JudgeOptions(draws=1)


def test_summary_counts_what_was_computed(judged: tuple[Explanation, Judgment]) -> None:
    found = summary([judged[1], judged[1], Judgment()])
    assert found["maps"] == found["deletion_better"] == found["insertion_better"] == 2
    assert found["pointing"] == {"games": 2, "hits": 2}
    assert found["random_weights"]["passed"] == 2
    words = summary_words(found)
    assert words[0] == "better than chance: 2 of 2 maps by deletion, 2 by insertion"
    assert words[1].startswith("pointing game: 2 of 2 maps point at the object (1.00, 95 % interval 0.34")
    assert words[2].startswith("random weights: 2 of 2 maps changed; mean absolute rank correlation 0.")
    assert summary([Judgment()]) == {}
    assert summary_words({}) == []


class Photos(Dataset):
    def __init__(self) -> None:
        self.classes, self.palette, self.ids = CLASSES, None, ["a", "in/b", "empty"]

    def __getitem__(self, index: int) -> Sample:
        sample = truth().with_(id=self.ids[index])
        return sample if index < 2 else sample.with_(image=torch.zeros((3, *SIZE), dtype=torch.uint8))


def test_a_folder_of_explanations_of_a_dataset(tmp_path: Path) -> None:
    explained = explain_folder(
        Predictor(Brightness(), device="cpu"),
        (),
        tmp_path / "out",
        method="drise",
        class_name="bright",
        effort=Effort(masks=200, batch_size=16),
        scores=JudgeOptions(draws=4, check=True),
        data=Photos(),
        progress=False,
    )
    document = json.loads((tmp_path / "out" / "explanations.json").read_text())
    first, second, empty = document["images"]
    assert first["scores"]["faithfulness"]["verdict"] == BETTER
    assert first["scores"]["pointing"]["hit"] is True
    # nothing is found where something is
    assert empty["scores"]["pointing"] == {"hit": False, "energy": None}
    assert empty["scores"]["faithfulness"]["verdict"] == UNDEFINED
    assert document["summary"]["maps"] == 3
    assert document["summary"]["pointing"] == {"games": 3, "hits": 2}
    assert any(note.startswith("pointing game: 2 of 3") for note in explained.notes)
    assert (tmp_path / "out" / second["outputs"]["overlay"]).is_file()
    good, bad = (cv2.imread(str(tmp_path / "out" / each["outputs"]["overlay"])) for each in (first, empty))
    # the caption of a map that says nothing is a red box with white letters on the black photo
    assert int((bad[..., 2].astype(int) - bad[..., 1] > 100).sum()) > 20
    assert int((good[..., 2].astype(int) - good[..., 1] > 150).sum()) == 0


def test_a_limit(tmp_path: Path) -> None:
    explained = explain_folder(
        Predictor(Brightness(), device="cpu"),
        (),
        tmp_path / "out",
        method="drise",
        effort=Effort(masks=20),
        scores=JudgeOptions(draws=0),
        data=Photos(),
        limit=1,
        progress=False,
    )
    assert [entry["image"] for entry in explained.entries] == ["a"]
    assert {*explained.entries[0]["scores"]} == {"pointing"}


class Hungry(Brightness):
    """Needs more memory than there is for more than ``most`` photos."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        # the first prediction, of which the target is made, is not of masked photos
        if self.batches and len(samples) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB")
        return super().predict(samples)


@pytest.mark.parametrize(("most", "status"), [(3, "ok"), (0, "failed")])
def test_memory_that_runs_out(tmp_path: Path, most: int, status: str) -> None:
    explain_folder(
        Predictor(Hungry(most), device="cpu"),
        (),
        tmp_path / "out",
        method="drise",
        effort=Effort(masks=20, batch_size=8),
        scores=JudgeOptions(draws=2),
        data=Photos(),
        limit=1,
        progress=False,
    )
    (entry,) = json.loads((tmp_path / "out" / "explanations.json").read_text())["images"]
    assert entry["status"] == status
    if status == "failed":
        assert "memory ran out at 48 × 32 pixels. Hint: scale the image down" in entry["error"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run"], "there is nothing to explain. Hint: give images or folders, or --data NAME"),
        (["run", "a.jpg", "--data", "shapes"], "--data shapes and by a.jpg"),
        (["run", "a.jpg", "--split", "val"], "--split needs a dataset"),
        (["run", "a.jpg", "--activations", "x", "--check"], "so --check has no effect"),
    ],
)
def test_options_that_do_not_go_together(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())

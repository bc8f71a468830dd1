"""Each check of a dataset finds the faults that are planted for it, and finds nothing where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.testing import DATASET_CHECKS, DatasetCase, run_checks

FAULTY = Path(__file__).resolve().parents[1] / "support" / "faulty_dataset.py"
BY_NAME = {check.__name__: check for check in DATASET_CHECKS}
PLANTED = [
    ("splits_open", "classes", r"split 'val' has classes \('ground', 'thing', 'more'\), but 'train' has"),
    ("ids_are_unique", "ids_are_unique", r"split 'train' has the ids \['train-c'\] more than once"),
    ("ids_are_unique", "other id", r"sample 0 of split 'train' has the id 'x', but ids\[0\] is 'train-a'"),
    (
        "samples_are_valid",
        "no instances",
        r"tasks has 'instance', but sample 'train-a' of split 'train' has no instances",
    ),
    (
        "samples_are_valid",
        "label beyond",
        r"label map of sample 'train-a' .* has values such as \[2\], but there are 2 classes",
    ),
    ("samples_are_valid", "object beyond", "an object of sample 'train-a' .* has label 5 of 2 classes"),
    ("samples_are_valid", "box outside", "a box of sample 'train-a' .* lies outside the image of 9×8 pixels"),
    ("same_sample_each_time", "chance", "sample 'train-a' .* changes from one reading to the next"),
    ("same_sample_each_time", "another image", "the image of sample 'train-a' .* is another one when it is"),
    ("same_sample_each_time", "new each time", "has different ids when it is opened again"),
    (
        "same_in_another_process",
        "hash order",
        "split 'train' has different ids in another process. Hint: sort them",
    ),
    ("same_in_another_process", "hash", r"fingerprint\(\) of split 'train' is different in another process"),
    (
        "same_in_another_process",
        "other in each process",
        "samples of split 'train' are different in another process",
    ),
    (
        "same_in_another_process",
        "not to be sent",
        "split 'train' cannot be sent to loader processes: .*lambda",
    ),
    (
        "splits_are_disjoint",
        "splits_are_disjoint",
        "the image 'val-a' of split 'val' is also in split 'train', as 'train-a'",
    ),
    (
        "ends_where_it_ends",
        "ends_where_it_ends",
        "has 4 samples, but returns one at index 4. Hint: raise IndexError",
    ),
    (
        "an_empty_folder_is_explained",
        "an_empty_folder_is_explained",
        "an empty folder raises FileNotFoundError: .*faulty_dataset.py, line",
    ),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "seed").write_text("1")
    return tmp_path


def test_a_dataset_without_faults_passes_all(folder: Path) -> None:
    results = list(run_checks(DATASET_CHECKS, DatasetCase(str(FAULTY), folder)))
    assert [(result.name, result.state, result.message) for result in results] == [
        (name, "passed", "") for name in BY_NAME
    ]


@pytest.mark.parametrize(("check", "fault", "message"), PLANTED)
def test_each_fault_is_found_by_its_check(folder: Path, check: str, fault: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        BY_NAME[check](DatasetCase(str(FAULTY), folder, {"faults": [fault]}))


def test_every_check_is_tried_with_a_fault() -> None:
    others = {
        "manifest_holds",
        "settings_are_documented",
        "manifest_tells_where_from",
    }  # the first two are those of every plugin
    assert {check for check, _, _ in PLANTED} | others == set(BY_NAME)


def test_a_manifest_without_license_or_layout_is_found(tmp_path: Path) -> None:
    text = FAULTY.read_text(encoding="utf-8")
    for i, (old, message) in enumerate(
        [
            ('    license="none needed",\n', "license is empty"),
            ('    layout="a file called seed",\n', "layout is empty"),
        ]
    ):
        (tmp_path / f"poor{i}.py").write_text(
            text.replace(old, "").replace("faulty-files", f"poor{i}"), encoding="utf-8"
        )
        with pytest.raises(AssertionError, match=message):
            BY_NAME["manifest_tells_where_from"](DatasetCase(str(tmp_path / f"poor{i}.py"), tmp_path))


def test_an_image_of_one_id_may_not_be_in_two_splits(folder: Path) -> None:
    """Beyond the samples that are compared as a whole, those of the same id are."""
    case = DatasetCase(str(FAULTY), folder, {"faults": ["splits_are_disjoint"]}, limit=1)
    for dataset in case.splits.values():
        dataset.ids = ["first of " + dataset.split, "same"]  # type: ignore[attr-defined]
    case.splits["val"].__class__ = type(
        "Shifted", (type(case.splits["val"]),), {"__getitem__": _shifted}
    )  # the first is another image
    with pytest.raises(
        AssertionError, match="splits 'train' and 'val' share 1 ids, and 'same' is the same image in both"
    ):
        BY_NAME["splits_are_disjoint"](case)


def _shifted(self: object, index: int) -> object:
    import toolkit

    sample = super(type(self), self).__getitem__(index)  # type: ignore[misc]
    assert isinstance(sample, toolkit.Sample)
    return sample if index else sample.with_(image=255 - sample.image)

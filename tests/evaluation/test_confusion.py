from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix as sklearn_matrix

from toolkit.errors import InvalidDataError
from toolkit.evaluation.confusion import confusion_matrix
from toolkit.types import VOID


def test_counts_rows_as_truth_and_columns_as_prediction() -> None:
    truth = torch.tensor([[0, 0, 1], [1, VOID, VOID]], dtype=torch.uint8)
    prediction = torch.tensor([[0, 1, 1], [VOID, 0, VOID]], dtype=torch.uint8)
    matrix = confusion_matrix(truth, prediction, 2)
    assert matrix.dtype == np.int64
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 1], [1, 0, 1]]


def test_equals_scikit_learn_on_thousands_of_small_cases() -> None:
    rng = np.random.default_rng(0)
    for _ in range(2000):
        classes, height, width = (int(n) for n in rng.integers((1, 1, 1), (8, 7, 7)))
        values = np.array([*range(classes), VOID], dtype=np.uint8)
        truth, prediction = rng.choice(values, (2, height, width))
        expected = sklearn_matrix(truth.ravel(), prediction.ravel(), labels=values)
        assert np.array_equal(confusion_matrix(truth, prediction, classes), expected)


@pytest.mark.parametrize("classes", [1, 2, 128, 254, 255])
def test_any_number_of_classes(classes: int) -> None:
    rng = np.random.default_rng(classes)
    values = np.array([*range(classes), VOID], dtype=np.uint8)
    truth, prediction = rng.choice(values, (2, 120, 130))
    assert np.array_equal(
        confusion_matrix(truth, prediction, classes),
        sklearn_matrix(truth.ravel(), prediction.ravel(), labels=values),
    )


@pytest.mark.parametrize("shape", [(4100, 4100), (1, 16_800_004), (16_800_004, 1)])
def test_counts_stay_exact_beyond_what_float32_holds(shape: tuple[int, int]) -> None:
    """OpenCV's counts are float32, which has only every second whole number above 2**24; the count here is an
    odd one.
    """
    truth, prediction = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    truth[-1, -1] = 1
    pixels = shape[0] * shape[1]
    assert pixels - 1 > 2**24
    assert (pixels - 1) % 2 == 1
    assert confusion_matrix(truth, prediction, 2).tolist() == [[pixels - 1, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_views_and_empty_maps() -> None:
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 3, (2, 40, 60), dtype=np.uint8)
    view = confusion_matrix(torch.from_numpy(truth)[::2, 5:].T, torch.from_numpy(prediction)[::2, 5:].T, 3)
    assert np.array_equal(view, confusion_matrix(truth[::2, 5:].copy(), prediction[::2, 5:].copy(), 3))
    assert confusion_matrix(truth[:0], prediction[:0], 3).sum() == 0


@pytest.mark.parametrize("name", ["truth", "prediction"])
def test_a_value_beyond_the_classes_is_named(name: str) -> None:
    maps = {"truth": np.zeros((4, 4), np.uint8), "prediction": np.zeros((4, 4), np.uint8)}
    maps[name][1, :3] = 7
    with pytest.raises(
        InvalidDataError,
        match=f"the {name} has value 7 in 3 pixels, but there are 5 classes: values are 0 … 4",
    ):
        confusion_matrix(maps["truth"], maps["prediction"], 5)
    maps[name][2, 2] = 254
    with pytest.raises(InvalidDataError, match=r"value 7 in 3 pixels \(and 1 other"):
        confusion_matrix(maps["truth"], maps["prediction"], 5)


@pytest.mark.parametrize(
    ("truth", "prediction", "classes", "message"),
    [
        (np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), 2, r"differ in size: \[2, 3\] and \[3, 2\]"),
        (
            np.zeros((2, 3), np.int64),
            np.zeros((2, 3), np.uint8),
            2,
            r"truth must be uint8 \[H, W\], not int64",
        ),
        (np.zeros((2, 3), np.uint8), np.zeros((1, 2, 3), np.uint8), 2, r"prediction must be uint8 \[H, W\]"),
        (np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.uint8), 256, "num_classes must be 1 … 255, not 256"),
        (np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.uint8), 0, "num_classes"),
    ],
)
def test_what_does_not_fit_is_refused(
    truth: np.ndarray, prediction: np.ndarray, classes: int, message: str
) -> None:
    with pytest.raises(InvalidDataError, match=message):
        confusion_matrix(truth, prediction, classes)

from __future__ import annotations

import pytest

from toolkit.data.keypoint_pairs import pairs_by_name
from toolkit.errors import ConfigError

PERSON = [
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee"),
    *("right_knee", "left_ankle", "right_ankle"),
]


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (PERSON, [(i, i + 1) for i in range(1, 17, 2)]),
        (["Left Wing", "beak", "Right Wing"], [(0, 2)]),
        (["LEye", "REye", "LMouthCorner", "RMouthCorner", "Nose"], [(0, 1), (2, 3)]),
        (["leftPaw", "rightPaw", "pawBackLeft", "pawBackRight"], [(0, 1), (2, 3)]),
        (["R_KNEE", "L_KNEE", "l.hip", "r.hip", "withers"], [(0, 1), (2, 3)]),
        (["ear-left", "lefthand", "righthand", "ear-right"], [(0, 3), (1, 2)]),
        (["p1_l", "p2_l", "p1_r", "p2_r"], [(0, 2), (1, 3)]),
        ([], []),
    ],
)
def test_sides_are_read_from_names(names: list[str], pairs: list[tuple[int, int]]) -> None:
    assert list(pairs_by_name(names)) == pairs


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b"], r"none of the keypoints \(a, b\) is named as left or right"),
        (["bright spot", "cleft"], "none of the keypoints"),
        (["left eye", "right ear"], "keypoint 'left eye' is on one side, and none of the others"),
        (["left eye", "right eye", "LeftEye"], "keypoint 'left eye' is on one side, and 1 of the others"),
        (["left eye", "right eye", "RightEye"], "keypoint 'left eye' is on one side, and 2 of the others"),
        (["", "left"], "keypoint 'left' is on one side"),
    ],
)
def test_names_that_do_not_tell_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        pairs_by_name(names)
    assert "keypoint_pairs: [[1, 2]]" in str(caught.value)

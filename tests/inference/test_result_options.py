"""What may not differ between results and the command that continues them; see also
``tests/cli/test_infer_resumed.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from toolkit.errors import UsageError
from toolkit.inference.result_options import check_about

NOW = {"precision": "fp32", "window": None, "overlap": 0.25, "draw_above": 0.5}


def check(tmp_path: Path, about: Any, **values: Any) -> None:
    (tmp_path / "about.json").write_text(json.dumps(about))
    check_about(tmp_path / "about.json", **({"label_values": None, "options": NOW} | values))


@pytest.mark.parametrize(
    "about",
    [
        {"options": NOW, "draw_above": 0.5},
        {"options": NOW | {"later": 3}},
        {"options": {"window": None}},
        {"options": None},
        {},
    ],
)
def test_the_same_options_or_unknown_ones_go_on(tmp_path: Path, about: Any) -> None:
    check(tmp_path, about)


def test_nothing_is_known_without_a_file(tmp_path: Path) -> None:
    check_about(tmp_path / "about.json", label_values=None, options=NOW)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        (
            {"options": NOW | {"window": 512}},
            r"made with --window 512; now it is no --window\. Hint: give --window 512 as before, or choose",
        ),
        (
            {"options": NOW | {"window": 512, "overlap": 0.5}},
            r"with --window 512 and --overlap 0\.5; now it is no --window and --overlap 0\.25",
        ),
        ({"draw_above": 0.1}, r"Hint: give --draw-above 0\.1 as before"),
        ({"label_values": {"classes": [1], "void": 0}}, r"label images with other values"),
        ([1], r"contains \[1\]; expected what is known of results"),
    ],
)
def test_other_options_are_refused(tmp_path: Path, about: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check(tmp_path, about)


def test_the_advice_can_be_to_leave_an_option_out(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Hint: leave out --window as before, or choose another --out"):
        check(tmp_path, {"options": NOW}, options=NOW | {"window": 64})


def test_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "about.json").write_text("{")
    with pytest.raises(UsageError, match=r"about\.json.*Hint: choose another --out, or remove the results"):
        check_about(tmp_path / "about.json", label_values=None, options=NOW)

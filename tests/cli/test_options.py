"""Arguments that several commands share."""

from __future__ import annotations

import argparse

import pytest

from toolkit.cli.options import natural, positive


def test_whole_numbers_from_0_and_from_1() -> None:
    assert (natural("0"), natural("12"), positive("1")) == (0, 12, 1)
    for kind, least, wrong in (
        *((natural, 0, text) for text in ("-1", "1.5", "many", "")),
        *((positive, 1, text) for text in ("0", "-3", "1e3", "nan")),
    ):
        with pytest.raises(argparse.ArgumentTypeError) as caught:
            kind(wrong)
        assert str(caught.value) == f"expected a whole number of {least} or more, not {wrong!r}"

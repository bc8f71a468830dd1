"""The collector of cycles is off within and as it was afterwards."""

from __future__ import annotations

import gc

import pytest

from toolkit.reading.memory import uncollected


@pytest.mark.parametrize("is_on", [True, False])
def test_it_is_off_within_and_as_before_afterwards(is_on: bool) -> None:
    was_on = gc.isenabled()
    try:
        (gc.enable if is_on else gc.disable)()
        with uncollected():
            assert not gc.isenabled()
            with uncollected():
                pass
            assert not gc.isenabled()
        assert gc.isenabled() == is_on
        with pytest.raises(KeyError):
            uncollected()(dict[str, int]().__getitem__)("absent")
        assert gc.isenabled() == is_on
    finally:
        (gc.enable if was_on else gc.disable)()

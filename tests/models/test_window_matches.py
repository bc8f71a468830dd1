"""Which objects of two windows are the same: the evidence, one kind at a time."""

from __future__ import annotations

from merging_cases import at

from toolkit.models.window_grid import Window
from toolkit.models.window_matches import matches
from toolkit.models.window_parts import Part, Shown, parts_of
from toolkit.types.pixel_runs import Rectangle, runs_of_box, united

SIZE = (100, 200)
LEFT, RIGHT = at(0, 0, (100, 120), SIZE), at(0, 80, (100, 120), SIZE)
"""Two windows that share the columns 80 to 120."""


def part(window: Window, *boxes: tuple[int, int, int, int], label: int = 0) -> Part:
    """An object of rectangles."""
    return parts_of(0, window, [label], [united([runs_of_box(Rectangle(*box)) for box in boxes])])[0]


def pairs(
    ours: list[Part], theirs: list[Part], windows: tuple[Window, Window] = (LEFT, RIGHT)
) -> set[tuple[int, int]]:
    shown = Shown(windows[0], ours), Shown(windows[1], theirs)
    found = {(i, j) for _, i, j in matches([shown[0]], shown[1])[0]}
    swapped = {(j, i) for _, i, j in matches([shown[1]], shown[0])[0]}
    assert found == swapped
    return found


def test_the_same_shape_within_the_strip_is_the_same_object() -> None:
    ours = [part(LEFT, (10, 20, 30, 120)), part(LEFT, (50, 90, 60, 110))]
    theirs = [part(RIGHT, (50, 90, 60, 110)), part(RIGHT, (11, 80, 31, 190))]
    assert pairs(ours, theirs) == {(0, 1), (1, 0)}
    assert not pairs(ours, [part(RIGHT, (50, 90, 60, 110), label=1)])
    assert not pairs(ours, [])


def test_half_of_the_shape_is_too_little_if_nothing_is_cut() -> None:
    whole = part(LEFT, (10, 85, 30, 95))
    assert not pairs([whole], [part(RIGHT, (10, 84, 71, 95))])
    assert pairs([whole], [part(RIGHT, (10, 85, 48, 95))])


def test_what_a_window_cuts_is_part_of_what_covers_it() -> None:
    prongs = [part(LEFT, (10, 100, 20, 120)), part(LEFT, (60, 100, 70, 120))]
    base = part(RIGHT, (10, 100, 20, 150), (60, 100, 70, 150), (10, 150, 70, 160))
    assert pairs(prongs, [base]) == {(0, 0), (1, 0)}


def test_what_goes_on_directly_beyond_a_cut_is_the_same_object() -> None:
    """The window that shows most of it has it end two pixels too early."""
    sliver = part(LEFT, (10, 118, 40, 120))
    assert pairs([sliver], [part(RIGHT, (12, 120, 38, 180))])
    assert not pairs([sliver], [part(RIGHT, (42, 120, 80, 180))])
    assert not pairs([sliver], [part(RIGHT, (12, 123, 38, 180))])


def test_windows_that_touch_compare_what_faces_each_other() -> None:
    touching = (at(0, 0, (100, 100), SIZE), at(0, 100, (100, 100), SIZE))
    ours = [part(touching[0], (10, 50, 40, 100))]
    assert pairs(ours, [part(touching[1], (12, 100, 44, 130))], touching)
    assert not pairs(ours, [part(touching[1], (12, 100, 20, 130))], touching)
    assert not pairs(ours, [part(touching[1], (10, 101, 40, 130))], touching)
    above = (at(0, 0, (50, 200), SIZE), at(50, 0, (50, 200), SIZE))
    assert pairs([part(above[0], (20, 30, 50, 60))], [part(above[1], (50, 31, 70, 61))], above)


def test_windows_that_only_share_a_corner_say_nothing() -> None:
    corner = (at(0, 0, (50, 50), SIZE), at(50, 50, (50, 50), SIZE))
    assert not pairs([part(corner[0], (0, 0, 50, 50))], [part(corner[1], (50, 50, 100, 100))], corner)
    apart = (at(0, 0, (50, 50), SIZE), at(0, 60, (50, 50), SIZE))
    assert not pairs([part(apart[0], (0, 0, 50, 50))], [part(apart[1], (0, 60, 50, 110))], apart)

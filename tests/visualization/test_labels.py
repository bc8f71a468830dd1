"""The layout of names: whole or shortened at their end, inside the picture, and hidden by no other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from toolkit.types import Instances, Prediction
from toolkit.visualization.drawing import overlay
from toolkit.visualization.labels import (
    ELLIPSIS,
    LEAST_BEGINNING,
    LEAST_LETTERS,
    Box,
    Caption,
    Label,
    Lettering,
    fitting_letters,
    place_labels,
)

NAMES = ("star", "x", "crystalline solid", "Flüssigkeit", "a b c d e f", "traffic light " * 6, "17", "")
SIZES = [
    (1, 1),
    (9, 9),
    (13, 40),
    (32, 32),
    (64, 64),
    (96, 128),
    (64, 300),
    (300, 48),
    (480, 640),
    (20, 2000),
]


def overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def is_form_of(text: str, caption: Caption) -> bool:
    """Whether a text is the whole caption, or one of the forms that keep the beginning of its name."""
    beginning, has_ellipsis, rest = text.partition(ELLIPSIS)
    if not has_ellipsis:
        return text in (caption.text, caption.name)
    score = f" {caption.score}" if caption.score else ""
    is_shorter = 0 < len(beginning) < len(caption.name) and caption.name.startswith(beginning)
    return is_shorter and (rest == "" or (rest == score and len(beginning) >= LEAST_BEGINNING))


def random_captions(rng: np.random.Generator, size: tuple[int, int], count: int) -> list[Caption]:
    """Objects of all extents, also empty, across the border and outside."""
    captions = []
    for _ in range(count):
        x, y = (round(float(v)) for v in rng.uniform(-0.2, 1.1, 2) * size[::-1])
        width, height = (round(float(v)) for v in rng.uniform(0, 1, 2) ** 3 * size[::-1])
        score = f"{rng.uniform():.2f}" if rng.uniform() < 0.7 else ""
        captions.append(Caption(str(rng.choice(NAMES)), score, (x, y, x + width, y + height)))
    return captions


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("count", [1, 4, 25])
def test_labels_are_whole_inside_the_picture_and_hide_no_other(size: tuple[int, int], count: int) -> None:
    rng = np.random.default_rng(size[0] * 10_000 + size[1] + count)
    for letter_height in (fitting_letters(size), 5, 10, 30):
        captions = random_captions(rng, size, count)
        labels = place_labels(captions, size, letter_height)
        assert len(labels) == count
        for caption, label in zip(captions, labels, strict=True):
            if label is None:
                continue
            x0, y0, x1, y1 = label.box
            assert 0 <= x0 < x1 <= size[1]
            assert 0 <= y0 < y1 <= size[0]
            assert is_form_of(label.text, caption), label.text
            assert min(letter_height, LEAST_LETTERS) <= label.lettering.height <= letter_height
            assert (label.width, label.height) == label.lettering.patch(label.text)
        placed = [label.box for label in labels if label is not None]
        assert not any(overlap(a, b) for a, b in itertools.combinations(placed, 2))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_an_object_alone_has_its_name_wherever_a_letter_fits(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    least = Lettering(LEAST_LETTERS)
    for caption in random_captions(rng, size, 60):
        beginning = [caption.name[:1] + ELLIPSIS] if len(caption.name) > 1 else []
        patches = [least.patch(form) for form in (caption.text, caption.name, *beginning) if form]
        fits = any(width <= size[1] and height <= size[0] for width, height in patches)
        label = place_labels([caption], size, fitting_letters(size))[0]
        assert (label is not None) == fits


@pytest.mark.parametrize("height", [5, 8, 9, 10, 12, 17, 24, 40])
@pytest.mark.parametrize("text", ["star 0.97", "gjpqy,;", "ÄÜ|fjf", "W", "traffic light... 1.00"])
def test_letters_stay_on_their_patch(height: int, text: str) -> None:
    lettering = Lettering(height)
    label = Label(text, lettering, 50, 60, *lettering.patch(text))
    for color, ink in (((200, 220, 10), 0), ((20, 10, 60), 255)):
        picture = np.full((200, 900, 3), 7, np.uint8)
        label.draw(picture, color)
        x0, y0, x1, y1 = label.box
        patch = picture[y0:y1, x0:x1].copy()
        picture[y0:y1, x0:x1] = 7
        assert (picture == 7).all()  # nothing is written beside the patch
        assert np.abs(patch.astype(int) - ink).max(axis=2).min() < 100  # there is something on it …
        border = np.concatenate([patch[0], patch[:, 0], patch[:, -1]])
        assert (border == np.array(color)).all()  # … with a margin


def test_what_gives_way_first() -> None:
    caption = Caption("crystalline solid", "0.85", (0, 20, 10, 40))
    small = Lettering(LEAST_LETTERS)
    seen: list[tuple[int, str] | None] = []
    for width in range(400, 0, -1):
        label = place_labels([caption], (60, width), 12)[0]
        form = None if label is None else (label.lettering.height, label.text)
        if form not in seen[-1:]:
            seen.append(form)
    heights = [form[0] for form in seen if form is not None]
    texts = list(dict.fromkeys(form[1] for form in seen if form is not None))
    assert heights[:3] == [12, 10, 8]  # first the letters shrink …
    assert set(heights[3:]) == {8}
    assert texts[0] == "crystalline solid 0.85"
    shortened = [text for text in texts if ELLIPSIS in text and text.endswith(" 0.85")]
    assert texts[1 : 1 + len(shortened)] == shortened  # … then the name, from its end …
    assert {"crystallin... 0.85", "crys... 0.85"} <= set(shortened)
    assert len(shortened) >= 10
    without = texts[1 + len(shortened) :]
    assert all(text.endswith(ELLIPSIS) for text in without)  # … then the score goes
    assert without[-1] == "c..."
    assert seen[-1] is None
    assert place_labels([caption], (60, small.patch("c...")[0]), 12)[0] is not None

    label = place_labels([Caption("star", "0.72", (0, 20, 10, 40))], (32, small.patch("star")[0]), 9)[0]
    assert label is not None
    assert label.text == "star"


def test_names_are_shortened_no_more_than_needed() -> None:
    lettering = Lettering(9)
    for name, room in itertools.product(NAMES, range(0, 120, 7)):
        text = lettering.shortened(name, room)
        if lettering.width(name) <= room:
            assert text == name
            continue
        forms = [name[:n].rstrip() + ELLIPSIS for n in range(len(name) - 1, 0, -1)]
        assert text == next((form for form in forms if lettering.width(form) <= room), "")


def test_names_stand_above_their_boxes_where_there_is_room() -> None:
    box = (50, 40, 90, 80)
    label = place_labels([Caption("star", "0.97", box)], (200, 300), 9)[0]
    assert label is not None
    assert (label.x, label.y + label.height) == box[:2]
    at_the_top = place_labels([Caption("star", "0.97", (50, 0, 70, 20))], (200, 300), 9)[0]
    assert at_the_top is not None
    assert at_the_top.y == 20  # below: inside it would hide the object
    large = place_labels([Caption("star", "0.97", (50, 0, 250, 190))], (200, 300), 9)[0]
    assert large is not None
    assert (large.x, large.y) == (50, 0)


def test_neighbors_make_way_for_the_more_important() -> None:
    box = (100, 100, 140, 140)
    captions = [Caption(name, "0.97", box) for name in ("star", "circle", "triangle", "line")]
    alone = place_labels(captions[:1], (300, 300), 9)[0]
    labels = place_labels(captions, (300, 300), 9)
    assert labels[0] == alone
    assert [label and label.text for label in labels] == [caption.text for caption in captions]
    assert {label and label.lettering.height for label in labels} == {9}
    tight = place_labels(captions, (20, 60), 9)
    assert tight[0] is not None
    assert None in tight


def test_overlays_of_small_pictures_show_each_label_on_a_whole_patch() -> None:
    size, classes, palette = (64, 64), ("star", "crystalline solid"), [(200, 30, 30), (30, 90, 200)]
    boxes = torch.tensor([[58.0, 1.0, 63.0, 9.0], [0.0, 54.0, 9.0, 63.0], [0.0, 56.0, 9.0, 64.0]])
    instances = Instances(size, boxes, torch.tensor([0, 1, 0]), scores=torch.tensor([0.72, 0.9, 0.6]))
    scores = ("0.72", "0.90", "0.60")
    image = torch.full((3, *size), 100, dtype=torch.uint8)
    picture = overlay(image, Prediction("a", size, instances=instances), classes, palette)
    order, captions = [1, 0, 2], []
    for i in order:
        x0, y0, x1, y1 = (int(v) for v in boxes[i].tolist())
        captions.append(Caption(classes[int(instances.labels[i])], scores[i], (x0, y0, x1, y1)))
    labels = place_labels(captions, size, fitting_letters(size))
    assert [label and label.text.split()[-1] for label in labels] == ["0.90", "0.72", "0.60"]
    for i, label in zip(order, labels, strict=True):
        assert label is not None
        x0, y0, x1, y1 = label.box
        patch = picture[y0:y1, x0:x1]
        alone = np.zeros_like(picture)
        label.draw(alone, palette[int(instances.labels[i])])
        np.testing.assert_array_equal(patch, alone[y0:y1, x0:x1])

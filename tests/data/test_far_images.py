from __future__ import annotations

import numpy as np
from look_cases import as_noise, look, scene

from toolkit.data.far_images import far_from_the_rest
from toolkit.data.image_looks import Look


def test_each_kind_is_told_in_words() -> None:
    looks: list[Look | None] = [look(scene(seed)) for seed in range(30)]
    assert far_from_the_rest(looks) == []
    odd = [
        (np.clip(scene(40).astype(int) // 40, 0, 255).astype(np.uint8), "darker: brightness"),
        (scene(39, (600, 20)), "more elongated: aspect ratio 30.00, usually 1.33"),
        (scene(41, (1200, 1600)), "larger: size 1.9 megapixels, usually 0.019 megapixels"),
        (np.repeat(scene(42).mean(2, keepdims=True).astype(np.uint8), 3, 2), "grayer: saturation 0,"),
    ]
    looks += [None, *(look(pixels) for pixels, _ in odd)]
    found = far_from_the_rest(looks)
    assert [place for place, _ in found] == [31, 32, 33, 34]
    for (_, text), (_, words) in zip(found, odd, strict=True):
        assert text.startswith(words), text


def test_portraits_among_landscapes_are_not_odd() -> None:
    looks = [look(scene(seed, (120, 160) if seed else (160, 120))) for seed in range(30)]
    assert far_from_the_rest(looks) == []


def test_a_few_images_have_no_rest() -> None:
    assert far_from_the_rest([look(scene(seed)) for seed in range(18)] + [look(as_noise(1))]) == []
    assert far_from_the_rest([]) == []


def test_where_all_are_the_same_small_differences_do_not_count() -> None:
    looks = [look(np.full((40, 40, 3), 100, np.uint8)) for _ in range(30)]
    assert far_from_the_rest([*looks, look(np.full((40, 40, 3), 120, np.uint8))]) == []
    assert len(far_from_the_rest([*looks, look(np.full((40, 40, 3), 200, np.uint8))])) == 1

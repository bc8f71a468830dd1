"""The brush's code against a loop that reads it bit by bit, and against a recorded code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from toolkit.errors import DataError
from toolkit.formats.brush import decode_brush, decode_values, encode_brush

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=30))


def bits_of(values: list[tuple[int, int]]) -> list[int]:
    """Numbers with their sizes, as bytes."""
    text = "".join(f"{value:0{size}b}" for value, size in values)
    text += "0" * (-len(text) % 8)
    return [int(text[start : start + 8], 2) for start in range(0, len(text), 8)]


def read_bit_by_bit(rle: list[int]) -> list[int]:
    """All values of a code, by the published description."""
    text = "".join(f"{byte:08b}" for byte in rle)
    place = 0

    def read(size: int) -> int:
        nonlocal place
        place += size
        return int(text[place - size : place], 2)

    count, word = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    found: list[int] = []
    while len(found) < count:
        repeats, size = read(1), sizes[read(2)]
        length = read(size) + 1
        found += [read(word)] * length if repeats else [read(word) for _ in range(length)]
    return found


@given(MASKS)
def test_masks_come_back(mask: np.ndarray) -> None:
    rle = encode_brush(mask)
    assert set(rle) <= set(range(256))
    assert (decode_brush(rle, mask.shape, "a") == mask).all()
    assert read_bit_by_bit(rle) == np.repeat(mask.ravel() * 255, 4).tolist()


@given(
    arrays(np.uint8, (5, 7, 4), elements=st.integers(0, 3)),
    st.integers(2, 12),
    st.lists(st.integers(1, 16), min_size=4, max_size=4),
    st.randoms(use_true_random=False),
)
def test_codes_of_other_writers(image: np.ndarray, word: int, sizes: list[int], random: object) -> None:
    """Blocks of different values, such as the soft edges that the page's canvas draws."""
    values, parts, place = image.ravel().tolist(), [(image.size, 32), (word - 1, 5)], 0
    parts += [(size - 1, 4) for size in sizes]
    while place < len(values):
        kind = random.randrange(4)  # type: ignore[attr-defined]
        length = random.randint(1, min(1 << sizes[kind], len(values) - place))  # type: ignore[attr-defined]
        piece = values[place : place + length]
        same = len(set(piece)) == 1
        parts += [(int(same), 1), (kind, 2), (length - 1, sizes[kind])]
        parts += [(value, word) for value in (piece[:1] if same else piece)]
        place += length
    rle = bits_of(parts)
    assert read_bit_by_bit(rle) == values
    assert (decode_brush(rle, (5, 7), "a") == (image[..., 3] > 0)).all()


def test_a_recorded_code() -> None:
    """From the tests of Label Studio's converter."""
    lengths, values = decode_values(
        [0, 0, 0, 18, 57, 27, 252, 96, 32, 1, 0, 6, 0, 40, 0, 192, 3, 128, 17, 56, 32], 18, "a"
    )
    assert np.repeat(values, lengths).tolist() == [1, 1, 1, 1, 2, 3, 5, 6, 7, 8, *[4] * 8]


def test_the_bits_of_a_mask() -> None:
    """As Label Studio's converter writes them, which ends with at least one bit of 0."""
    header = [(24, 32), (7, 5), (2, 4), (3, 4), (7, 4), (15, 4)]
    runs = [(0b100, 3), (3, 3), (0, 8), (0b101, 3), (11, 4), (255, 8), (0b100, 3), (7, 3), (0, 8)]
    mask = np.array([[False, True, True], [True, False, False]])
    assert encode_brush(mask) == [*bits_of(header + runs), 0]


def test_long_runs_are_split() -> None:
    mask = np.zeros((300, 400), bool)
    mask[7, 3] = True
    rle = encode_brush(mask)
    assert len(rle) < 40
    assert (decode_brush(rle, mask.shape, "a") == mask).all()


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        ([], "0 bytes and is cut off"),
        ([0, 0, 0], "cut off"),
        ([300], "whole numbers from 0 to 255"),
        (["a"], "whole numbers from 0 to 255"),
        ([1.5], "whole numbers"),
        (encode_brush(np.ones((2, 4), bool)), "of 32 values, but the image has 24"),
        (encode_brush(np.eye(6, 1, dtype=bool))[:9], "cut off"),
        ([255] * 4 + [0] * 100, "of 4,294,967,295 values"),
        (
            bits_of([(24, 32), (7, 5), *[(15, 4)] * 4, (1, 1), (0, 2), (30, 16), (1, 8)]),
            "more values than it says",
        ),
    ],
)
def test_damaged_codes(rle: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode_brush(rle, (2, 3), "a.json: task 1")


@given(st.binary(max_size=60), st.integers(0, 40))
def test_any_bytes_decode_or_are_refused(data: bytes, cut: int) -> None:
    rle = encode_brush(np.indices((3, 4)).sum(0) % 2 == 1)
    for code in (data, bytes(rle[:7]) + data, bytes(rle[: len(rle) - cut])):
        try:
            mask = decode_brush(code, (3, 4), "a")
        except DataError:
            continue
        assert mask.shape == (3, 4)

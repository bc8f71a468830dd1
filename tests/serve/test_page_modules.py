"""Masks, geometry, brush, outlines and label maps, compared with pycocotools, Pillow and NumPy."""

from __future__ import annotations

import base64
import io
import zlib
from typing import Any

import numpy as np
import pytest
from module_cases import Dense, dense_of, rle_of, run
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask
from support.browser import Browser

SIZES = [(1, 1), (1, 7), (9, 1), (37, 52), (128, 96)]


def fails(module_page: Browser, module: str, expression: str, given: Any = None) -> str:
    """The message of the error that an expression ends with."""
    body = f"try {{ await ({expression}) }} catch (error) {{ return error.message }}"
    found = run(module_page, module, body, given)
    assert found, "no error"
    return str(found)


def generated(seed: int = 0) -> list[Dense]:
    """Masks: empty, full, a corner, a hole, noise, and several parts."""
    rng = np.random.default_rng(seed)
    found = []
    for size in SIZES:
        found += [np.zeros(size, bool), np.ones(size, bool), rng.random(size) < 0.5, rng.random(size) < 0.02]
    ring = np.zeros((60, 90), bool)
    ring[5:50, 10:80] = True
    ring[20:30, 30:50] = False
    ring[55:, 85:] = True
    # longer runs than two bytes can count
    large = np.zeros((700, 900), bool)
    large[:, 200:850] = True
    large[300, 400] = False
    return [*found, ring, large]


def test_masks_are_read_and_written_as_pycocotools_does(module_page: Browser) -> None:
    masks = generated()
    codes = [rle_of(mask) for mask in masks]
    body = """return given.map((rle) => {
      const mask = m.Mask.fromRle(rle);
      const ones = [];
      if (mask.data.length < 20000) mask.data.forEach((value, index) => value && ones.push(index));
      return { again: mask.toRle(), ones, isEmpty: mask.isEmpty(), ...m.measure(rle) };
    });"""
    for mask, code, found in zip(masks, codes, run(module_page, "rle", body, codes), strict=True):
        assert found["again"] == code
        assert found["area"] == mask.sum()
        assert found["isEmpty"] == (not mask.any())
        if mask.size < 20000:
            assert found["ones"] == np.flatnonzero(mask.T.ravel()).tolist()
        if mask.any():
            x, y, width, height = coco_mask.toBbox(coco_mask.encode(np.asfortranarray(mask, np.uint8)))
            assert found["box"] == [x, y, x + width, y + height]
        else:
            assert found["box"] is None


def test_a_pixel_is_found_without_decoding(module_page: Browser) -> None:
    mask = generated()[14]
    height, width = mask.shape
    body = """const runs = m.decodeCounts(given.rle.counts);
    return given.places.map(([x, y]) => m.covers(runs, given.rle.size[0], x, y));"""
    places = [[x, y] for x in range(0, width, 3) for y in range(height)]
    found = run(module_page, "rle", body, {"rle": rle_of(mask), "places": places})
    assert found == [bool(mask[y, x]) for x, y in places]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ("0", "for an image of"),
        ("~~~~", "not a COCO run-length code"),
        ("ä", "not a COCO run-length code"),
        ("oooooooo1", "not a COCO run-length code"),
        ("P", "not a COCO run-length code"),
        ("111A", "negative"),
    ],
)
def test_what_is_no_mask_is_refused(module_page: Browser, counts: str, message: str) -> None:
    found = fails(module_page, "rle", "m.Mask.fromRle(given)", {"size": [4, 5], "counts": counts})
    assert message in found


def test_an_image_stays_below_the_pointer_when_it_is_scaled(module_page: Browser) -> None:
    body = """
    const random = (() => { let s = 7; return () => (s = (s * 16807) % 2147483647) / 2147483647; })();
    const worst = { round: 0, zoom: 0, pinch: 0 };
    for (let i = 0; i < 400; i += 1) {
      const image = { width: 1 + random() * 9000, height: 1 + random() * 9000 };
      const stage = { width: 300 + random() * 1500, height: 300 + random() * 900 };
      let view = m.fit(image, stage);
      const [x, y] = m.toImage(view, ...m.toScreen(view, 3.25, 8.5));
      worst.round = Math.max(worst.round, Math.abs(x - 3.25), Math.abs(y - 8.5));
      // around the middle of the stage nothing has to be held back
      const at = [stage.width / 2, stage.height / 2];
      const before = m.toImage(view, ...at);
      const zoomed = m.zoomedAt(view, image, stage, ...at, 1.5);
      const after = m.toImage(zoomed, ...at);
      const apart = Math.hypot(before[0] - after[0], before[1] - after[1]);
      worst.zoom = Math.max(worst.zoom, apart * zoomed.scale);
      const fingers = [[at[0] - 30, at[1]], [at[0] + 30, at[1]]];
      const later = [[at[0] - 60, at[1] + 5], [at[0] + 60, at[1] + 5]];
      const pinched = m.pinched(view, image, stage, fingers, later);
      const held = m.toScreen(pinched, ...m.toImage(view, ...at));
      const isLimited = pinched.scale !== view.scale * 2;
      if (!isLimited) worst.pinch = Math.max(worst.pinch, Math.hypot(held[0] - at[0], held[1] - at[1] - 5));
    }
    return worst;"""
    found = run(module_page, "view", body)
    assert found["round"] < 1e-6
    assert found["zoom"] < 1e-6
    assert found["pinch"] < 1e-6


def test_an_image_fits_and_cannot_be_lost(module_page: Browser) -> None:
    body = """
    const stage = { width: 800, height: 600 };
    return [[1, 1], [100, 80], [8000, 300], [12000, 9000]].map(([width, height]) => {
      const image = { width, height };
      const fitted = m.fit(image, stage);
      let far = m.moved(fitted, image, stage, 1e6, -1e6);
      const small = m.zoomedAt(fitted, image, stage, 400, 300, 1e-9);
      const large = m.zoomedAt(fitted, image, stage, 400, 300, 1e9);
      const shown = m.revealed(far, image, stage, 0, 0);
      return { fitted, far, small: small.scale, large: large.scale, shown: m.toScreen(shown, 0, 0) };
    });"""
    sizes = [(1, 1), (100, 80), (8000, 300), (12000, 9000)]
    for (width, height), found in zip(sizes, run(module_page, "view", body), strict=True):
        fitted, far = found["fitted"], found["far"]
        assert fitted["left"] >= 0
        assert fitted["left"] + width * fitted["scale"] <= 800 + 1e-9
        assert fitted["top"] >= 0
        assert fitted["top"] + height * fitted["scale"] <= 600 + 1e-9
        assert far["left"] <= 800 - 1
        assert far["top"] + height * far["scale"] >= 1
        assert 0 < found["small"] <= fitted["scale"]
        assert found["large"] == 64
        assert 0 <= found["shown"][0] <= 800
        assert 0 <= found["shown"][1] <= 600


def painted(size: tuple[int, int], line: list[list[float]], radius: float) -> Dense:
    """Pixels whose centers are within a radius of a line, and those below its ends."""
    (x0, y0), (x1, y1) = line
    ys, xs = np.mgrid[: size[0], : size[1]] + 0.5
    dx, dy = x1 - x0, y1 - y0
    length = dx * dx + dy * dy
    share = ((xs - x0) * dx + (ys - y0) * dy) / length if length > 0 else np.zeros(size)
    nearest = np.clip(share, 0, 1)
    mask: Dense = (xs - x0 - nearest * dx) ** 2 + (ys - y0 - nearest * dy) ** 2 <= radius * radius
    for x, y in line:
        column, row = int(np.floor(x)), int(np.floor(y))
        if 0 <= column < size[1] and 0 <= row < size[0]:
            mask[row, column] = True
    return mask


def test_the_brush_paints_what_is_within_its_radius(module_page: Browser) -> None:
    rng = np.random.default_rng(3)
    size = (40, 60)
    lines = np.round(rng.uniform(-10, 70, (60, 2, 2)), 2).tolist()
    lines += [
        [[5.5, 5.5], [5.5, 5.5]],
        [[0, 0], [0, 0]],
        [[59.99, 39.99], [59.99, 39.99]],
        [[200, 200], [300, 300]],
    ]
    radii = [*rng.choice([0.5, 1, 2.5, 7, 20], 60).tolist(), 0.5, 0.5, 0.2, 3]
    body = """return m.module.then(({ Mask }) => given.map(([line, radius]) => {
      const mask = new Mask(60, 40);
      m.stroke(mask, ...line, radius, 1);
      return mask.toRle();
    }));"""
    body = body.replace("m.module", "import('/rle.js')")
    found = run(module_page, "brush", body, list(zip(lines, radii, strict=True)))
    for line, radius, code in zip(lines, radii, found, strict=True):
        assert np.array_equal(dense_of(code), painted(size, line, radius)), (line, radius)


def test_outlines_run_along_all_edges(module_page: Browser) -> None:
    masks = [mask for mask in generated() if mask.any() and mask.size < 20000]
    body = """const { Mask, measure } = await import('/rle.js');
    return given.map((rle) => [...m.edges(Mask.fromRle(rle), measure(rle).box)]);"""
    for mask, flat in zip(
        masks, run(module_page, "outline", body, [rle_of(mask) for mask in masks]), strict=True
    ):
        padded = np.pad(mask, 1).astype(np.int8)
        pieces = np.array(flat).reshape(-1, 4)
        is_upright = pieces[:, 0] == pieces[:, 2]
        lengths = np.abs(pieces[:, 2:] - pieces[:, :2]).sum(axis=1)
        assert lengths[is_upright].sum() == np.abs(np.diff(padded, axis=1)).sum()
        assert lengths[~is_upright].sum() == np.abs(np.diff(padded, axis=0)).sum()


def filtered_png(values: NDArray[np.uint8], depth: int = 8, color: int = 0) -> bytes:
    """A PNG whose rows use all five filters in turn."""
    packed = np.stack([_packed(row, depth) for row in values]).astype(np.int16)
    above, data = np.zeros(packed.shape[1], np.int16), b""
    for number, row in enumerate(packed):
        left = np.concatenate([[0], row[:-1]])
        corner = np.concatenate([[0], above[:-1]])
        guesses = [np.zeros_like(row), left, above, (left + above) >> 1, _paeth(left, above, corner)]
        data += bytes([number % 5]) + ((row - guesses[number % 5]) % 256).astype(np.uint8).tobytes()
        above = row
    height, width = values.shape
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([depth, color, 0, 0, 0])
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
        for kind, body in parts
    )


def _packed(row: NDArray[np.uint8], depth: int) -> NDArray[np.uint8]:
    bits = np.unpackbits(row[:, None], axis=1)[:, 8 - depth :]
    return np.packbits(bits.ravel())


def _paeth(left: Any, above: Any, corner: Any) -> Any:
    guess = left + above - corner
    d_left, d_above, d_corner = abs(guess - left), abs(guess - above), abs(guess - corner)
    smaller = np.where(d_above <= d_corner, above, corner)
    return np.where((d_left <= d_above) & (d_left <= d_corner), left, smaller)


def test_label_maps_are_read_exactly(module_page: Browser) -> None:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (23, 31), dtype=np.uint8)
    smooth = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint8)
    cases = [(noise, filtered_png(noise)), (smooth, filtered_png(smooth))]
    for values, png in cases:
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), values), "the test's own PNG"
    for depth in (1, 2, 4):
        few = (noise % (1 << depth)).astype(np.uint8)
        cases.append((few, filtered_png(few, depth)))
    with_palette = io.BytesIO()
    image = Image.fromarray(noise % 6)
    image.putpalette(rng.integers(0, 256, 768).tolist())
    image.save(with_palette, "PNG")
    cases.append((noise % 6, with_palette.getvalue()))
    body = """return Promise.all(given.map(async (png) => {
      const map = await m.readLabelMap({ classes: ['a', 'b', 'c'], png });
      return { ...map, data: [...map.data], shares: m.shares(map),
        at: [m.classAt(map, 0, 0), m.classAt(map, -1, 0), m.classAt(map, map.width, 0)],
        mask: m.maskOfClass(map, 1) };
    }));"""
    given = [base64.b64encode(png).decode() for _, png in cases]
    for (values, _), found in zip(cases, run(module_page, "predictions", body, given), strict=True):
        assert (found["height"], found["width"]) == values.shape
        assert found["data"] == values.ravel().tolist()
        assert found["shares"] == pytest.approx([(values == index).mean() for index in range(3)])
        assert found["at"] == [int(values[0, 0]) if values[0, 0] < 3 else None, None, None]
        assert np.array_equal(dense_of(found["mask"]), values == 1)


@pytest.mark.parametrize("kind", ["JPEG", "RGB", "cut"])
def test_what_is_no_label_map_is_refused(module_page: Browser, kind: str) -> None:
    data = io.BytesIO()
    Image.new("RGB" if kind == "RGB" else "L", (20, 20)).save(data, "JPEG" if kind == "JPEG" else "PNG")
    png = filtered_png(np.zeros((9, 9), np.uint8)) if kind == "cut" else data.getvalue()
    if kind == "cut":
        png = png.replace((9).to_bytes(4, "big") * 2, (9).to_bytes(4, "big") + (12).to_bytes(4, "big"))
    given = {"classes": ["a"], "png": base64.b64encode(png).decode()}
    message = fails(module_page, "predictions", "m.readLabelMap(given)", given)
    assert {"JPEG": "not a PNG", "RGB": "not one number per pixel", "cut": "cut off"}[kind] in message


def test_the_color_of_a_category_stays_when_another_model_comes(module_page: Browser) -> None:
    given = [
        {"promptable": False, "classes": ["cell", "background"], "colors": [[9, 8, 7], [0, 0, 0]]},
        {"promptable": False, "classes": ["cell", "cup", "lid"], "colors": [[1, 1, 1], [2, 2, 2], [3, 3, 3]]},
        {"promptable": True, "classes": ["object"], "colors": [[4, 4, 4]]},
    ]
    body = """const categories = new m.Categories();
      categories.suggest(given.slice(0, 1));
      const before = categories.colorOf("cup");
      categories.suggest(given.slice(1));
      return { before, ...Object.fromEntries(["cell", "cup", "lid", "object"].map(
        (name) => [name, categories.colorOf(name)])) };"""
    found = run(module_page, "categories", body, given)
    assert (found["cell"], found["lid"]) == ([9, 8, 7], [3, 3, 3]), "the first model that has the class"
    assert found["cup"] == found["before"] != [2, 2, 2], "it was seen in this color"
    assert found["object"] != [4, 4, 4]

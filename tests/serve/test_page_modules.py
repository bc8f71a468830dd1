"""The page's modules without a server, in a browser, compared with pycocotools, Pillow and NumPy."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask
from support.browser import Browser
from support.page_server import PAGE, page_server

Dense = NDArray[np.bool_]
SIZES = [(1, 1), (1, 7), (9, 1), (37, 52), (128, 96)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser(local=True) as browser, page_server() as address:
        browser.open(f"{address}/empty.html")
        yield browser
        assert browser.complaints == []


def run(browser: Browser, module: str, body: str, given: Any = None) -> Any:
    """What a function returns that gets a module as ``m`` and a value as ``given``."""
    script = f"(async (given) => {{ const m = await import('/{module}.js'); {body} }})({json.dumps(given)})"
    return browser.run(script)


def fails(browser: Browser, module: str, expression: str, given: Any = None) -> str:
    """The message of the error that an expression ends with."""
    body = f"try {{ await ({expression}) }} catch (error) {{ return error.message }}"
    found = run(browser, module, body, given)
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


def rle_of(dense: Dense) -> dict[str, Any]:
    code = coco_mask.encode(np.asfortranarray(dense, np.uint8))
    return {"size": [int(n) for n in code["size"]], "counts": code["counts"].decode()}


def dense_of(rle: dict[str, Any]) -> Dense:
    decoded: Dense = coco_mask.decode({"size": rle["size"], "counts": rle["counts"].encode()}).astype(bool)
    return decoded


def test_masks_are_read_and_written_as_pycocotools_does(browser: Browser) -> None:
    masks = generated()
    codes = [rle_of(mask) for mask in masks]
    body = """return given.map((rle) => {
      const mask = m.Mask.fromRle(rle);
      const ones = [];
      if (mask.data.length < 20000) mask.data.forEach((value, index) => value && ones.push(index));
      return { again: mask.toRle(), ones, isEmpty: mask.isEmpty(), ...m.measure(rle) };
    });"""
    for mask, code, found in zip(masks, codes, run(browser, "rle", body, codes), strict=True):
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


def test_a_pixel_is_found_without_decoding(browser: Browser) -> None:
    mask = generated()[14]
    height, width = mask.shape
    body = """const runs = m.decodeCounts(given.rle.counts);
    return given.places.map(([x, y]) => m.covers(runs, given.rle.size[0], x, y));"""
    places = [[x, y] for x in range(0, width, 3) for y in range(height)]
    found = run(browser, "rle", body, {"rle": rle_of(mask), "places": places})
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
def test_what_is_no_mask_is_refused(browser: Browser, counts: str, message: str) -> None:
    found = fails(browser, "rle", "m.Mask.fromRle(given)", {"size": [4, 5], "counts": counts})
    assert message in found


def test_an_image_stays_below_the_pointer_when_it_is_scaled(browser: Browser) -> None:
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
      worst.zoom = Math.max(worst.zoom, Math.hypot(before[0] - after[0], before[1] - after[1]) * zoomed.scale);
      const fingers = [[at[0] - 30, at[1]], [at[0] + 30, at[1]]];
      const apart = [[at[0] - 60, at[1] + 5], [at[0] + 60, at[1] + 5]];
      const pinched = m.pinched(view, image, stage, fingers, apart);
      const held = m.toScreen(pinched, ...m.toImage(view, ...at));
      const isLimited = pinched.scale !== view.scale * 2;
      if (!isLimited) worst.pinch = Math.max(worst.pinch, Math.hypot(held[0] - at[0], held[1] - at[1] - 5));
    }
    return worst;"""
    found = run(browser, "view", body)
    assert found["round"] < 1e-6
    assert found["zoom"] < 1e-6
    assert found["pinch"] < 1e-6


def test_an_image_fits_and_cannot_be_lost(browser: Browser) -> None:
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
    for (width, height), found in zip(sizes, run(browser, "view", body), strict=True):
        fitted, far = found["fitted"], found["far"]
        assert 0 <= fitted["left"]
        assert fitted["left"] + width * fitted["scale"] <= 800 + 1e-9
        assert 0 <= fitted["top"]
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


def test_the_brush_paints_what_is_within_its_radius(browser: Browser) -> None:
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
    found = run(browser, "brush", body, list(zip(lines, radii, strict=True)))
    for line, radius, code in zip(lines, radii, found, strict=True):
        assert np.array_equal(dense_of(code), painted(size, line, radius)), (line, radius)


def test_outlines_run_along_all_edges(browser: Browser) -> None:
    masks = [mask for mask in generated() if mask.any() and mask.size < 20000]
    body = """const { Mask, measure } = await import('/rle.js');
    return given.map((rle) => [...m.edges(Mask.fromRle(rle), measure(rle).box)]);"""
    for mask, flat in zip(
        masks, run(browser, "outline", body, [rle_of(mask) for mask in masks]), strict=True
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


def test_label_maps_are_read_exactly(browser: Browser) -> None:
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
    for (values, _), found in zip(cases, run(browser, "predictions", body, given), strict=True):
        assert (found["height"], found["width"]) == values.shape
        assert found["data"] == values.ravel().tolist()
        assert found["shares"] == pytest.approx([(values == index).mean() for index in range(3)])
        assert found["at"] == [int(values[0, 0]) if values[0, 0] < 3 else None, None, None]
        assert np.array_equal(dense_of(found["mask"]), values == 1)


@pytest.mark.parametrize("kind", ["JPEG", "RGB", "cut"])
def test_what_is_no_label_map_is_refused(browser: Browser, kind: str) -> None:
    data = io.BytesIO()
    Image.new("RGB" if kind == "RGB" else "L", (20, 20)).save(data, "JPEG" if kind == "JPEG" else "PNG")
    png = filtered_png(np.zeros((9, 9), np.uint8)) if kind == "cut" else data.getvalue()
    if kind == "cut":
        png = png.replace((9).to_bytes(4, "big") * 2, (9).to_bytes(4, "big") + (12).to_bytes(4, "big"))
    given = {"classes": ["a"], "png": base64.b64encode(png).decode()}
    message = fails(browser, "predictions", "m.readLabelMap(given)", given)
    assert {"JPEG": "not a PNG", "RGB": "not one number per pixel", "cut": "cut off"}[kind] in message


def test_undo_and_redo(browser: Browser) -> None:
    body = """const history = new m.History(0);
    const seen = [history.undo(), history.redo()];
    [1, 2, 3].forEach((state) => history.push(state));
    history.push(3);
    seen.push(history.undo(), history.present, history.undo(), history.present, history.redo(), history.present);
    history.push(9);
    seen.push(history.redo(), [...history.past]);
    for (let i = 0; i < 500; i += 1) history.push(`state ${i}`);
    return [...seen, history.past.length];"""
    assert run(browser, "history", body) == [False, False, True, 2, True, 1, True, 2, False, [0, 1, 2], 200]


STORAGE = """
const { History } = await import('/history.js');
const store = (room) => {
  const all = new Map();
  return {
    get length() { return all.size; },
    key: (index) => [...all.keys()][index],
    getItem: (key) => all.get(key) ?? null,
    removeItem: (key) => all.delete(key),
    setItem(key, value) {
      const others = [...all].reduce((sum, [k, v]) => sum + (k === key ? 0 : v.length), 0);
      if (others + value.length > room) throw new Error('QuotaExceededError');
      all.set(key, value);
    },
  };
};
const rle = (text) => ({ size: [3, 4], counts: text });
const object = (id, text) => ({ id, category: 'cat', rle: rle(text), base: rle(text), added: null, removed: null,
  points: [[1.25, 2.5, 1]], box: null, after: 0 });
const state = (...objects) => ({ objects, selected: objects.at(-1)?.id ?? null });
const history = new History(state(object(1, 'b'), object(2, 'c')), [state(), state(object(1, 'a'))],
  [state(object(1, 'b'), object(2, 'd'))]);
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
"""


def test_unsaved_work_comes_back_whole(browser: Browser) -> None:
    body = """
    const storage = store(1e6);
    const unsaved = new m.Unsaved(storage, 'folder');
    const kept = unsaved.keep('a.jpg', 'r1', false, history);
    unsaved.keep('b/ä.jpg', 'r1', true, history);
    const found = unsaved.found('a.jpg');
    const other = new m.Unsaved(storage, 'other').found('a.jpg');
    storage.setItem('toolkit.labels.folder.bad.jpg', '{"version": 1, "packed": {"states": 3}}');
    storage.setItem('toolkit.labels.folder.worse.jpg', 'no JSON');
    return { kept, same: same({ ...found.history }, { ...history }), revision: found.revision, other,
      isSaved: [found.isSaved, unsaved.found('b/ä.jpg').isSaved], names: unsaved.names().sort(),
      broken: [unsaved.found('bad.jpg'), unsaved.found('worse.jpg'), unsaved.found('none.jpg')],
      forgotten: (unsaved.forget('a.jpg'), unsaved.found('a.jpg')) };"""
    found = run(browser, "unsaved", STORAGE + body)
    assert found == {
        "kept": True,
        "same": True,
        "revision": "r1",
        "other": None,
        "isSaved": [False, True],
        "names": ["a.jpg", "bad.jpg"],
        "broken": [None, None, None],
        "forgotten": None,
    }


def test_when_the_browser_has_no_room_the_newest_state_stays(browser: Browser) -> None:
    body = """
    const storage = store(1400);
    const unsaved = new m.Unsaved(storage, '');
    unsaved.keep('saved.jpg', 'r', true, new History(state(object(1, 'a'))), 1);
    unsaved.keep('work.jpg', 'r', false, new History(state(object(1, 'x'.repeat(300)))));
    const long = new History(state(object(1, 'z'.repeat(300))), [state(object(1, 'y'.repeat(600)))]);
    const kept = unsaved.keep('now.jpg', 'r', false, long);
    const found = unsaved.found('now.jpg').history;
    const tooLarge = unsaved.keep('now.jpg', 'r', false, new History(state(object(1, 'q'.repeat(5000)))));
    return [kept, found.present.objects[0].rle.counts.length, found.past.length, unsaved.found('saved.jpg'),
      unsaved.found('work.jpg') !== null, tooLarge, unsaved.found('now.jpg')];"""
    assert run(browser, "unsaved", STORAGE + body) == [True, 300, 0, None, True, False, None]


def test_painted_pixels_outlast_the_next_answer(browser: Browser) -> None:
    size = (20, 30)
    answer, second, brush, rubber = (np.zeros(size, bool) for _ in range(4))
    answer[2:12, 3:15] = True
    second[4:18, 8:20] = True
    brush[10:16, 20:28] = True
    rubber[4:8, 8:24] = True
    body = """const { Mask } = await import('/rle.js');
    const none = m.object(-1, 'cat');
    const asked = m.promptOf(none, { point: [4.5, 5.5, 1] });
    const first = m.answered(none, asked, { rle: given.answer });
    const painted = m.painted(first, Mask.fromRle(given.brush), 1);
    const erased = m.painted(painted, Mask.fromRle(given.rubber), 0);
    const boxed = m.promptOf(erased, { box: [1, 2, 20, 18] });
    const next = m.answered(erased, boxed, { rle: given.second });
    const alone = m.painted(m.object(-1, 'cat'), Mask.fromRle(given.brush), 1);
    const gone = m.painted(alone, Mask.fromRle(given.brush), 0);
    return { asked, boxed, masks: [first, painted, erased, next, alone, gone].map((each) => each.rle),
      own: m.promptOf(m.object(7, 'cat', { base: given.answer, rle: given.answer }), { point: [1, 2, 0] }),
      saved: m.toSaved(m.savable({ objects: [next, { ...alone, id: 5 }, gone] })).map((each) => each.id ?? null) };"""
    given = {
        "answer": rle_of(answer),
        "second": rle_of(second),
        "brush": rle_of(brush),
        "rubber": rle_of(rubber),
    }
    found = run(browser, "labels", body, given)
    assert found["asked"] == {"points": [[4.5, 5.5, 1]], "box": None, "after": 0}
    assert found["boxed"] == {"points": [[4.5, 5.5, 1]], "box": [1, 2, 20, 18], "after": 1}
    assert found["own"] == {"points": [[1, 2, 0]], "box": [3, 2, 15, 12], "after": 0}, "its own box"
    expected = [answer, answer | brush, (answer | brush) & ~rubber]
    expected += [(second | (brush & ~rubber)) & ~rubber, brush, np.zeros(size, bool)]
    for code, mask in zip(found["masks"], expected, strict=True):
        assert np.array_equal(dense_of(code), mask)
    assert found["saved"] == [None, 5], "new ones have no id yet, and what covers no pixel is left out"


def test_looking_ahead_asks_one_thing_at_a_time_and_gives_up_old_questions(browser: Browser) -> None:
    body = """
    const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
    const log = { started: [], aborted: [], shown: [], together: 0 };
    let running = 0;
    let delay = 5;
    const hover = new m.Hover(async (number, signal) => {
      log.started.push(number);
      running += 1;
      log.together = Math.max(log.together, running);
      try {
        await new Promise((done, fail) => {
          setTimeout(done, delay);
          signal.addEventListener('abort', () => { log.aborted.push(number); fail(signal.reason); });
        });
      } finally { running -= 1; }
      return number;
    });
    const start = performance.now();
    let number = 0;
    while (performance.now() - start < 1000) { hover.ask(number, (found) => log.shown.push(found)); number += 1; await sleep(8); }
    await sleep(120);
    const perSecond = log.shown.length;
    const last = log.shown.at(-1);
    delay = 5000;
    hover.ask('slow', (found) => log.shown.push(found));
    await sleep(400);
    delay = 5;
    hover.ask('new', (found) => log.shown.push(found));
    await sleep(150);
    const afterSlow = log.shown.at(-1);
    hover.ask('stopped', (found) => log.shown.push(found));
    hover.stop();
    await sleep(120);
    return { ...log, perSecond, isLast: last === number - 1, afterSlow, end: log.shown.at(-1), started: log.started.length, number };"""
    found = run(browser, "prompting", body)
    assert found["together"] == 1
    assert found["perSecond"] >= 10
    assert found["started"] <= 25, "at most one in 50 ms"
    assert found["number"] > 2 * found["started"], "most are never asked"
    assert found["isLast"], "the newest is always answered"
    assert found["aborted"] == ["slow"]
    assert found["afterSlow"] == "new"
    assert found["end"] == "new"


def test_every_key_does_one_thing(browser: Browser) -> None:
    source = (PAGE / "index.html").read_text()
    body = """document.body.innerHTML = given;
    const { rowsOf } = await import('/keys.js');
    const page = new Proxy({}, { get: () => ({}) });
    const bindings = m.bindingsOf(page);
    return { keys: bindings.flatMap(([keys]) => keys), rows: rowsOf(bindings) };"""
    found = run(
        browser,
        "commands",
        body,
        source[source.index("<main>") : source.index("</body>")].join(
            [
                "<header><button id=undo></button><button id=redo></button><button id=save></button></header>",
                "",
            ]
        ),
    )
    assert len(found["keys"]) == len(set(found["keys"])) > 40
    assert all(row["said"] and row["group"] for row in found["rows"])
    assert ["Ctrl+Shift+Z", "Ctrl+Y"] in [row["keys"] for row in found["rows"]]


def test_ticks_are_round_and_within_the_range(browser: Browser) -> None:
    rng = np.random.default_rng(5)
    ranges = [
        (float(low), float(low + span))
        for low, span in zip(rng.normal(0, 50, 40), rng.uniform(1e-3, 1e4, 40), strict=True)
    ]
    found = run(browser, "chart", "return given.map(([low, high]) => m.ticks(low, high, 4));", ranges)
    for (low, high), values in zip(ranges, found, strict=True):
        assert 2 <= len(values) <= 6
        assert low - 1e-6 * (high - low) <= values[0]
        assert values[-1] <= high + 1e-6 * (high - low)
        steps = np.diff(values)
        assert steps == pytest.approx(np.full(len(steps), steps[0]))


def test_names_of_strangers_are_text(browser: Browser) -> None:
    names = ["<b>x</b>", "a\u202egnp.exe", "line\nbreak", "\x1b[31m", "Zürich 日本"]
    body = """return given.map((name) => [m.visible(name), m.element('p', { text: m.visible(name) }).innerHTML]);"""
    found = run(browser, "dom", body, names)
    assert [text for text, _ in found] == [
        "<b>x</b>",
        "a\\u202egnp.exe",
        "line\\u000abreak",
        "\\u001b[31m",
        "Zürich 日本",
    ]
    assert found[0][1] == "&lt;b&gt;x&lt;/b&gt;"


def test_no_file_of_the_page_is_long_and_none_asks_for_others() -> None:
    files = [path for path in PAGE.iterdir() if path.suffix in (".js", ".css", ".html")]
    assert len(files) > 20
    for path in files:
        lines = path.read_text().splitlines()
        assert len(lines) <= 350, path.name
        assert not [
            line for line in lines if "http://" in line.replace("http://www.w3.org", "") or "https://" in line
        ]

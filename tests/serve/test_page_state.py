"""Undo, unsaved work, labels, looking ahead, keys and words of the page."""

from __future__ import annotations

import numpy as np
import pytest
from module_cases import dense_of, rle_of, run
from support.browser import Browser
from support.page_server import PAGE


def test_undo_and_redo(module_page: Browser) -> None:
    body = """const history = new m.History(0);
    const seen = [history.undo(), history.redo()];
    [1, 2, 3].forEach((state) => history.push(state));
    history.push(3);
    seen.push(history.undo(), history.present, history.undo(), history.present);
    seen.push(history.redo(), history.present);
    history.push(9);
    seen.push(history.redo(), [...history.past]);
    for (let i = 0; i < 500; i += 1) history.push(`state ${i}`);
    return [...seen, history.past.length];"""
    assert run(module_page, "history", body) == [
        False,
        False,
        True,
        2,
        True,
        1,
        True,
        2,
        False,
        [0, 1, 2],
        200,
    ]


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
const object = (id, text) => ({ id, category: 'cat', rle: rle(text), base: rle(text), added: null,
  removed: null, points: [[1.25, 2.5, 1]], box: null, after: 0 });
const state = (...objects) => ({ objects, selected: objects.at(-1)?.id ?? null });
const history = new History(state(object(1, 'b'), object(2, 'c')), [state(), state(object(1, 'a'))],
  [state(object(1, 'b'), object(2, 'd'))]);
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
"""


def test_unsaved_work_comes_back_whole(module_page: Browser) -> None:
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
    found = run(module_page, "unsaved", STORAGE + body)
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


def test_when_the_browser_has_no_room_the_newest_state_stays(module_page: Browser) -> None:
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
    assert run(module_page, "unsaved", STORAGE + body) == [True, 300, 0, None, True, False, None]


def test_painted_pixels_outlast_the_next_answer(module_page: Browser) -> None:
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
      saved: m.toSaved(m.savable({ objects: [next, { ...alone, id: 5 }, gone] }))
        .map(({ id }) => id ?? null) };"""
    given = {
        "answer": rle_of(answer),
        "second": rle_of(second),
        "brush": rle_of(brush),
        "rubber": rle_of(rubber),
    }
    found = run(module_page, "labels", body, given)
    assert found["asked"] == {"points": [[4.5, 5.5, 1]], "box": None, "after": 0}
    assert found["boxed"] == {"points": [[4.5, 5.5, 1]], "box": [1, 2, 20, 18], "after": 1}
    assert found["own"] == {"points": [[1, 2, 0]], "box": [3, 2, 15, 12], "after": 0}, "its own box"
    expected = [answer, answer | brush, (answer | brush) & ~rubber]
    expected += [(second | (brush & ~rubber)) & ~rubber, brush, np.zeros(size, bool)]
    for code, mask in zip(found["masks"], expected, strict=True):
        assert np.array_equal(dense_of(code), mask)
    assert found["saved"] == [None, 5], "new ones have no id yet, and what covers no pixel is left out"


def test_looking_ahead_asks_one_thing_at_a_time_and_gives_up_old_questions(module_page: Browser) -> None:
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
    while (performance.now() - start < 1000) {
      hover.ask(number, (found) => log.shown.push(found));
      number += 1;
      await sleep(8);
    }
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
    return { ...log, perSecond, isLast: last === number - 1, afterSlow, end: log.shown.at(-1),
      started: log.started.length, number };"""
    found = run(module_page, "prompting", body)
    assert found["together"] == 1
    assert found["perSecond"] >= 10
    assert found["started"] <= 35, "at most one in 33 ms"
    assert found["number"] > 2 * found["started"], "most are never asked"
    assert found["isLast"], "the newest is always answered"
    assert found["aborted"] == ["slow"]
    assert found["afterSlow"] == "new"
    assert found["end"] == "new"


@pytest.mark.slow
def test_pictures_of_masks_that_are_not_seen_are_let_go(module_page: Browser) -> None:
    body = """const { Mask } = await import('/rle.js');
    const full = new Mask(2000, 1500, new Uint8Array(3e6).fill(1)).toRle();
    const seen = [];
    for (let i = 0; i < 40; i += 1) {
      m.pictureOf({ ...full }, i * 100);
      seen.push(m.keptPixels());
    }
    const first = { ...full };
    const picture = m.pictureOf(first, 1e5);
    return { most: Math.max(...seen), last: m.keptPixels(), isSame: m.pictureOf(first, 1e5) === picture,
      area: picture.area, box: picture.box };"""
    found = run(module_page, "pictures", body)
    # 16 fit, and those of the last two seconds stay in any case
    assert 48e6 <= found["most"] <= 66e6
    assert found["last"] <= 51e6
    assert found["isSame"]
    assert (found["area"], found["box"]) == (3_000_000, [0, 0, 2000, 1500])


def test_every_key_does_one_thing(module_page: Browser) -> None:
    source = (PAGE / "index.html").read_text()
    body = """document.body.innerHTML = new DOMParser().parseFromString(given, 'text/html').body.innerHTML;
    const { rowsOf } = await import('/keys.js');
    const page = new Proxy({}, { get: () => ({}) });
    const bindings = m.bindingsOf(page);
    document.body.replaceChildren();
    return { keys: bindings.flatMap(([keys]) => keys), rows: rowsOf(bindings) };"""
    found = run(module_page, "commands", body, source)
    assert len(found["keys"]) == len(set(found["keys"])) > 40
    assert all(row["said"] and row["group"] for row in found["rows"])
    assert ["Ctrl+Shift+Z", "Ctrl+Y"] in [row["keys"] for row in found["rows"]]
    assert ["+", "="] in [row["keys"] for row in found["rows"]]


def test_ticks_are_round_and_within_the_range(module_page: Browser) -> None:
    rng = np.random.default_rng(5)
    ranges = [
        (float(low), float(low + span))
        for low, span in zip(rng.normal(0, 50, 40), rng.uniform(1e-3, 1e4, 40), strict=True)
    ]
    found = run(module_page, "chart", "return given.map(([low, high]) => m.ticks(low, high, 4));", ranges)
    for (low, high), values in zip(ranges, found, strict=True):
        assert 2 <= len(values) <= 6
        assert low - 1e-6 * (high - low) <= values[0]
        assert values[-1] <= high + 1e-6 * (high - low)
        steps = np.diff(values)
        assert steps == pytest.approx(np.full(len(steps), steps[0]))


def test_names_of_strangers_are_text(module_page: Browser) -> None:
    names = ["<b>x</b>", "a\u202egnp.exe", "line\nbreak", "\x1b[31m", "Zürich 日本"]
    body = """return given.map((name) => 
      [m.visible(name), m.element('p', { text: m.visible(name) }).innerHTML]);"""
    found = run(module_page, "dom", body, names)
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
        assert not [line for line in lines if len(line) > 110 and path.suffix == ".js"], path.name
        assert not [
            line for line in lines if "http://" in line.replace("http://www.w3.org", "") or "https://" in line
        ]


def test_questions_at_once_about_a_closed_session_open_one(module_page: Browser) -> None:
    """A look ahead and a click may both be told that it is gone."""
    body = """
    const real = window.fetch, log = { opened: 0, answers: [] };
    const json = (body, status = 200) => new Response(JSON.stringify(body), { status });
    const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
    window.fetch = async (address) => {
      if (String(address).startsWith('/api/sessions?') || address === '/api/sessions') {
        log.opened += 1;
        return json({ session: `s${log.opened}` });
      }
      // the second question is told later, when the first one has opened a new session already
      const delay = log.late ? 60 : 5;
      log.late = true;
      if (address.includes("/s1/")) await sleep(delay);
      if (address.includes('/s1/')) return json({ detail: 'gone' }, 404);
      log.answers.push(address.split('/')[3]);
      return json({ score: 1 });
    };
    try {
      const prompting = new m.Prompting('model', 'a.png');
      const question = { points: [[1, 2, 1]], box: null, after: 0 };
      await prompting.open();
      await Promise.all([sleep(0).then(() => prompting.ask(question)), prompting.ask(question)]);
    } finally { window.fetch = real; }
    return log;"""
    found = run(module_page, "prompting", body)
    assert found["opened"] == 2
    assert found["answers"] == ["s2", "s2"]

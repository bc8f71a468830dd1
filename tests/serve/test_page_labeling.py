"""Labeling in a browser, by a user who has never heard of the interface below it: what is saved are the masks
of ``toolkit.inference.Session``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_cases import IDLE, PageDriver, dense, make_photos, make_run, serving
from pycocotools import mask as coco_mask
from support.browser import CONTROL, SHIFT, Browser

import toolkit
from toolkit.cli import main
from toolkit.inference import Session
from toolkit.serve.services import Services


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser(local=True) as browser:
        yield browser


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs"), "sam2")


@pytest.fixture
def server(tmp_path: Path, run: Path) -> Iterator[tuple[str, Services]]:
    make_photos(tmp_path / "photos")
    with serving(tmp_path, [run]) as served:
        yield served


@pytest.fixture
def page(browser: Browser, server: tuple[str, Services]) -> Iterator[PageDriver]:
    browser.complaints.clear()
    browser.requests.clear()
    page = PageDriver(browser, server[0])
    page.open()
    yield page
    browser.open("about:blank")
    assert browser.complaints == []
    assert all(address.startswith((page.address, "blob:")) for address in browser.requests)


def saved(folder: Path) -> dict[str, list[tuple[str, np.ndarray[Any, Any]]]]:
    """The categories and masks of all labeled images, from the file that ``toolkit train`` reads."""
    data = json.loads((folder / "labels" / "annotations" / "instances.json").read_text())
    names = {each["id"]: each["name"] for each in data["categories"]}
    files = {each["id"]: each["file_name"].partition("photos/")[2] for each in data["images"]}
    found: dict[str, list[tuple[str, np.ndarray[Any, Any]]]] = {file: [] for file in files.values()}
    for each in data["annotations"]:
        entry = names[each["category_id"]], dense(each["segmentation"])
        found[files[each["image_id"]]].append(entry)
    return found


def clicked(page: PageDriver) -> tuple[list[tuple[float, float, int]], list[float] | None]:
    """The clicks and the box of the selected object, as the page has them."""
    found = page.browser.run("toolkitPage.editor.selected")
    return [tuple(point) for point in found["points"]], found["box"]


def test_clicks_undo_box_names_brush_and_save(page: PageDriver, run: Path, tmp_path: Path) -> None:
    browser = page.browser
    assert browser.run("toolkitPage.editor.name") == "a.png"
    assert page.text("progress") == "0 of 4 done"
    # five clicks, two of which are undone; then a box
    places = [(40, 30), (60.5, 50.25), (20, 80), (90, 60), (70, 20)]
    for number, (x, y) in enumerate(places):
        page.click(x, y, SHIFT if number == 2 else 0)
    page.key("z", CONTROL)
    page.press("undo")
    points, box = clicked(page)
    assert box is None
    assert np.abs(np.array(points) - [(40, 30, 1), (60.5, 50.25, 1), (20, 80, 0)]).max() < 0.5
    page.drag((10, 12), (60, 40), (100, 85))
    _, box = clicked(page)
    assert box == pytest.approx([10, 12, 100, 85], abs=0.5)
    # a second object with a name, painted at last
    page.key("o")
    page.key("n")
    browser.type("glass ⚗")
    page.key("Enter")
    page.click(100, 70)
    page.key("b")
    page.drag((20, 60), (30, 70), (40, 60))
    strokes = browser.run("toolkitPage.editor.selected")
    assert [each["category"] for each in page.objects] == ["object", "glass ⚗"]
    page.key("s", CONTROL)
    assert page.text("state") == "All changes saved"
    assert page.text("progress") == "1 of 4 done"

    session = Session(toolkit.load(run, device="cpu"), tmp_path / "photos" / "a.png")
    for x, y, label in points:
        session.point(x, y, positive=bool(label))
    first = session.box(*box).numpy()
    session.new_object("glass ⚗")
    (x, y, _) = strokes["points"][0]
    second = session.point(x, y).numpy()
    brush = dense(strokes["added"])
    (name, mask), (other_name, other) = saved(tmp_path)["a.png"]
    assert (name, other_name) == ("object", "glass ⚗")
    assert np.array_equal(mask, first)
    assert np.array_equal(other, second | brush)
    line = brush[58:73, 19:42]
    assert line.any()
    assert not brush[:40].any()
    words = ["train", "--plugin", "sam2", "--data", "coco", "--data-dir", str(tmp_path / "labels")]
    small = ["model.size=toy", "model.image_size=64", "train.steps=1", "train.workers=0", "data.val_split="]
    out = ["--out", str(tmp_path / "new"), "--weights", str(run), "--device", "cpu"]
    assert main([*words, *small, *out, "train.batch_size=1", "train.report=false"]) == 0
    assert (tmp_path / "new" / "last.safetensors").exists()


def test_a_reload_loses_nothing(page: PageDriver, tmp_path: Path) -> None:
    browser = page.browser
    browser.run("toolkitPage.saver.isAutomatic = false")
    page.click(40, 30)
    page.click(60, 50)
    page.key("o")
    page.key("b")
    page.drag((20, 60), (40, 60))
    before = page.objects
    assert len(before) == 2
    assert page.text("state") == "Not saved yet"
    browser.reload()
    page.ready("a.png")
    assert page.objects == before
    page.key("z", CONTROL)
    page.key("z", CONTROL)
    assert [len(each["points"]) for each in page.objects] == [1]
    page.key("y", CONTROL)
    page.key("z", CONTROL | SHIFT)
    assert page.objects == before
    # a click that nobody has answered yet is lost with the page, but nothing else
    browser.run("window.fetch = () => new Promise(() => {})")
    browser.click(*page.at(70, 20))
    browser.reload()
    page.ready("a.png")
    assert [each["category"] for each in page.objects] == ["object", "object"]
    page.press("save")
    assert len(saved(tmp_path)["a.png"]) == 2
    # what was saved can still be undone
    browser.reload()
    page.ready()
    browser.run("toolkitPage.open('a.png')")
    browser.wait_for(f"toolkitPage.editor.name === 'a.png' && {IDLE}")
    assert page.text("state") == "All changes saved"
    page.key("z", CONTROL)
    assert len(page.objects) == 1


def test_changes_are_saved_by_themselves_and_with_the_next_image(page: PageDriver, tmp_path: Path) -> None:
    page.click(40, 30)
    page.browser.wait_for("document.getElementById('state').textContent === 'All changes saved'", 10)
    assert len(saved(tmp_path)["a.png"]) == 1
    page.click(60, 50)
    mask = page.masks()[0]
    page.key("PageDown")
    page.browser.wait_for(f"toolkitPage.editor.name === 'b.png' && {IDLE}")
    ((_, found),) = saved(tmp_path)["a.png"]
    assert np.array_equal(found, mask)
    # an image without objects is done when it is saved
    page.key("s", CONTROL)
    assert saved(tmp_path)["b.png"] == []
    page.key("d")
    page.browser.wait_for(f"toolkitPage.editor.name === toolkitPage.folder.images[2].name && {IDLE}")


def test_a_conflict_is_told_and_nothing_is_overwritten_unasked(
    page: PageDriver, server: tuple[str, Services], tmp_path: Path
) -> None:
    labels = server[1].labels
    assert labels is not None
    theirs = np.zeros((96, 128), bool)
    theirs[4:9, 5:17] = True
    code = page.browser.run("import('/rle.js').then((m) => new m.Mask(128, 96).toRle())")
    page.click(40, 30)
    page.key("s", CONTROL)

    def change(category: str) -> None:
        counts = coco_mask.encode(np.asfortranarray(theirs, np.uint8))["counts"].decode()
        labels.put("a.png", [{"category": category, "rle": {**code, "counts": counts}}], None)

    change("theirs")
    page.click(60, 50)
    mine = page.masks()[0]
    for answer, expected in (("Take theirs", "theirs"), ("Save mine over theirs", "object")):
        page.browser.run("toolkitPage.save()", wait=False)
        page.browser.wait_for("document.getElementById('question').open")
        assert [name for name, _ in saved(tmp_path)["a.png"]] == ["theirs"]
        choice = (
            f"[...document.querySelectorAll('#question button')].find((b) => b.textContent === '{answer}')"
        )
        page.browser.run(f"{choice}.click()")
        page.browser.wait_for(IDLE)
        assert [name for name, _ in saved(tmp_path)["a.png"]] == [expected]
        if expected == "theirs":
            assert np.array_equal(page.masks()[0], theirs)
            page.key("z", CONTROL)
            assert np.array_equal(page.masks()[0], mine), "what was replaced can be brought back"
            change("theirs")
            theirs[20, 20] = True
            change("theirs")
    assert np.array_equal(saved(tmp_path)["a.png"][0][1], mine)
    # the browser lists the answers 409 in its console
    page.browser.complaints[:] = [line for line in page.browser.complaints if "status of 409" not in line]


def test_work_that_was_never_saved_is_offered_beside_newer_labels(
    page: PageDriver, server: tuple[str, Services], tmp_path: Path
) -> None:
    browser, labels = page.browser, server[1].labels
    assert labels is not None
    browser.run("toolkitPage.saver.isAutomatic = false")
    page.click(40, 30)
    mine = page.objects
    counts = page.browser.run(
        "import('/rle.js').then((m) => new m.Mask(128, 96, new Uint8Array(12288).fill(1)).toRle())"
    )
    labels.put("a.png", [{"category": "theirs", "rle": counts}], None)
    browser.reload()
    browser.wait_for("document.getElementById('question').open")
    assert "never saved" in page.text("question-text")
    browser.key("Escape")
    page.ready("a.png")
    assert page.objects == mine, "without an answer, nothing is lost"
    assert not browser.run("toolkitPage.saver.isAutomatic"), "and nothing is saved over the labels of others"
    browser.reload()
    browser.wait_for("document.getElementById('question').open")
    browser.run("[...document.querySelectorAll('#question button')].at(-1).click()")
    page.ready("a.png")
    assert [each["category"] for each in page.objects] == ["theirs"]
    assert [name for name, _ in saved(tmp_path)["a.png"]] == ["theirs"]


def hover_rate(page: PageDriver) -> float:
    """Answers per second while the mouse keeps moving for about two seconds."""
    state = "[performance.now(), toolkitPage.editor.prompting.hover.answers]"
    start = page.browser.run(state)
    for step in range(60):
        page.browser.move(*page.at(20 + step % 80, 20 + step % 50))
        page.browser.run("new Promise((done) => setTimeout(done, 8))")
    end = page.browser.run(state)
    return float(1000 * (end[1] - start[1]) / (end[0] - start[0]))


def test_hovering_shows_what_a_click_would_give(page: PageDriver) -> None:
    browser = page.browser
    page.click(40, 30)
    browser.move(*page.at(60, 50))
    browser.wait_for("toolkitPage.editor.preview")
    preview = browser.run("toolkitPage.editor.preview.rle")
    page.click(60, 50)
    assert page.objects[0]["rle"] == preview
    # ten answers a second while the mouse keeps moving; other tests may be using the cores
    assert any(hover_rate(page) >= 10 for _ in range(4))
    browser.move(2, 2)
    assert browser.run("toolkitPage.editor.preview") is None
    assert len(page.objects) == 1, "looking changes nothing"


def test_categories_are_renamed_in_all_images(page: PageDriver, tmp_path: Path) -> None:
    browser = page.browser
    page.click(40, 30)
    page.key("PageDown")
    browser.wait_for(f"toolkitPage.editor.name === 'b.png' && {IDLE}")
    page.click(40, 30)
    page.press("save")
    browser.run("document.getElementById('category-list').open = true")
    browser.run("document.querySelector('#categories li button:last-child').click()")
    browser.wait_for("document.getElementById('rename').open")
    browser.key("a", CONTROL)
    browser.run("document.getElementById('rename-to').select()")
    browser.type("<i>yeast</i>")
    browser.key("Enter")
    browser.wait_for(f"!document.getElementById('rename').open && {IDLE}")
    browser.wait_for("toolkitPage.editor.category === '<i>yeast</i>'")
    assert [each["category"] for each in page.objects] == ["<i>yeast</i>"]
    assert "<i>yeast</i>" in page.text("objects")
    found = saved(tmp_path)
    assert [name for image in found.values() for name, _ in image] == ["<i>yeast</i>"] * 2
    # and the image can be changed and saved as before
    page.click(50, 60)
    page.press("save")
    assert page.text("state") == "All changes saved"

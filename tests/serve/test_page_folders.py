"""The page with other folders: large ones, heat maps, images that cannot be read, and none at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from page_cases import IDLE, PageDriver, make_photos, make_run, serving
from PIL import Image
from support.browser import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser(local=True) as browser:
        yield browser


def test_heat_maps_lie_over_the_image(browser: Browser, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos")
    run = make_run(tmp_path / "runs", "unet")
    (tmp_path / "maps").mkdir()
    # from -1 to 1 from left to right
    gray = np.tile(np.linspace(0, 65535, 128).round().astype(np.uint16), (96, 1))
    cv2.imwrite(str(tmp_path / "maps" / "a.png"), gray)
    entry = {
        "image": "a.png",
        "status": "ok",
        "method": "layercam",
        "target": {"kind": "region", "class": "cell"},
    }
    entry |= {"range": [-1.0, 1.0], "outputs": {"map": "maps/a.png"}}
    (tmp_path / "explanations.json").write_text(json.dumps({"images": [entry]}))
    with serving(tmp_path, [run], explanations=tmp_path) as (address, _):
        page = PageDriver(browser, address)
        page.open("a.png")
        browser.wait_for("!document.getElementById('explained').hidden")
        assert page.text("heat").endswith("layercam: cell")
        browser.run(
            """(() => { const e = document.getElementById('heat'); e.value = '0';
            e.dispatchEvent(new Event('change')); })()"""
        )
        browser.wait_for("Boolean(toolkitPage.heat.picture)")
        alphas = browser.run(
            """(() => { const p = toolkitPage.heat.picture;
            const data = p.getContext('2d').getImageData(0, 50, 128, 1).data;
            return Array.from({ length: 128 }, (_, x) => data[4 * x + 3]); })()"""
        )
        expected = np.clip(np.linspace(-1, 1, 128), 0, 1) * 255
        assert np.abs(np.array(alphas) - expected).max() <= 2
        # no promptable model is served: clicks are told so, and the brush works
        assert "No model here takes clicks" in page.text("hint")
        page.click(40, 30)
        assert "No model that is served here takes clicks" in page.text("alert")
        page.key("b")
        page.drag((20, 20), (40, 20))
        assert page.masks()[0].any()
        page.key("PageDown")
        browser.wait_for(f"toolkitPage.editor.name === 'b.png' && {IDLE}")
        browser.wait_for("document.getElementById('explained').hidden")


def test_a_large_folder_is_listed_as_it_is_scrolled_and_filtered(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (8, 6), "gray").save(folder / "0.png")
    for number in range(1, 1300):
        (folder / f"{number}.png").hardlink_to(folder / "0.png")
    with serving(tmp_path, []) as (address, _):
        page = PageDriver(browser, address)
        page.open()
        browser.wait_for("toolkitPage.folder.images.length === 1300")
        assert page.text("progress") == "0 of 1300 done"
        rows = "document.querySelectorAll('#images .row').length"
        assert browser.run(rows) < 60
        browser.run("document.getElementById('images').focus()")
        browser.key("End")
        last = browser.run("toolkitPage.folder.images.at(-1).name")
        browser.wait_for(f"[...document.querySelectorAll('#images .row')].at(-1).title === '{last}'")
        browser.key("Enter")
        browser.wait_for(f"toolkitPage.editor.name === '{last}' && {IDLE}")
        assert browser.run(rows) < 60
        pictures = "[...document.querySelectorAll('#images .thumbnail')]"
        browser.wait_for(f"{pictures}.length && {pictures}.every((each) => each.naturalWidth === 8)")
        names = browser.run(f"{pictures}.map((each) => each.dataset.name)")
        assert names[-1] == last
        asked = [address for address in browser.requests if "thumbnail" in address]
        assert len(asked) < 120, "those of rows that are seen, not of all 1,300"
        browser.reload()
        page.ready(last)
        browser.wait_for(
            "document.querySelector('#images [aria-selected=true]')?.title === toolkitPage.editor.name"
        )
        browser.wait_for("toolkitPage.folder.images.length === 1300")
        browser.run("document.getElementById('filter').focus()")
        browser.type("77")
        names = browser.run("toolkitPage.folder.list.items.map((each) => each.name)")
        assert len(names) == sum("77" in f"{number}.png" for number in range(1300))
        assert all("77" in name for name in names)
        browser.run("document.getElementById('filter').select()")
        browser.type("no such name")
        assert page.text("none") == "No image matches."
        assert page.text("state") == "No labels yet"


def test_an_image_that_cannot_be_read_is_told(browser: Browser, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos")
    data = (tmp_path / "photos" / "b.png").read_bytes()
    (tmp_path / "photos" / "b.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "photos" / "c.png").write_bytes(b"not an image")
    with serving(tmp_path, [make_run(tmp_path / "runs", "sam2")]) as (address, _):
        page = PageDriver(browser, address)
        page.open("a.png")
        page.click(40, 30)
        pictures = "document.querySelector('#images .thumbnail[data-name=\"{}\"]')"
        browser.wait_for(f"{pictures.format('a.png')}.naturalWidth > 0")
        browser.wait_for(f"{pictures.format('c.png')}.dataset.state === 'failed'")
        browser.run("toolkitPage.open('c.png')")
        browser.wait_for("document.getElementById('alert').textContent.includes('c.png')")
        assert page.text("title") == "a.png"
        page.click(60, 30)
        assert len(page.objects[0]["points"]) == 2, "the image before stays, and can be used"
        # a browser shows what there is of it, models do not
        browser.run("toolkitPage.open('b.png')")
        browser.wait_for("document.getElementById('alert').textContent.includes('b.png')")


def test_a_server_without_images_says_what_to_do(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with serving(tmp_path, []) as (address, _):
        browser.open(address)
        browser.wait_for("document.body.dataset.ready")
        assert PageDriver(browser, address).text("none") == "There are no images in this folder."
    with serving(tmp_path, [], images=None, labels=None) as (address, _):
        browser.open(address)
        browser.wait_for("document.body.dataset.ready")
        assert "Start it with --images DIR" in PageDriver(browser, address).text("none")
        assert "Start it with --images DIR" in PageDriver(browser, address).text("empty")


def test_a_token_is_given_once(browser: Browser, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos")
    run = make_run(tmp_path / "runs", "sam2")
    with serving(tmp_path, [run], token="secret") as (address, _):
        home = address.partition("?")[0]
        browser.open(f"{home}health")
        browser.run(f"location.href = {json.dumps(address)}", wait=False)
        browser.wait_for(f"document.body.dataset.ready && {IDLE}")
        assert "secret" not in browser.run("location.href")
        page = PageDriver(browser, home)
        page.open("a.png")
        page.click(40, 30)
        page.press("save")
        assert page.text("state") == "All changes saved"


def test_a_server_that_is_gone_is_told_and_unsaved_work_stays(browser: Browser, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos")
    run = make_run(tmp_path / "runs", "sam2")
    with serving(tmp_path, [run]) as (address, _):
        page = PageDriver(browser, address)
        page.open("a.png")
        browser.run("toolkitPage.saver.isAutomatic = false")
        page.click(40, 30)
    page.key("s", 2)
    browser.wait_for("document.getElementById('state').textContent.startsWith('Not saved:')")
    assert "toolkit serve" in page.text("state")
    assert len(page.objects) == 1
    assert browser.run("toolkitPage.unsaved.names()") == ["a.png"]


def test_a_model_that_takes_long_is_waited_for_in_words(browser: Browser, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos")
    with serving(tmp_path, [make_run(tmp_path / "runs", "sam2")]) as (address, services):
        page = PageDriver(browser, address)
        page.open("a.png")
        go = threading.Event()
        services.models.get("sam2").worker.call(lambda: go.wait(20))
        hint = "document.getElementById('hint').textContent"
        before = browser.run(hint)
        browser.click(*page.at(40, 30))
        browser.wait_for(f"{hint} === 'Waiting for the model…'")
        browser.run("toolkitPage.open('b.png')", wait=False)
        go.set()
        browser.wait_for(f"toolkitPage.editor.name === 'b.png' && {IDLE} && {hint} === {json.dumps(before)}")
        browser.run("toolkitPage.open('a.png')")
        assert len(page.objects) == 1, "the answer came before the next image was opened"


def test_a_session_that_the_server_has_closed_is_opened_again(browser: Browser, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos")
    with serving(tmp_path, [make_run(tmp_path / "runs", "sam2")]) as (address, services):
        page = PageDriver(browser, address)
        page.open("a.png")
        page.click(40, 30)
        session = browser.run("toolkitPage.editor.prompting.open().then(({ session }) => session)")
        assert services.sessions.close(session)
        page.click(60, 50)
        assert len(page.objects[0]["points"]) == 2
        # leaving the image gives the session back, and so does closing the page
        assert len(services.sessions) == 1
        page.key("PageDown")
        browser.wait_for(f"toolkitPage.editor.name === 'b.png' && {IDLE}")
        browser.wait_for("toolkitPage.editor.prompting.open().then(() => true)")
        browser.open("about:blank")
        for _ in range(200):
            if not len(services.sessions):
                break
            browser.run("new Promise((done) => setTimeout(done, 20))")
        assert len(services.sessions) == 0

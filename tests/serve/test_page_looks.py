"""The page can be read and used: contrast, names, targets and room, at three sizes and in both themes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from page_cases import PageDriver, make_photos, make_run, serving
from support.browser import SHIFT, Browser

SIZES = {"desktop": (1920, 1080), "laptop": (1280, 800), "tablet": (820, 1180)}

CONTRAST = """
(() => {
  const canvas = new OffscreenCanvas(1, 1);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const rgba = (color) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const light = (color) => {
    const linear = color.slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const color = rgba(getComputedStyle(each).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const top = document.querySelector('dialog[open]') ?? document.body;
  const found = [];
  for (const element of top.querySelectorAll('*')) {
    const says = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const isField = element.matches('select, input:not([type=range], [type=checkbox])');
    if (!(says || isField) || !element.checkVisibility() || element.closest('.sr, script, option')) continue;
    const style = getComputedStyle(element);
    const colors = [style.color];
    if (element.placeholder) colors.push(getComputedStyle(element, '::placeholder').color);
    for (const color of colors) {
      const [a, b] = [light(rgba(color)), light(ground(element))];
      found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.outerHTML.slice(0, 100), color]);
    }
  }
  return found.sort(([a], [b]) => a - b);
})()
"""

CONTROLS = """
[...document.querySelectorAll('button, input, select, summary, [role=listbox], canvas')]
  .filter((element) => element.checkVisibility())
  .map((element) => {
    const label = element.closest('label') ?? document.querySelector(`label[for="${element.id}"]`);
    const box = (element.type === 'checkbox' ? label : element).getBoundingClientRect();
    const name = element.getAttribute('aria-label') ?? label?.textContent ?? element.textContent;
    const isCut = element.tagName === 'BUTTON' && element.scrollWidth > element.clientWidth + 1;
    return { html: element.outerHTML.slice(0, 120), name: name.trim(), isCut,
      width: box.width, height: box.height, isInside: box.left >= -1 && box.right <= innerWidth + 1 };
  })
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageDriver]:
    folder = tmp_path_factory.mktemp("looks")
    make_photos(folder / "photos")
    runs = [make_run(folder / "runs", plugin) for plugin in ("sam2", "unet", "maskrcnn")]
    with serving(folder, runs) as (address, _), Browser(local=True) as browser:
        yield PageDriver(browser, address)


def busy(page: PageDriver, theme: str, size: str) -> None:
    """Show much at once: objects, categories, and a prediction."""
    page.browser.media(prefers_color_scheme=theme)
    page.open("a.png", *SIZES[size])
    page.browser.run("toolkitPage.saver.isAutomatic = false")
    page.browser.run("document.getElementById('category-list').open = true")
    page.click(40, 30)
    page.key("o")
    page.click(90, 60)
    page.browser.run("toolkitPage.guess.use('maskrcnn')")
    page.browser.run("toolkitPage.guess.predict()")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(page: PageDriver, theme: str) -> None:
    busy(page, theme, "laptop")
    checked = 0
    for shown in ("", "help", "training", "question", "rename"):
        if shown == "question":
            asked = "import('/questions.js').then((m) => { m.askAbout({ name: 'a', when: 'save' }); })"
            page.browser.run(asked)
        elif shown:
            page.browser.run(f"document.getElementById('{shown}').showModal()")
        found = page.browser.run(CONTRAST)
        assert found[0][0] >= 4.5, found[0]
        checked += len(found)
        if shown:
            page.browser.run(f"document.getElementById('{shown}').close()")
    page.browser.run("toolkitPage.fail(new Error('something'))")
    assert page.browser.run(CONTRAST)[0][0] >= 4.5
    assert checked > 80


@pytest.mark.parametrize("size", SIZES)
def test_there_is_room_for_everything_and_all_of_it_has_a_name(page: PageDriver, size: str) -> None:
    busy(page, "light", size)
    width, height = SIZES[size]
    controls = page.browser.run(CONTROLS)
    assert len(controls) > 35
    for each in controls:
        assert each["name"], each
        assert each["isInside"], each
        assert not each["isCut"], each
        least = 44 if size == "tablet" else 24
        is_small = each["width"] < least - 0.1 or each["height"] < least - 0.1
        assert not is_small, each
    extent = page.browser.run("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert extent[0] <= width
    assert extent[1] <= height
    stage = page.browser.run("toolkitPage.stage.size")
    assert stage["width"] * stage["height"] > 0.4 * width * height, "the image has the most room"


def test_the_focus_is_seen_and_goes_everywhere(page: PageDriver) -> None:
    busy(page, "light", "laptop")
    browser = page.browser
    browser.run("document.querySelector('.skip').focus()")
    seen = []
    for _ in range(90):
        browser.key("Tab")
        at, outline = browser.run(
            """(() => { const e = document.activeElement;
            return [e.id || e.textContent, getComputedStyle(e).outlineStyle]; })()"""
        )
        if at == browser.run("document.body.textContent"):
            break
        assert outline != "none", at
        seen.append(at)
    assert {"undo", "save", "filter", "images", "canvas", "category", "predictor", "threshold"} <= set(seen)
    browser.key("Tab", SHIFT)


def test_what_changes_is_said_aloud(page: PageDriver) -> None:
    page.open("b.png")
    page.browser.run("toolkitPage.saver.isAutomatic = false")
    page.click(40, 60)
    area = page.masks()[0].sum()
    assert page.text("status") == f"object, {area:,} pixels; 1 in all"
    page.key("Escape")
    assert page.text("status") == "No object is selected; 1 in all"
    live = (
        "[...document.querySelectorAll('[role=status], [role=alert]')].filter((e) => e.id).map((e) => e.id)"
    )
    assert {"status", "alert"} <= set(page.browser.run(live))
    page.press("save")
    assert page.text("status") == "Saved"
    page.browser.run("toolkitPage.open('none.png')")
    page.browser.wait_for("document.getElementById('alert').textContent.includes('none.png')")
    assert page.browser.run("toolkitPage.editor.name") == "b.png", "the open image stays"


def test_the_image_stays_where_it_is_when_the_pointer_moves(page: PageDriver) -> None:
    busy(page, "light", "laptop")
    for name in (None, "x" * 180):
        if name:
            page.browser.run(f"toolkitPage.editor.setCategory({name!r})")
        page.idle()
        before = page.at(0, 0)
        for place in ((40, 30), (2, 2), (90, 60)):
            page.browser.move(*page.at(*place))
            assert page.at(0, 0) == before


def test_a_picture_is_drawn_at_every_scale(page: PageDriver, tmp_path: Path) -> None:
    from PIL import Image

    page.open("a.png")
    for zoom in (1e-9, 1e9, 1):
        page.browser.run(f"toolkitPage.stage.zoom({zoom})")
        page.browser.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        page.browser.picture(tmp_path / "shot.png", whole=False)
        colors = Image.open(tmp_path / "shot.png").convert("RGB").getcolors(1 << 20)
        assert colors is not None
        assert len(colors) > 50

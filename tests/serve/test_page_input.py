"""The page by keyboard, and by fingers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from page_cases import PageDriver, make_photos, make_run, serving
from support.browser import CONTROL, SHIFT, Browser


@pytest.fixture(scope="module")
def page_at_work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageDriver]:
    folder = tmp_path_factory.mktemp("input")
    make_photos(folder / "photos")
    run = make_run(folder / "runs", "sam2")
    with serving(folder, [run]) as (address, _), Browser(local=True) as browser:
        yield PageDriver(browser, address)
        assert browser.complaints == []


@pytest.fixture
def page(page_at_work: PageDriver) -> PageDriver:
    """The page with an image without objects."""
    page_at_work.open("a.png")
    page_at_work.browser.run("toolkitPage.saver.isAutomatic = false")
    page_at_work.browser.run("while (toolkitPage.editor.history.undo()) {}")
    return page_at_work


def test_everything_works_by_keyboard(page: PageDriver) -> None:
    browser = page.browser
    browser.run("document.getElementById('canvas').focus()")
    page.key("ArrowLeft", SHIFT)
    page.key("ArrowUp")
    x, y = browser.run("toolkitPage.tools.pointer")
    page.key("Enter")
    assert page.objects[0]["points"] == [[x, y, 1]]
    page.key("ArrowRight", SHIFT)
    page.key("Enter", SHIFT)
    assert [label for _, _, label in page.objects[0]["points"]] == [1, 0]
    # a box from two corners
    page.key("x")
    page.key("Escape")
    corners = []
    for move in ("ArrowLeft", "ArrowRight"):
        for _ in range(2):
            page.key(move, SHIFT)
            page.key("ArrowUp" if move == "ArrowLeft" else "ArrowDown", SHIFT)
        corners.append(browser.run("toolkitPage.tools.pointer"))
        page.key("Enter")
    box = browser.run("toolkitPage.editor.selected.box")
    assert box == [*map(min, *corners), *map(max, *corners)]
    # a stroke, and one that is erased again
    page.key("o")
    page.key("b")
    for _ in range(2):
        page.key("Enter")
        page.key("ArrowLeft", SHIFT)
        page.key("Enter")
        painted = page.masks()[-1]
        page.key("e")
    assert painted.sum() < browser.run("toolkitPage.editor.state.objects.length") * 96 * 128
    area = page.masks()[-1].sum()
    page.key("z", CONTROL)
    assert page.masks()[-1].sum() > area
    count = len(page.objects)
    page.key(",")
    page.key("h")
    assert browser.run("toolkitPage.editor.hidden.size") == 1
    page.key("Delete")
    assert len(page.objects) == count - 1
    page.key("?")
    assert browser.run("document.getElementById('help').open")
    assert "Select the next or previous object" in page.text("keys")
    page.key("b")
    page.key("Escape")
    assert browser.run("toolkitPage.tools.tool") == "eraser", "keys do nothing behind a dialog"
    # where single keys are turned off, they work in the image alone, and that is remembered
    browser.run("document.getElementById('single-keys').click()")
    browser.run("document.getElementById('undo').focus()")
    page.key("b")
    assert browser.run("toolkitPage.tools.tool") == "eraser"
    browser.run("document.getElementById('canvas').focus()")
    page.key("b")
    assert browser.run("toolkitPage.tools.tool") == "brush"
    browser.reload()
    page.ready()
    assert not browser.run("document.getElementById('single-keys').checked")
    browser.run("document.getElementById('single-keys').click()")
    browser.run("toolkitPage.tools.use('eraser')")
    # in fields, keys are letters
    page.key("n")
    page.key("x")
    assert browser.run("document.getElementById('category').value") == "x"
    assert browser.run("toolkitPage.tools.tool") == "eraser"


def test_fingers_move_and_scale_and_a_lone_one_uses_the_tool(page: PageDriver) -> None:
    browser = page.browser
    before = browser.run("toolkitPage.stage.view.scale")
    left, right = page.at(40, 50), page.at(80, 50)
    browser.touch("Start", left, right)
    for share in (0.3, 0.6, 1.0):
        browser.touch("Move", (left[0] - 80 * share, left[1]), (right[0] + 80 * share, right[1]))
    browser.touch("End")
    distance = right[0] - left[0]
    expected = before * (distance + 160) / distance
    assert browser.run("toolkitPage.stage.view.scale") == pytest.approx(expected, rel=1e-3)
    assert page.at(60, 50)[0] == pytest.approx((left[0] + right[0]) / 2, abs=0.5)
    assert page.objects == []
    browser.touch("Start", page.at(60, 50))
    browser.touch("End")
    page.idle()
    browser.wait_for("toolkitPage.editor.state.objects.length === 1")
    place = page.at(60, 50)
    browser.wheel(*place, 300)
    browser.wait_for(f"toolkitPage.stage.view.scale < {expected}")
    assert page.at(60, 50) == pytest.approx(place, abs=0.6)


def test_dragging_moves_the_image_with_the_space_bar_and_the_tool_that_selects(page: PageDriver) -> None:
    browser = page.browser
    start = page.at(60, 50)
    browser.run("document.getElementById('canvas').focus()")
    for way in ("space", "select"):
        before = page.at(60, 50)
        if way == "space":
            browser.key(" ", kinds=["keyDown"])
        else:
            page.key("v")
        page.browser.drag([(500, 400), (540, 410), (580, 430)])
        browser.key(" ", kinds=["keyUp"])
        moved = page.at(60, 50)
        assert (moved[0] - before[0], moved[1] - before[1]) == pytest.approx((80, 30))
        assert page.objects == []
        page.key("c")
    page.key("0")
    assert page.at(60, 50) == pytest.approx(start)
    page.key("+")
    assert browser.run("toolkitPage.stage.view.scale") > 5.4
    page.press("zoom-out")
    page.press("fit")
    assert page.at(60, 50) == pytest.approx(start)
    page.key("Home", SHIFT)
    assert browser.run("toolkitPage.stage.view.scale") == 1
    assert page.text("scale") == "100%"


def test_objects_are_selected_in_the_image_and_in_the_list(page: PageDriver) -> None:
    browser = page.browser
    page.key("b")
    browser.run("toolkitPage.tools.setDiameter(10)")
    for x in (20, 60):
        page.drag((x, 30), (x + 10, 30))
        page.key("o")
    first, second = (each["id"] for each in page.objects)
    page.key("v")
    page.click(25, 30)
    assert browser.run("toolkitPage.editor.state.selected") == first
    page.click(65, 30)
    assert browser.run("toolkitPage.editor.state.selected") == second
    page.click(65, 80)
    assert browser.run("toolkitPage.editor.state.selected") is None
    browser.run("document.querySelector('#objects .choice').click()")
    page.idle()
    assert browser.run("toolkitPage.editor.state.selected") == first
    # the eraser works on what is selected; a hidden object is not hit
    area = page.masks()[0].sum()
    page.key("e")
    page.click(25, 30)
    assert page.masks()[0].sum() < area
    page.key("h")
    page.key("v")
    page.click(33, 30)
    assert browser.run("toolkitPage.editor.state.selected") is None
    page.press("hide-all")
    page.click(33, 30)
    assert browser.run("toolkitPage.editor.state.selected") == first
    # the keyboard stays near when what it was on is gone
    browser.run(
        "[...document.querySelectorAll('#objects button')].find((b) => b.textContent === 'Delete').focus()"
    )
    browser.key("Enter")
    page.idle()
    assert [each["id"] for each in page.objects] == [second]
    assert browser.run("document.getElementById('objects').contains(document.activeElement)")

"""A user who does anything in any order: the page, the browser's storage and the saved labels agree."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from page_cases import IDLE, PageDriver, dense, make_photos, make_run, serving
from support.browser import CONTROL, SHIFT, Browser

ACTIONS = [
    "click",
    "click",
    "exclude",
    "box",
    "brush",
    "brush",
    "erase",
    "undo",
    "undo",
    "redo",
    "new",
    "next",
]
ACTIONS += ["delete", "name", "hide", "accept", "save", "reload", "image"]
NAMES = ("a.png", "b.png")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_done_nothing_is_lost_or_made_up(tmp_path: Path, seed: int) -> None:
    make_photos(tmp_path / "photos")
    runs = [make_run(tmp_path / "runs", plugin) for plugin in ("sam2", "maskrcnn")]
    rng = np.random.default_rng(seed)
    with serving(tmp_path, runs) as (address, services), Browser(local=True) as browser:
        page = PageDriver(browser, address)
        page.open("a.png")
        browser.run("toolkitPage.tools.setDiameter(12)")
        for action in rng.choice(ACTIONS, 40):
            before = page.objects
            act(page, str(action), rng)
            after = page.objects
            if action in ("reload", "save"):
                # numbers of new objects are given by the server
                assert [without_id(each) for each in after] == [without_id(each) for each in before]
            for each in after:
                if each["added"] or each["removed"]:
                    assert np.array_equal(dense(each["rle"]), composed(each))
                else:
                    assert each["rle"] == each["base"]
            assert len({each["id"] for each in after}) == len(after)
        page.key("s", CONTROL)
        assert services.labels is not None
        saved = services.labels.get(browser.run("toolkitPage.editor.name"))["objects"]
        shown = [each for each in page.objects if dense(each["rle"]).any()]
        assert [(each["id"], each["category"], each["rle"]) for each in saved] == [
            (each["id"], each["category"], each["rle"]) for each in shown
        ]
        assert browser.complaints == []


def without_id(each: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in each.items() if key != "id"}


def composed(each: dict[str, object]) -> np.ndarray:
    """The mask that an object should have: what was asked, painted and erased."""
    parts = {key: dense(each[key]) if each[key] else None for key in ("base", "added", "removed")}  # type: ignore[arg-type]
    size = next(mask.shape for mask in parts.values() if mask is not None)
    base, added, removed = (np.zeros(size, bool) if mask is None else mask for mask in parts.values())
    return (base | added) & ~removed


def act(page: PageDriver, action: str, rng: np.random.Generator) -> None:
    """Do one thing."""
    browser = page.browser
    width, height = browser.run("[toolkitPage.editor.size.width, toolkitPage.editor.size.height]")
    x, y, x1, y1 = rng.uniform(0.02, 0.98, 4) * [width, height, width, height]
    if action in ("click", "exclude"):
        page.key("c")
        page.click(x, y, SHIFT if action == "exclude" else 0)
    elif action in ("box", "brush", "erase"):
        page.key({"box": "x", "brush": "b", "erase": "e"}[action])
        page.drag((x, y), ((x + x1) / 2, y), (x1, y1))
    elif action == "name":
        page.key("n")
        browser.run("document.getElementById('category').value = ''")
        browser.type(str(rng.choice(["cell", "fiber", "ä & <b>"])))
        page.key("Enter")
    elif action == "accept":
        browser.run("toolkitPage.guess.model = 'maskrcnn'; toolkitPage.guess.threshold = 0.05")
        browser.run("toolkitPage.guess.predict()")
        browser.run("toolkitPage.guess.accept(toolkitPage.guess.objects.slice(0, 1))")
    elif action == "image":
        name = str(rng.choice(NAMES))
        browser.run(f"toolkitPage.open({json.dumps(name)})")
        browser.wait_for(f"toolkitPage.editor.name === {json.dumps(name)} && {IDLE}")
    elif action == "reload":
        name = browser.run("toolkitPage.editor.name")
        browser.reload()
        page.ready(name)
        browser.run("toolkitPage.tools.setDiameter(12)")
    else:
        keys = {"undo": ("z", CONTROL), "redo": ("y", CONTROL), "save": ("s", CONTROL), "new": ("o", 0)}
        keys |= {"next": (".", 0), "delete": ("Delete", 0), "hide": ("h", 0)}
        page.key(*keys[action])
    page.idle()

"""The predicted view of runs of the built-in plugins: it shows what ``toolkit.load(run).predict`` gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from page_cases import IDLE, PageDriver, choose, dense, make_photos, make_run, serving
from support.browser import CONTROL, Browser

import toolkit
from toolkit import Predictor
from toolkit.serve.services import Services

PLUGINS = ("unet", "maskrcnn", "sam2")
LOWEST = 0.05
"""The lowest score that the page asks for."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predicted")
    make_photos(folder / "photos")
    for plugin in PLUGINS:
        make_run(folder / "runs", plugin)
    return folder


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[tuple[str, Services]]:
    with serving(folder, [folder / "runs" / plugin for plugin in PLUGINS]) as served:
        yield served


@pytest.fixture(scope="module")
def predictors(folder: Path) -> dict[str, Predictor]:
    return {plugin: toolkit.load(folder / "runs" / plugin, device="cpu") for plugin in PLUGINS}


@pytest.fixture(scope="module")
def page(served: tuple[str, Services]) -> Iterator[PageDriver]:
    with Browser(local=True) as browser:
        yield PageDriver(browser, served[0])
        assert browser.complaints == []


def predicted(page: PageDriver, model: str, name: str = "a.png") -> None:
    """Open an image, and ask for a prediction with the controls of the page."""
    page.open(name)
    choose(page, "predictor", model)
    page.press("predict")
    page.browser.wait_for(f"toolkitPage.guess.shown?.model === '{model}' && !toolkitPage.guess.isRunning")


@pytest.mark.parametrize("model", ["maskrcnn", "sam2"])
def test_objects_are_shown_above_the_threshold_and_accepted(
    page: PageDriver, predictors: dict[str, Predictor], folder: Path, model: str
) -> None:
    found = predictors[model].predict(folder / "photos" / "a.png").instances
    assert found is not None
    assert found.scores is not None
    assert found.masks is not None
    predicted(page, model)
    scores = sorted((score for score in found.scores.tolist() if score >= LOWEST), reverse=True)
    assert len(scores) >= 2, "the test needs some objects"
    for percent in (5, round(100 * scores[1])):
        choose(page, "threshold", percent, "input")
        above = [score for score in scores if score >= percent / 100]
        shown = page.browser.run("toolkitPage.guess.objects")
        assert [each["score"] for each in shown] == pytest.approx(above)
        assert page.text("accept") == f"Accept {len(above)}"
        assert page.text("guessed").startswith(f"{model}: {len(above)} object")
        rows = page.browser.run("document.querySelectorAll('#guesses li').length")
        assert rows == len(above)
    best = int(torch.argmax(found.scores))
    assert np.array_equal(dense(shown[0]["rle"]), found.masks[[best]].dense()[0].numpy())
    assert shown[0]["category"] == predictors[model].classes[int(found.labels[best])]
    page.browser.run("toolkitPage.saver.isAutomatic = false")
    page.browser.run("document.querySelector('#guesses button').click()")
    page.idle()
    assert [each["category"] for each in page.objects] == [shown[0]["category"]]
    assert np.array_equal(page.masks()[0], dense(shown[0]["rle"]))
    assert page.browser.run("toolkitPage.guess.objects.length") < len(above), "what is labeled is not offered"
    page.key("a")
    assert len(page.objects) >= min(2, len(above))
    page.key("z", CONTROL)
    page.key("z", CONTROL)
    assert page.objects == []
    # a click on a prediction accepts it, too
    y, x = np.argwhere(dense(shown[0]["rle"]))[0]
    page.key("v")
    page.click(float(x) + 0.5, float(y) + 0.5)
    assert np.array_equal(page.masks()[0], dense(shown[0]["rle"]))
    page.key("z", CONTROL)
    assert page.browser.run("toolkitPage.guess.objects.length") == len(above)


def test_a_label_map_has_classes_to_switch_off_and_says_what_is_at_the_pointer(
    page: PageDriver, predictors: dict[str, Predictor], folder: Path
) -> None:
    browser = page.browser
    for name in ("a.png", "b.png"):
        label_map = predictors["unet"].predict(folder / "photos" / name).label_map
        assert label_map is not None
        values = label_map.numpy()
        predicted(page, "unet", name)
        shown = browser.run("[...toolkitPage.guess.labelMap.data]")
        assert shown == values.ravel().tolist()
        classes = predictors["unet"].classes
        y, x = np.argwhere(values != 0)[0]
        browser.move(*page.at(x + 0.5, y + 0.5))
        browser.wait_for(f"document.getElementById('place').textContent.startsWith('{x}, {y} · ')")
        assert classes[values[y, x]] in page.text("place")
    color = f"""(() => {{ const p = toolkitPage.guess.picture;
        return [...p.getContext('2d').getImageData({x}, {y}, 1, 1).data]; }})()"""
    red, green, blue = predictors["unet"].palette[values[y, x]]
    assert browser.run(color) == [red, green, blue, 255]
    box = f"""[...document.querySelectorAll('#classes li')].find(
        (row) => row.textContent.includes('{classes[values[y, x]]}')).querySelector('input')"""
    browser.run(f"{box}.click()")
    assert browser.run(color) == [0, 0, 0, 0], "switched off"
    browser.run(f"{box}.click()")
    assert browser.run(color) == [red, green, blue, 255]
    browser.run("toolkitPage.saver.isAutomatic = false")
    browser.run(f"{box}.closest('li').querySelector('button').click()")
    page.idle()
    assert np.array_equal(page.masks()[0], values == values[y, x])
    browser.run("toolkitPage.editor.undo()")
    page.idle()


def test_models_are_swapped_and_each_image_can_be_predicted(page: PageDriver) -> None:
    predicted(page, "maskrcnn")
    choose(page, "predictor", "unet")
    page.browser.wait_for("toolkitPage.guess.shown?.model === 'unet'")
    page.key("s")
    page.browser.wait_for("toolkitPage.guess.shown?.model === 'maskrcnn'")
    assert page.text("swap") == "Show unet instead"
    page.press("clear")
    assert page.browser.run("toolkitPage.guess.shown") is None
    page.press("always")
    page.key("PageDown")
    page.browser.wait_for(f"toolkitPage.editor.name === 'b.png' && {IDLE}")
    page.browser.wait_for("toolkitPage.guess.shown?.model === 'maskrcnn' && !toolkitPage.guess.isRunning")


def test_a_prediction_is_corrected_by_a_click(
    page: PageDriver, predictors: dict[str, Predictor], folder: Path
) -> None:
    """Its own box tells the promptable model which object is meant."""
    predicted(page, "maskrcnn")
    page.browser.run("toolkitPage.saver.isAutomatic = false")
    choose(page, "threshold", 5, "input")
    page.browser.run("document.querySelector('#guesses button').click()")
    page.idle()
    page.key(".")
    mask = page.masks()[0]
    rows, columns = np.nonzero(mask)
    page.click(float(columns.mean()) + 0.5, float(rows.mean()) + 0.5)
    corrected = page.objects[0]
    assert len(page.objects) == 1
    box = [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]
    assert corrected["box"] == box
    session = toolkit.inference.Session(predictors["sam2"], folder / "photos" / "a.png")
    session.box(*box)
    (x, y, _) = corrected["points"][0]
    assert np.array_equal(page.masks()[0], session.point(x, y).numpy())
    page.key("z", CONTROL)
    assert np.array_equal(page.masks()[0], mask)

"""Fine-tuning from the page: it starts, its curves are shown, and the new run appears beside the old one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from page_cases import IDLE, PageDriver, choose, make_photos, make_run, serving
from support.browser import Browser

import toolkit
from toolkit.serve.errors import RequestError
from toolkit.serve.models import ListedModel
from toolkit.serve.services import Services


class Scripted:
    """A trainer that tells of a training without doing one."""

    def __init__(self) -> None:
        self.now: dict[str, Any] = {"state": "idle"}
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    def start(self, model: ListedModel, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Start, or refuse a name that is taken."""
        if name == "taken":
            raise RequestError(409, "there is something called taken already. Hint: choose another name")
        self.asked.append((model.name, name, dict(settings)))
        self.now = {"state": "running", "run": name, "model": model.name, "step": 0, "steps": None}
        self.now |= {"losses": [], "validation": [], "log": [], "error": "", "result": ""}
        return self.now

    def state(self) -> dict[str, Any]:
        """What was said last."""
        return self.now

    def stop(self) -> None:
        """Stop."""
        self.now = {**self.now, "state": "stopped"}

    def close(self) -> None:
        """Nothing to wait for."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    make_photos(folder / "photos")
    for plugin in ("sam2", "unet"):
        make_run(folder / "runs", plugin)
    return folder


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[tuple[str, Services]]:
    with serving(folder, [folder / "runs" / "sam2", folder / "runs" / "unet"]) as served:
        yield served


@pytest.fixture(scope="module")
def page(served: tuple[str, Services]) -> Iterator[PageDriver]:
    with Browser(local=True) as browser:
        yield PageDriver(browser, served[0])
        # a name that is taken is answered with 409, which the browser lists
        assert [line for line in browser.complaints if "status of 409" not in line] == []


def test_a_training_is_followed_until_its_run_is_served(
    page: PageDriver, served: tuple[str, Services], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, services, trainer = page.browser, served[1], Scripted()
    monkeypatch.setattr(services, "trainer", trainer)
    page.open("a.png")
    browser.run("toolkitPage.saver.isAutomatic = true")
    page.click(40, 30)
    page.press("open-training")
    choose(page, "new-run", "not a name")
    page.press("start-training")
    assert browser.run("document.getElementById('new-run').matches(':invalid')")
    choose(page, "new-run", "taken")
    page.press("start-training")
    browser.wait_for("document.getElementById('training-problem').textContent.includes('another name')")
    assert services.labels is not None
    assert services.labels.labeled() == {"a.png"}, "what was not saved is saved before"
    choose(page, "start-run", "unet")
    choose(page, "new-run", "better")
    choose(page, "steps", "20")
    page.press("start-training")
    browser.wait_for("toolkitPage.training.isRunning")
    assert trainer.asked == [("unet", "better", {"train.steps": 20})]
    assert page.text("training-said") == "Training better is starting…"
    trainer.now |= {"step": 10, "steps": 20, "losses": [[5, 0.75], [10, 0.5]]}
    trainer.now |= {"validation": [{"step": 10, "mean_iou": None, "loss": 0.0, "loss/dice": 0.5}]}
    browser.wait_for("document.getElementById('training-note').textContent.includes('measures nothing')")
    trainer.now |= {"validation": [{"step": 10, "mean_iou": 0.25, "loss": 0.5, "class": None}]}
    browser.wait_for("document.getElementById('training-charts').textContent.includes('mean_iou')")
    assert page.text("training-said") == "Training better: step 10 of 20."
    assert page.text("training-note") == ""
    assert page.text("open-training") == "Training 50%"
    captions = "[...document.querySelectorAll('#training-charts figcaption')].map((e) => e.textContent)"
    assert browser.run(captions) == ["loss: 0.5", "validation loss: 0.5", "validation mean_iou: 0.25"]
    titles = browser.run("[...document.querySelectorAll('#training-charts title')].map((e) => e.textContent)")
    assert titles[0] == "loss: 0.75 at step 5, 0.5 at step 10"
    assert titles[2] == "validation mean_iou: 0.25 at step 10, 0.25 at step 10"
    services.models.add(toolkit.load(folder / "runs" / "unet", device="cpu"), "better", is_run=True)
    trainer.now |= {"state": "done", "step": 20, "result": "better"}
    browser.wait_for("[...document.getElementById('predictor').options].some((e) => e.value === 'better')")
    assert page.text("training-said") == "Done: better is served beside unet."
    assert browser.run("document.getElementById('new-run').value") == "better-2"
    page.press("use-new")
    browser.wait_for("toolkitPage.guess.shown?.model === 'better' && !toolkitPage.guess.isRunning")
    assert page.text("swap") == "Show unet instead"


def test_a_training_that_fails_or_is_stopped_is_told(
    page: PageDriver, served: tuple[str, Services], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, trainer = page.browser, Scripted()
    monkeypatch.setattr(served[1], "trainer", trainer)
    page.open("a.png")
    page.press("open-training")
    page.press("start-training")
    browser.wait_for("toolkitPage.training.isRunning")
    page.press("stop-training")
    browser.wait_for("document.getElementById('training-said').textContent.endsWith('was stopped.')")
    page.press("start-training")
    browser.wait_for("toolkitPage.training.isRunning")
    trainer.now |= {"state": "failed", "log": ["error: <no> memory", "Hint: a smaller batch"]}
    browser.wait_for("document.getElementById('training-said').textContent.endsWith('failed.')")
    assert page.text("training-error") == "error: <no> memory\nHint: a smaller batch"
    assert not browser.run("document.getElementById('training-form').hidden"), "it can be tried again"


@pytest.mark.slow
def test_a_run_is_fine_tuned_from_the_page_and_the_new_one_is_beside_it(
    page: PageDriver, folder: Path
) -> None:
    browser = page.browser
    page.open("a.png")
    for name in ("a.png", "b.png"):
        browser.run(f"toolkitPage.open({json.dumps(name)})")
        browser.wait_for(f"toolkitPage.editor.name === {json.dumps(name)} && {IDLE}")
        page.click(40, 30)
        page.press("save")
    page.press("open-training")
    assert browser.run("document.getElementById('training').open")
    assert page.text("done-so-far") == "2 images"
    choose(page, "start-run", "sam2")
    choose(page, "new-run", "better-sam")
    choose(page, "steps", "2")
    page.press("start-training")
    browser.wait_for("toolkitPage.training.isRunning")
    assert not browser.run("document.getElementById('stop-training').hidden")
    browser.wait_for("toolkitPage.training.state.state !== 'running'", 60)
    assert browser.run("toolkitPage.training.state.state") == "done", browser.run(
        "toolkitPage.training.state"
    )
    assert "better-sam is served beside sam2" in page.text("training-said")
    charts = browser.run(
        "[...document.querySelectorAll('#training-charts figcaption')].map((e) => e.textContent)"
    )
    assert charts[0].startswith("loss: ")
    page.press("use-new")
    browser.wait_for("toolkitPage.guess.shown?.model === 'better-sam' && !toolkitPage.guess.isRunning")
    assert page.text("swap") == "Show sam2 instead"
    assert (folder / "new" / "better-sam" / "last.safetensors").exists()

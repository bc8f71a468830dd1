"""A server with small runs of the built-in plugins, and a browser that shows its page."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from support.browser import Browser
from support.small_settings import MODELS

from toolkit import registry
from toolkit.checkpoints import BEST, CheckpointManifest, save_checkpoint
from toolkit.serve.options import ServeOptions
from toolkit.serve.running import RunningServer
from toolkit.serve.services import Services
from toolkit.types import Masks

CLASSES = {
    "sam2": ("object",),
    "unet": ("background", "cell", "fiber"),
    "maskrcnn": ("cell", "fiber"),
}
# With random weights, no answer to the grid of points would pass the usual thresholds.
MORE = {"sam2": {"auto": {"points_per_side": 4, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}}}
SIZES = {"a.png": (96, 128), "b.png": (150, 90), "deep/c d.png": (64, 64), "x<b>&.png": (40, 700)}
"""Height and width of the photos."""

IDLE = "window.toolkitPage?.saver && !toolkitPage.editor.waiting && !toolkitPage.saver.running"
"""Nothing that the page was told to do is on its way."""


def make_run(folder: Path, plugin: str) -> Path:
    """A run with random weights."""
    manifest, case = registry.plugins().get(plugin), MODELS[plugin]
    torch.manual_seed(0)
    chosen = {**case.settings, **MORE.get(plugin, {})}
    settings = manifest.resolve(manifest.settings).model_validate(chosen)
    model = manifest.resolve(manifest.build)(settings, CLASSES[plugin])
    about = CheckpointManifest(
        plugin, manifest.task, CLASSES[plugin], model=settings.model_dump(mode="json"), step=1
    )
    (folder / plugin).mkdir(parents=True)
    save_checkpoint(folder / plugin / BEST, model.state_dict(), about)
    return folder / plugin


def make_photos(folder: Path) -> Path:
    """Bright ellipses on a dark noisy ground, one photo per entry of SIZES."""
    for seed, (name, (height, width)) in enumerate(SIZES.items()):
        rng = np.random.default_rng(seed)
        ys, xs = np.mgrid[:height, :width]
        image = rng.integers(0, 70, (height, width, 3), dtype=np.uint8)
        for x, y, a, b in rng.uniform((0.2, 0.2, 0.1, 0.1), (0.8, 0.8, 0.25, 0.25), (3, 4)):
            inside = ((xs / width - x) / a) ** 2 + ((ys / height - y) / b) ** 2 < 1
            image[inside] += rng.integers(60, 180, 3, dtype=np.uint8)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name)
    return folder


@contextmanager
def serving(folder: Path, runs: Sequence[Path], **more: Any) -> Iterator[tuple[str, Services]]:
    """The address of a server for the folder's ``photos`` and ``labels``, with ``more`` options."""
    folders = {"images": folder / "photos", "labels": folder / "labels", "new_runs": folder / "new"}
    options = ServeOptions(tuple(map(str, runs)), port=0, predictor={"device": "cpu"}, **{**folders, **more})
    running = RunningServer(options)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        yield running.address, running.services
    finally:
        running.stop()
        thread.join(30)
        assert not thread.is_alive()


class PageDriver:
    """What a user does, in image pixels."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.browser, self.address = browser, address

    def open(self, name: str = "", width: int = 1280, height: int = 800) -> None:
        """Show the page, with an image or the one that it chooses."""
        self.browser.open("about:blank", width, height)
        self.browser.open(f"{self.address}#image={name.replace('&', '%26')}", width, height)
        self.ready(name)

    def ready(self, name: str = "") -> None:
        """Wait until the page has opened an image, and is idle."""
        self.browser.wait_for(f"document.body.dataset.ready && {IDLE}")
        if name:
            assert self.browser.run("toolkitPage.editor.name") == name

    def idle(self) -> None:
        """Wait until everything has been answered."""
        self.browser.wait_for(IDLE)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where in the window a place of the image is."""
        found = self.browser.run(
            f"""(() => {{ const {{ stage }} = toolkitPage, c = stage.canvas.getBoundingClientRect();
            return [c.left + {x} * stage.view.scale + stage.view.left,
                    c.top + {y} * stage.view.scale + stage.view.top]; }})()"""
        )
        return found[0], found[1]

    def click(self, x: float, y: float, modifiers: int = 0) -> None:
        """Click on a place of the image, and wait for the answer."""
        self.browser.click(*self.at(x, y), modifiers=modifiers)
        self.idle()

    def drag(self, *places: tuple[float, float]) -> None:
        """Drag along places of the image, and wait for the answer."""
        self.browser.drag([self.at(*place) for place in places])
        self.idle()

    def key(self, key: str, modifiers: int = 0) -> None:
        """Press a key, and wait for what it starts."""
        self.browser.key(key, modifiers)
        self.idle()

    def press(self, element: str) -> None:
        """Click on an element, by its id, with the mouse, and wait for what it starts."""
        x, y = self.browser.run(
            f"""(() => {{ const e = document.getElementById({json.dumps(element)});
            e.scrollIntoView({{ block: 'nearest' }});
            const b = e.getBoundingClientRect(); return [b.left + b.width / 2, b.top + b.height / 2]; }})()"""
        )
        self.browser.click(x, y)
        self.idle()

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The objects of the image that is open."""
        return list(self.browser.run("toolkitPage.editor.state.objects"))

    def masks(self) -> list[np.ndarray[Any, Any]]:
        """Their masks."""
        return [dense(each["rle"]) for each in self.objects]

    def text(self, element: str) -> str:
        """What an element says, by its id."""
        return str(self.browser.run(f"document.getElementById({json.dumps(element)}).textContent.trim()"))


def choose(page: PageDriver, element: str, value: Any, event: str = "change") -> None:
    """Give a field a value, as if the user had chosen it."""
    page.browser.run(
        f"""(() => {{ const e = document.getElementById('{element}'); e.value = {json.dumps(value)};
        e.dispatchEvent(new Event('{event}', {{ bubbles: true }})); }})()"""
    )


def dense(rle: dict[str, Any]) -> np.ndarray[Any, Any]:
    """The pixels of run lengths, bool ``[H, W]``."""
    height, width = rle["size"]
    mask: np.ndarray[Any, Any] = Masks.from_coco([rle], (height, width)).dense()[0].numpy()
    return mask

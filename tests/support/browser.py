"""Chromium without a window, driven through a pipe by its DevTools protocol: without a network, or with the
servers on this machine alone. Mouse, keys and fingers go through the browser's own input.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

SECONDS = 60.0
NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """Its path; the test is skipped where there is none."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    pytest.skip("needs Chromium")


SHIFT, CONTROL = 8, 2
"""Modifiers of mouse and keys, as the protocol counts them; their sum is both."""

KEYS = {
    "Enter": 13,
    "Escape": 27,
    "Tab": 9,
    " ": 32,
    "Backspace": 8,
    "Delete": 46,
    "PageUp": 33,
    "PageDown": 34,
}
KEYS |= {"End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
"""The codes of keys that have more than one letter, and of the space bar."""


class Browser:
    """One page in a browser; a context.

    Args:
        local: allow addresses at 127.0.0.1; all others are not found.

    Attributes:
        requests: addresses that the page has asked for, itself left out.
        complaints: what stands in its console, and what was thrown.
    """

    def __init__(self, *, local: bool = False) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._rules = "MAP * ~NOTFOUND" + (", EXCLUDE 127.0.0.1" if local else "")
        self._count, self._buffer, self._session = 0, b"", ""

    def __enter__(self) -> Browser:
        path = chromium()
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        here, self._out = os.pipe()
        self._in, there = os.pipe()
        # out of the way of the two that the protocol is spoken on
        here, there = (_moved(end) for end in (here, there))
        options = [
            *("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--hide-scrollbars"),
            *(
                "--no-first-run",
                f"--user-data-dir={self._folder.name}",
                f"--host-resolver-rules={self._rules}",
                # a proxy would be asked for the servers of the tests
                "--no-proxy-server",
            ),
        ]
        script = f'exec "$0" "$@" 3<&{here} 4>&{there} {here}<&- {there}>&-'
        words = ["bash", "-c", script, path, *options, "about:blank"]
        self._process = subprocess.Popen(
            words, pass_fds=(here, there), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(here)
        os.close(there)
        targets = self._call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        attached = self._call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._folder.cleanup()

    def open(self, page: Path | str, width: int = 1280, height: int = 900) -> None:
        """Show a file, with the network off, or an address."""
        self.resize(width, height)
        is_file = isinstance(page, Path)
        self._call(
            "Network.emulateNetworkConditions",
            offline=is_file,
            latency=0,
            downloadThroughput=0 if is_file else -1,
            uploadThroughput=0 if is_file else -1,
        )
        self._page = page.as_uri() if isinstance(page, Path) else page
        self._call("Page.navigate", url=self._page)
        self.wait_for(
            f"document.readyState === 'complete' && location.href.startsWith({json.dumps(self._page)})"
        )

    def reload(self) -> None:
        """Load the page again; returns when it is there."""
        self.run("window.isOld = true")
        self._call("Page.reload")
        self.wait_for("!window.isOld && document.readyState === 'complete'")

    def resize(self, width: int, height: int) -> None:
        """Give the window a size, in CSS pixels."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def media(self, **features: str) -> None:
        """Set what style sheets ask for: ``prefers_color_scheme="dark"``, for example."""
        given = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self._call("Emulation.setEmulatedMedia", features=given)

    def wait_for(self, condition: str, seconds: float = SECONDS) -> Any:
        """The value of an expression, as soon as it is true; while the page is loading, it may fail."""
        deadline = time.monotonic() + seconds
        while True:
            found = self._call(
                "Runtime.evaluate", expression=condition, returnByValue=True, awaitPromise=True
            )
            if value := found["result"].get("value") if "exceptionDetails" not in found else None:
                return value
            assert time.monotonic() < deadline, (
                f"not within {seconds:g} s: {condition}",
                self.complaints[-3:],
            )
            time.sleep(0.02)

    def move(self, x: float, y: float, modifiers: int = 0) -> None:
        """Move the mouse to a place of the window."""
        self._mouse("mouseMoved", x, y, modifiers=modifiers)

    def click(self, x: float, y: float, modifiers: int = 0, button: str = "left") -> None:
        """Move the mouse to a place, and click."""
        self.move(x, y, modifiers)
        self._mouse("mousePressed", x, y, modifiers=modifiers, button=button, clickCount=1)
        self._mouse("mouseReleased", x, y, modifiers=modifiers, button=button, clickCount=1)

    def drag(self, places: Sequence[tuple[float, float]]) -> None:
        """Move the mouse along places, with the left button pressed from the first to the last."""
        self.move(*places[0])
        self._mouse("mousePressed", *places[0], button="left", clickCount=1)
        for place in places[1:]:
            self._mouse("mouseMoved", *place, button="left", buttons=1)
        self._mouse("mouseReleased", *places[-1], button="left", clickCount=1)

    def wheel(self, x: float, y: float, delta: float) -> None:
        """Turn the wheel at a place."""
        self._mouse("mouseWheel", x, y, deltaX=0, deltaY=delta)

    def touch(self, kind: str, *places: tuple[float, float]) -> None:
        """Put fingers on places (``kind="Start"``), or move (``"Move"``) or lift (``"End"``) them."""
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        self._call("Input.dispatchTouchEvent", type=f"touch{kind}", touchPoints=points)

    def key(self, key: str, modifiers: int = 0, kinds: Sequence[str] = ("keyDown", "keyUp")) -> None:
        """Press and release a key, or one of both."""
        isolated = len(key) > 1 or modifiers & CONTROL
        code = KEYS.get(key, ord(key.upper()) if len(key) == 1 else 0)
        text = {} if isolated and key != "Enter" else {"text": "\r" if key == "Enter" else key}
        for kind in kinds:
            self._call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                modifiers=modifiers,
                windowsVirtualKeyCode=code,
                **(text if kind == "keyDown" else {}),
            )

    def type(self, text: str) -> None:
        """Enter text where the focus is."""
        self._call("Input.insertText", text=text)

    def run(self, script: str, *, wait: bool = True) -> Any:
        """The value of an expression in the page; of a promise, what it becomes, if somebody waits."""
        found = self._call("Runtime.evaluate", expression=script, returnByValue=wait, awaitPromise=wait)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def _mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Write the whole page as a PNG, or what the window shows, which leaves the mouse where it is."""
        found = self._call("Page.captureScreenshot", captureBeyondViewport=whole, format="png")
        path.write_bytes(base64.b64decode(found["data"]))

    def _call(self, method: str, **parameters: Any) -> Any:
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + SECONDS
        while True:
            answer = self._read(deadline)
            if answer.get("id") == self._count:
                assert "error" not in answer, (method, answer)
                return answer["result"]
            self._notice(answer)

    def _read(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "Chromium does not answer"
            data = os.read(self._in, 1 << 20)
            assert data, "Chromium has ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _notice(self, event: dict[str, Any]) -> None:
        method, found = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            url = found["request"]["url"]
            if url not in (self._page, "about:blank") and not url.startswith("data:"):
                self.requests.append(url)
        elif method in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            self.complaints.append(json.dumps(found)[:500])


def _moved(descriptor: int) -> int:
    """The same file under a number from 10 on."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD, 10)
    os.close(descriptor)
    return moved

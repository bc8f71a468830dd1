"""Chromium without a window and without a network, driven through a pipe by its DevTools protocol."""

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


class Browser:
    """One page in a browser; a context.

    Attributes:
        requests: addresses that the page has asked for, itself left out.
        complaints: what stands in its console, and what was thrown.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
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
                "--host-resolver-rules=MAP * ~NOTFOUND",
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

    def open(self, path: Path, width: int = 1280, height: int = 900) -> None:
        """Show a file, with the network off."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self._call(
            "Network.emulateNetworkConditions",
            offline=True,
            latency=0,
            downloadThroughput=0,
            uploadThroughput=0,
        )
        self._page = path.as_uri()
        self._call("Page.navigate", url=self._page)
        deadline = time.monotonic() + SECONDS
        while self.run("document.readyState") != "complete" or self.run("location.href") != self._page:
            assert time.monotonic() < deadline, "the page was not loaded"
            time.sleep(0.05)

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def picture(self, path: Path) -> None:
        """Write the whole page as a PNG."""
        found = self._call("Page.captureScreenshot", captureBeyondViewport=True, format="png")
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

"""The modules of the page, each by itself in a browser, without a server."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from support.browser import Browser

Dense = NDArray[np.bool_]


def run(browser: Browser, module: str, body: str, given: Any = None) -> Any:
    """What a function returns that gets a module as ``m`` and a value as ``given``."""
    script = f"(async (given) => {{ const m = await import('/{module}.js'); {body} }})({json.dumps(given)})"
    return browser.run(script)


def rle_of(dense: Dense) -> dict[str, Any]:
    """A mask as pycocotools encodes it."""
    code = coco_mask.encode(np.asfortranarray(dense, np.uint8))
    return {"size": [int(n) for n in code["size"]], "counts": code["counts"].decode()}


def dense_of(rle: dict[str, Any]) -> Dense:
    """The pixels that pycocotools decodes."""
    decoded: Dense = coco_mask.decode({"size": rle["size"], "counts": rle["counts"].encode()}).astype(bool)
    return decoded

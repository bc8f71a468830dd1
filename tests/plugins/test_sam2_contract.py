"""The promises of every plugin, kept by SAM 2 in the toy size."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

pytest.importorskip("toolkit.plugins.sam2.upstream", reason="needs the package sam2: see toolkit plugins info sam2", exc_type=ImportError)

from toolkit.testing import ModelContract


class TestSam2(ModelContract):
    """All of the network that still images use, learning from points, boxes and corrections."""

    plugin = "sam2"
    settings: ClassVar[dict[str, Any]] = {"size": "toy", "image_size": 64, "preset": "sam2", "corrections": 1}
    train: ClassVar[dict[str, Any]] = {"lr": 1e-3}
    steps = 12
    skips: ClassVar[dict[str, str]] = {
        "gradients_reach_all_parameters": "of three masks for a point only the best learns, whichever that is"
    }

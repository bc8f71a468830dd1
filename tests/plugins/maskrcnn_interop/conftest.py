from __future__ import annotations

from pathlib import Path

import pytest
from config_cases import write_configs


@pytest.fixture
def mask_yaml(tmp_path: Path) -> Path:
    """A file like ``mask_rcnn_R_50_FPN_3x.yaml`` in a folder like Detectron2's ``configs``."""
    return write_configs(tmp_path)

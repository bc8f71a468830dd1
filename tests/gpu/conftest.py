"""What the tests on a GPU share. Tests here run on the CPU as well, most of them by ``make slow``, so that
every machine can try the tests themselves.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _needs_gpus(request: pytest.FixtureRequest) -> None:
    """Skip what is marked ``gpu`` where there is none, and ``gpu(count=2)`` where there is only one."""
    marker = request.node.get_closest_marker("gpu")
    if marker is None:
        return
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU; torch sees none")
    if torch.cuda.device_count() < marker.kwargs.get("count", 1):
        pytest.skip("needs two GPUs")


@pytest.fixture
def plain_fp32() -> Iterator[None]:
    """float32 as on a CPU: without TF32, which keeps 10 bits of the mantissa where float32 has 23."""
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [switch.allow_tf32 for switch in switches]
    for switch in switches:
        switch.allow_tf32 = False
    yield
    for switch, value in zip(switches, before, strict=True):
        switch.allow_tf32 = value

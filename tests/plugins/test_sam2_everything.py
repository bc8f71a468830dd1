"""Everything in an image: the masks of upstream's generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from toolkit import registry
from toolkit.types import Sample

pytest.importorskip("sam2")

AUTO = {"points_per_side": 4, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:FutureWarning")
def test_masks_are_those_of_upstreams_generator() -> None:
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

    plugin = registry.plugins().get("sam2")
    torch.manual_seed(0)
    model = plugin.resolve(plugin.build)(
        plugin.resolve(plugin.settings)(size="toy", auto=AUTO), ("thing",)
    ).eval()
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    generator = SAM2AutomaticMaskGenerator(model.network, **AUTO)
    generator.predictor._bb_feat_sizes = [(32, 32), (16, 16), (8, 8)]  # written out for 1024 pixels there
    expected = generator.generate(image)
    sample = Sample("a", torch.from_numpy(image).permute(2, 0, 1))
    (prediction,) = model.predict([sample])
    found = prediction.instances
    assert len(found) == len(expected) >= 2
    ours = {mask.numpy().tobytes() for mask in found.masks.dense()}
    assert ours == {each["segmentation"].tobytes() for each in expected}
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert set(found.labels.tolist()) == {0}


def test_an_image_with_nothing_that_is_certain_has_no_objects() -> None:
    plugin = registry.plugins().get("sam2")
    auto = {"points_per_side": 2, "pred_iou_thresh": 1.0}
    model = plugin.resolve(plugin.build)(
        plugin.resolve(plugin.settings)(size="toy", auto=auto), ("thing",)
    ).eval()
    (prediction,) = model.predict([Sample("a", torch.zeros(3, 40, 50, dtype=torch.uint8))])
    assert len(prediction.instances) == 0

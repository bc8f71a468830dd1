"""Recipes mean what Detectron2 makes of its files, for all of its model zoo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from config_cases import recipe_of
from toolkit.plugins.maskrcnn.interop import keys
from toolkit.plugins.maskrcnn.interop.config import to_recipe
from toolkit.plugins.maskrcnn.interop.engine import is_installed, to_cfg
from toolkit.plugins.maskrcnn.interop.yaml_files import read_config
from toolkit.plugins.maskrcnn.settings import MaskRCNNSettings

from toolkit.config import TrainSettings
from toolkit.config.augmentations import Flip
from toolkit.data.transforms import build_transform
from toolkit.errors import ConfigError
from toolkit.types import Instances, Sample

pytestmark = [
    pytest.mark.skipif(not is_installed(), reason="Detectron2 is not installed"),
    # of what Detectron2 imports
    pytest.mark.filterwarnings("ignore"),
]


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for key, value in tree.items():
        pairs |= (
            flat(value, f"{prefix}{key}.")
            if isinstance(value, Mapping) and value
            else {f"{prefix}{key}": value}
        )
    return pairs


def plain(value: Any) -> Any:
    return tuple(plain(part) for part in value) if isinstance(value, (list, tuple)) else value


def zoo_files() -> list[Path]:
    """The files of Detectron2's model zoo."""
    import detectron2

    # the module model_zoo needs pkg_resources, which newer versions of setuptools do not have
    files = sorted((Path(detectron2.__file__).parent / "model_zoo" / "configs").rglob("*.yaml"))
    assert files
    return files


def test_every_key_of_detectron2_is_known_with_its_default() -> None:
    from detectron2.config import get_cfg

    defaults = flat(get_cfg())
    assert [key for key in defaults if not keys.is_known(key)] == []
    assert [key for key in (*keys.SETTINGS, *keys.ONLY, *keys.ELSEWHERE) if key not in defaults] == []
    assert [
        key
        for key in defaults
        if sum(key in table for table in (keys.SETTINGS, keys.ONLY, keys.ELSEWHERE)) > 1
    ] == []
    ours = (
        {key: entry.default for key, entry in keys.SETTINGS.items()}
        | {key: value for key, (value, _) in keys.ONLY.items()}
        | {key: value for key, (value, _, _) in keys.DIFFERENT.items()}
        | keys.ELSEWHERE
    )
    assert {key: plain(defaults[key]) for key in ours} == {key: plain(value) for key, value in ours.items()}


def test_detectron2s_own_files_come_back_as_they_went() -> None:
    """File -> settings -> configuration is what Detectron2 reads from the file, or the file is refused."""
    from detectron2.config import get_cfg

    taken = []
    for path in zoo_files():
        try:
            recipe = to_recipe(read_config(path), path)
        except ConfigError:
            continue
        taken.append(path.stem)
        theirs = get_cfg()
        theirs.merge_from_file(str(path))
        settings = MaskRCNNSettings(**recipe["model"])
        ours = to_cfg(settings, theirs.MODEL.ROI_HEADS.NUM_CLASSES)
        used = [key for key, entry in keys.SETTINGS.items() if entry.setting.startswith("model.")]
        # of which several values mean the same
        used += [key for key in keys.ONLY if key not in keys.ALSO]
        idle = tuple(
            f"MODEL.ROI_{head}_HEAD"
            for head, on in (("MASK", settings.masks), ("KEYPOINT", settings.keypoint_count))
            if not on
        )
        a, b = flat(theirs), flat(ours)
        assert {k: plain(a[k]) for k in used if not k.startswith(idle)} == {
            k: plain(b[k]) for k in used if not k.startswith(idle)
        }, path
        assert a["MODEL.KEYPOINT_ON"] == b["MODEL.KEYPOINT_ON"]
    expected = {
        "mask_rcnn_R_50_FPN_3x",
        "mask_rcnn_R_101_FPN_3x",
        "keypoint_rcnn_R_50_FPN_3x",
        "faster_rcnn_R_50_FPN_1x",
        "mask_rcnn_R_50_FPN_3x_gn",
    }
    assert expected | {
        "scratch_mask_rcnn_R_50_FPN_3x_gn",
        "scratch_mask_rcnn_R_50_FPN_9x_gn",
        "mask_rcnn_R_50_FPN_1x_cls_agnostic",
    } <= set(taken)


def test_learning_rates_are_those_of_detectron2(mask_yaml: Path) -> None:
    import torch
    from detectron2.config import get_cfg
    from detectron2.solver import build_lr_scheduler

    from toolkit.training.optimizer import build_schedule

    for name in ("WarmupMultiStepLR", "WarmupCosineLR"):
        values = {
            "SOLVER.MAX_ITER": 200,
            "SOLVER.STEPS": (120, 170),
            "SOLVER.WARMUP_ITERS": 50,
            "SOLVER.LR_SCHEDULER_NAME": name,
        }
        train = TrainSettings(**recipe_of(mask_yaml, **values)["train"])
        cfg = get_cfg()
        cfg.merge_from_list([word for pair in values.items() for word in pair])
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        scheduler = build_lr_scheduler(cfg, optimizer)
        factor = build_schedule(train, 200)
        for step in range(200):
            assert optimizer.param_groups[0]["lr"] == pytest.approx(factor(step), rel=1e-6, abs=1e-9), (
                name,
                step,
            )
            optimizer.step()
            scheduler.step()


def test_training_is_that_of_detectron2_or_the_file_is_refused_by_its_keys() -> None:
    """For each file of the zoo: solver, learning rates and augmentation."""
    from detectron2.config import get_cfg

    taken, refused = 0, []
    for path in zoo_files():
        try:
            recipe = to_recipe(read_config(path), path)
        except ConfigError as error:
            refused.append((path.name, str(error)))
            continue
        taken += 1
        cfg = get_cfg()
        cfg.merge_from_file(str(path))
        assert_same_solver(TrainSettings(**recipe["train"]), cfg, path.name)
        assert_same_flips(recipe["augment"], cfg, path.name)
    assert taken > 15
    for name, message in refused:
        lines = message.splitlines()
        for line in lines[1:] or [lines[0].partition(": ")[2]]:
            named = line.strip().partition(": ")[0].split(", ")
            assert all(keys.is_known(key) for key in named), (name, line)
    by_file = dict(refused)
    assert all("'RetinaNet'" in text for name, text in by_file.items() if name.startswith("retinanet"))
    assert "SOLVER.WARMUP_ITERS: " in by_file["keypoint_rcnn_R_50_FPN_instant_test.yaml"]


def assert_same_solver(train: TrainSettings, cfg: Any, name: str) -> None:
    import torch
    from detectron2.solver import build_lr_scheduler

    from toolkit.training.optimizer import build_schedule

    solver = cfg.SOLVER
    ours = train.steps, train.batch_size, train.scaled_lr(), train.momentum, train.weight_decay
    theirs = solver.MAX_ITER, solver.IMS_PER_BATCH, solver.BASE_LR, solver.MOMENTUM, solver.WEIGHT_DECAY
    assert ours == theirs, name
    scheduler = build_lr_scheduler(cfg, torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0))
    factor = build_schedule(train, solver.MAX_ITER)
    near = {0, 1, 20, solver.WARMUP_ITERS, *solver.STEPS, solver.MAX_ITER - 1}
    for step in sorted({step + offset for step in near for offset in (-1, 0, 1)}):
        if 0 <= step < solver.MAX_ITER:
            expected = scheduler._multiplier(step / solver.MAX_ITER)
            assert factor(step) == pytest.approx(expected, rel=1e-6, abs=1e-9), (name, step)


def assert_same_flips(augment: list[dict[str, Any]], cfg: Any, name: str) -> None:
    from detectron2.data.detection_utils import build_augmentation

    flips = build_augmentation(cfg, is_train=True)[1:]
    assert [step["name"] for step in augment] == ["flip"] * len(flips), name
    for ours, theirs in zip(augment, flips, strict=True):
        assert (ours["direction"] == "horizontal", ours["direction"] == "vertical", ours["p"]) == (
            theirs.horizontal,
            theirs.vertical,
            theirs.prob,
        ), name


def test_keypoints_are_swapped_as_there() -> None:
    """COCO's persons, by the names that its files give the keypoints."""
    import numpy as np
    import torch
    from detectron2.data import MetadataCatalog
    from detectron2.data.detection_utils import create_keypoint_hflip_indices, transform_keypoint_annotations
    from detectron2.data.transforms import HFlipTransform, TransformList

    names = MetadataCatalog.get("keypoints_coco_2017_val").keypoint_names
    generator = torch.Generator().manual_seed(4)
    points = torch.rand(3, 17, 3, generator=generator) * torch.tensor([60.0, 40.0, 1.0])
    points[..., 2] = (points[..., 2] * 3).floor()
    points = points * (points[..., 2:] > 0)
    boxes, labels = torch.tensor([[0.0, 0, 60, 40]] * 3), torch.zeros(3, dtype=torch.int64)
    sample = Sample(
        "a",
        torch.zeros(3, 40, 60, dtype=torch.uint8),
        instances=Instances((40, 60), boxes, labels, keypoints=points),
    )
    flipped = build_transform([Flip(p=1)], names)(sample, 0).instances
    assert flipped is not None
    assert flipped.keypoints is not None
    order = create_keypoint_hflip_indices("keypoints_coco_2017_val")
    flip = TransformList([HFlipTransform(60)])
    for own, given in zip(flipped.keypoints, points, strict=True):
        expected = transform_keypoint_annotations(given.numpy(), flip, (40, 60), order)
        np.testing.assert_allclose(own.numpy(), expected, atol=1e-4)

"""The score of classes of pixels, and how maps of layers are placed in the image."""

from __future__ import annotations

import pytest
import torch
from support.explained import CLASSES, image, semantic
from toolkit.plugins.unet.original import Mirrored, OriginalUNet
from torch import nn

from toolkit import Prompts, SemanticModel, Target
from toolkit.errors import InvalidDataError, UsageError
from toolkit.models.explained import mean_inside


def test_the_score_is_the_mean_of_the_logits_that_windows_are_predicted_with() -> None:
    model = semantic(divisor=16)
    images = torch.stack([image(0), image(1)])
    mask = torch.zeros(24, 36, dtype=torch.bool)
    mask[3:9, 4:30] = True
    with torch.no_grad():
        logits = model.logits(images)[:, 1]
        whole = model.score(images.float(), Target("class", 1))
        inside = model.score(images.float(), Target("region", 1, mask))
    torch.testing.assert_close(whole, logits.mean((1, 2)))
    torch.testing.assert_close(inside, logits[:, mask].mean(1))


def test_large_images_are_shrunk_with_gradients() -> None:
    network = nn.Conv2d(3, 3, 3, padding=1)
    model = SemanticModel(network, CLASSES, long_side=16, divisor=8).eval()
    images = image()[None].float().requires_grad_()
    (gradient,) = torch.autograd.grad(model.score(images, Target("class", 1)).sum(), images)
    assert (gradient.abs().amax(1) > 0).float().mean() > 0.9
    assert model.maps_in_image(torch.ones(1, 4, 6), (24, 36)).shape == (1, 24, 36)


def test_other_targets_are_refused() -> None:
    model, images = semantic(), image()[None].float()
    box = torch.tensor([1.0, 1.0, 5.0, 5.0])
    with pytest.raises(UsageError, match="cannot explain a target of kind 'object': it explains classes"):
        model.score(images, Target("object", 0, box_xyxy=box))
    with pytest.raises(UsageError, match="no class 9: the model has 3"):
        model.score(images, Target("class", 9))
    mask = torch.ones(24, 36, dtype=torch.bool)
    with pytest.raises(UsageError, match="'prompt'"):
        model.score(images, Target("prompt", mask=mask, prompts=Prompts(boxes_xyxy=box[None])))


def test_means_need_pixels_of_the_image() -> None:
    values = torch.ones(2, 4, 5)
    with pytest.raises(InvalidDataError, match="has no pixels"):
        mean_inside(values, torch.zeros(4, 5, dtype=torch.bool))
    with pytest.raises(InvalidDataError, match=r"mask is \[5, 4\], but the images are \[4, 5\]"):
        mean_inside(values, torch.ones(5, 4, dtype=torch.bool))


def test_maps_lie_in_the_image_without_the_padding() -> None:
    model = semantic(divisor=16)
    maps = torch.zeros(1, 16, 24)  # of an image padded to 32 × 48
    maps[0, 2, 3] = 1
    placed = model.maps_in_image(maps, (24, 36))
    assert placed.shape == (1, 24, 36)
    row, column = divmod(int(placed.argmax()), 36)
    assert row in (4, 5)
    assert column in (6, 7)


def test_maps_of_an_unpadded_network_lie_in_the_image_without_its_context() -> None:
    """A dot in the image is where the maps of every layer see it."""
    torch.manual_seed(0)
    network = OriginalUNet(3, 2, depth=2, width=4)
    model = SemanticModel(Mirrored(network), ("a", "b"), padding="reflect").eval()
    size = (40, 56)
    dark, dotted = torch.zeros(1, 3, *size), torch.zeros(1, 3, *size)
    dotted[:, :, 18:22, 30:34] = 255
    for name in model.layers():
        outputs: list[torch.Tensor] = []
        layer = model.get_submodule(name)
        hook = layer.register_forward_hook(lambda module, args, output, kept=outputs: kept.append(output))
        with torch.no_grad():
            model.logits(dark)
            model.logits(dotted)
        hook.remove()
        change = (outputs[0] - outputs[1]).abs().sum(1)
        placed = model.maps_in_image(change, size)
        weights = placed[0] / placed.sum()
        rows = (weights.sum(1) * (torch.arange(size[0]) + 0.5)).sum()
        columns = (weights.sum(0) * (torch.arange(size[1]) + 0.5)).sum()
        assert abs(float(rows) - 20) < 2.5, name
        assert abs(float(columns) - 32) < 2.5, name


def test_layers_are_names_in_the_model_and_the_default_is_the_last_before_the_logits() -> None:
    model = semantic()
    assert model.layers() == ("network.tanh", "network.relu")
    assert all(name in dict(model.named_modules()) for name in model.layers())

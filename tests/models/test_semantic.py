from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.errors import ConfigError, InvalidDataError, UsageError
from toolkit.models.contract import total_loss
from toolkit.models.losses import SegmentationLossSettings
from toolkit.models.resizing import pad
from toolkit.models.semantic import SemanticModel
from toolkit.types import VOID, Sample

RGB = ("red", "green", "blue")
SIZES = [(1, 1), (1, 7), (9, 1), (5, 8), (31, 33), (64, 40)]


def sample(height: int, width: int, seed: int = 0, classes: int = 3) -> Sample:
    rng = np.random.default_rng([seed, height, width])
    label_map = rng.integers(0, classes, (height, width), dtype=np.uint8)
    label_map[rng.random((height, width)) < 0.1] = VOID
    image = torch.from_numpy(rng.integers(0, 256, (3, height, width), dtype=np.uint8))
    return Sample(f"{seed}-{height}x{width}", image, label_map=torch.from_numpy(label_map))


class Colors(nn.Module):
    """Its logits are the image's own channels, at a fraction of the resolution, so the right prediction is
    known.
    """

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, images: Tensor) -> Tensor:
        self.seen = images
        assert images.shape[2] % self.stride == 0
        assert images.shape[3] % self.stride == 0
        return F.avg_pool2d(images, self.stride)


class Tiny(nn.Module):
    """A strided encoder with batch norm and dropout, and a head at a quarter of the resolution."""

    def __init__(self, classes: int = 3, *, norm: bool = True) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8) if norm else nn.Identity(),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, 2, 1),
        )
        self.head = nn.Sequential(nn.Dropout(0.5 if norm else 0.0), nn.Conv2d(8, classes, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.encoder(images))


def tiny(**options: object) -> SemanticModel:
    torch.manual_seed(0)
    network = Tiny()
    if options.pop("with_encoder", False):
        options["encoder"] = network.encoder
    return SemanticModel(network, RGB, divisor=4, **options)


def naive_prediction(model: SemanticModel, one: Sample) -> Tensor:
    """Predict one image with nothing but plain torch calls, each step spelled out."""
    image = one.image[None].float() / 255
    image = (image - torch.tensor(model.mean).view(1, 3, 1, 1)) / torch.tensor(model.std).view(1, 3, 1, 1)
    height, width = one.size
    below, right = -height % model.divisor, -width % model.divisor
    image = F.pad(image, (0, right, 0, below), mode="replicate")
    logits = F.interpolate(model.network(image), size=image.shape[2:], mode="bilinear", align_corners=False)
    return logits[0, :, :height, :width]


@pytest.mark.parametrize("size", SIZES)
def test_logits_and_prediction_equal_the_plain_recipe(size: tuple[int, int]) -> None:
    model = tiny().eval()
    one = sample(*size)
    with torch.no_grad():
        expected = naive_prediction(model, one)
        logits = model.logits(one.image[None])[0]
    assert logits.shape == (3, *size)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    (prediction,) = model.predict([one])
    assert prediction.sample_id == one.id
    assert prediction.label_map.shape == size
    assert torch.equal(prediction.label_map, logits.argmax(0).to(torch.uint8))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("divisor", "padding"), [(1, "replicate"), (7, "replicate"), (32, "reflect")])
def test_prediction_lies_on_the_image(size: tuple[int, int], divisor: int, padding: str) -> None:
    """With the identity for a network, every pixel must be labeled by its own strongest channel: nothing
    shifts or leaks.
    """
    model = SemanticModel(Colors(), RGB, divisor=divisor, padding=padding, mean=(0, 0, 0), std=(1, 1, 1))
    one = sample(*size)
    assert torch.equal(model.predict([one])[0].label_map, one.image.int().argmax(0).to(torch.uint8))
    assert model.network.seen.shape[2] % divisor == 0
    assert model.network.seen.shape[3] % divisor == 0
    torch.testing.assert_close(model.network.seen[0, :, : size[0], : size[1]], one.image / 255)


def test_coarse_logits_are_centered() -> None:
    """A picture of two halves through a network at an eighth of the resolution: the border between the labels
    stays in the middle.
    """
    image = torch.zeros(3, 64, 96, dtype=torch.uint8)
    image[0, :, :48], image[1, :, 48:] = 200, 200
    model = SemanticModel(Colors(stride=8), RGB, divisor=8, mean=(0, 0, 0), std=(1, 1, 1))
    expected = (torch.arange(96) >= 48).to(torch.uint8).expand(64, 96)
    assert torch.equal(model.predict([Sample("halves", image)])[0].label_map, expected)


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("size", [(100, 61), (61, 100), (400, 3), (41, 40)])
def test_long_side_shrinks_what_the_network_sees_but_not_the_prediction(
    size: tuple[int, int], stride: int
) -> None:
    image = torch.zeros(3, *size, dtype=torch.uint8)
    image[0], image[1] = torch.linspace(0, 255, size[1]), torch.linspace(0, 255, size[0])[:, None]
    model = SemanticModel(Colors(stride), RGB, divisor=stride, long_side=40, mean=(0, 0, 0), std=(1, 1, 1))
    (prediction,) = model.predict([Sample("ramps", image)])
    shrunk = [max(1, round(n * 40 / max(size))) for n in size]
    assert list(model.network.seen.shape[2:]) == [-(-n // stride) * stride for n in shrunk]
    assert prediction.size == size
    assert torch.equal(prediction.label_map, model.logits(image[None])[0].argmax(0).to(torch.uint8))
    if min(size) < 40:
        return  # too little is left of it to compare
    truth = (image[1] > image[0]).to(torch.uint8)
    assert (prediction.label_map == truth).float().mean() > (0.9 if stride == 1 else 0.75)


def test_images_within_long_side_are_left_alone() -> None:
    one = sample(40, 31)
    small, large = (SemanticModel(Colors(), RGB, long_side=side) for side in (40, None))
    assert torch.equal(small.logits(one.image[None]), large.logits(one.image[None]))


def test_batch_equals_singles() -> None:
    model = tiny().eval()
    batch = [
        sample(*size, seed=i) for i, size in enumerate([(31, 33), (8, 8), (31, 33), (1, 1), (8, 8), (33, 31)])
    ]
    together = model.predict(batch)
    assert [p.sample_id for p in together] == [s.id for s in batch]
    for one, prediction in zip(batch, together, strict=True):
        assert torch.equal(prediction.label_map, model.predict([one])[0].label_map)
    assert model.predict([]) == []


@pytest.mark.parametrize("training", [True, False])
def test_predicting_leaves_no_trace(training: bool) -> None:
    model = tiny().train(training)
    model.network.head.eval()  # a mode that somebody set on a part must survive too
    before = copy.deepcopy(model.state_dict())
    modes = [m.training for m in model.modules()]
    generator = torch.get_rng_state()
    first = model.predict([sample(20, 20)])[0].label_map
    model.validate([sample(20, 20)])
    assert [m.training for m in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(
        first, model.eval().predict([sample(20, 20)])[0].label_map
    )  # and the mode makes no difference


def test_modes_are_restored_after_an_error() -> None:
    model = SemanticModel(nn.Conv2d(3, 5, 1), RGB).train()
    with pytest.raises(UsageError, match=r"logits \[B, 3, h, w\].*returned \[1, 5, 8, 8\]"):
        model.predict([sample(8, 8)])
    assert model.training
    assert model.network.training


def test_validate_is_predict_and_loss_in_one_pass() -> None:
    model = tiny(loss=SegmentationLossSettings(dice=1)).train()
    batch = [sample(*size, seed=i) for i, size in enumerate([(16, 16), (8, 12), (16, 16)])]
    passes: list[int] = []
    model.network.register_forward_hook(lambda *_: passes.append(1))
    predictions, losses = model.validate(batch)
    assert len(passes) == 2  # one a size
    for prediction, alone in zip(predictions, model.predict(batch), strict=True):
        assert torch.equal(prediction.label_map, alone.label_map)
    model.eval()
    single = [model.loss([one]) for one in batch]
    for name in ("cross_entropy", "dice"):
        torch.testing.assert_close(losses[name], torch.stack([s[name] for s in single]).mean().detach())
        assert not losses[name].requires_grad


def test_batch_norm_sees_the_padded_batch() -> None:
    """Images of two sizes: the mean color fills up the smaller one, whose loss comes from its own pixels
    alone.
    """
    torch.manual_seed(0)
    model = SemanticModel(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)), RGB).train()
    batch = [sample(6, 9), sample(12, 4, seed=1), sample(6, 9, seed=2)]
    seen: list[tuple[Tensor, Tensor]] = []
    model.network.register_forward_hook(lambda _module, inputs, output: seen.append((inputs[0], output)))
    loss = model.loss(batch)["cross_entropy"]
    ((images, logits),) = seen
    assert images.shape == (3, 3, 12, 9)
    assert images.is_contiguous(memory_format=torch.channels_last)
    order = [batch[0], batch[2], batch[1]]  # those of one size stand together
    expected = []
    for image, raw, one in zip(images, logits, order, strict=True):
        height, width = one.size
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (model.mean, model.std))
        torch.testing.assert_close(image[:, :height, :width], (one.image / 255 - mean) / std)
        assert not image[:, height:].any()
        assert not image[:, :, width:].any()
        own = raw[None, :, :height, :width]
        expected.append(F.cross_entropy(own, one.label_map[None].long(), ignore_index=VOID))
    torch.testing.assert_close(loss, torch.stack(expected).mean())


class Pooled(nn.Module):
    """A strided network in which every pixel sees the whole image, as those with image pooling."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, stride=stride, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        features = self.norm(self.down(images)).relu()
        return self.head(features + features.mean((2, 3), keepdim=True))


@pytest.mark.parametrize("long_side", [None, 16, 30])
@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("auxiliary", [False, True])
def test_photos_of_different_sizes_give_the_mean_of_each_alone(
    long_side: int | None, stride: int, auxiliary: bool
) -> None:
    """The small photo beside a large one is learned from as when it is alone, and so is the gradient."""

    class WithAuxiliary(Pooled):
        def all_logits(self, images: Tensor) -> list[Tensor]:
            return [self(images), self.head(self.down(images))]

    torch.manual_seed(1)
    network = WithAuxiliary(stride) if auxiliary else Pooled(stride)
    losses = SegmentationLossSettings(dice=1, focal=0.5, lovasz=0.5)
    options = {"auxiliary_weight": 0.4} if auxiliary else {}
    model = SemanticModel(network, RGB, loss=losses, divisor=stride, long_side=long_side, **options).train()
    batch = [sample(*size, seed=i) for i, size in enumerate([(9, 12), (60, 44), (9, 12), (17, 5), (1, 1)])]

    def learn(parts: Sequence[Sequence[Sample]]) -> tuple[dict[str, Tensor], list[Tensor]]:
        model.zero_grad()
        means: dict[str, Tensor] = {}
        for part in parts:
            terms = model.loss(part)
            (total_loss(terms) * len(part) / len(batch)).backward()
            for name, value in terms.items():
                means[name] = means.get(name, 0) + value.detach() * len(part) / len(batch)
        return means, [p.grad.clone() for p in model.parameters()]

    whole, gradient = learn([batch])
    for parts in ([[one] for one in batch], [batch[:2], batch[2:]]):
        means, others = learn(parts)
        assert means.keys() == whole.keys()
        for name, value in whole.items():
            torch.testing.assert_close(value.detach(), means[name], rtol=1e-5, atol=1e-6)
        for one, other in zip(gradient, others, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_with_batch_norm_a_small_photo_keeps_its_size_beside_a_large_one() -> None:
    """What the network sees of it is not shrunk by the factor of the other."""
    model = SemanticModel(nn.Sequential(nn.BatchNorm2d(3)), RGB, long_side=20).train()
    seen: list[Tensor] = []
    model.network.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    small = sample(16, 12)
    model.loss([small, sample(80, 60, seed=1)])
    model.loss([small])
    together, alone = seen
    assert together.shape == (2, 3, 20, 16) or together.shape == (2, 3, 20, 15)
    assert torch.equal(together[0, :, :16, :12], alone[0])


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (8, 8), (64, 64)])
@pytest.mark.parametrize("long_side", [None, 4, 8])
def test_a_batch_of_one_is_never_too_small_for_batch_norm(
    size: tuple[int, int], long_side: int | None
) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 8, stride=8), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1))
    model = SemanticModel(network, RGB, divisor=8, stride=8, long_side=long_side).train()
    one = sample(*size)
    loss = total_loss(model.loss([one]))
    loss.backward()
    assert torch.isfinite(loss)
    assert model.predict([one])[0].size == size


def test_four_equal_two_and_two() -> None:
    torch.manual_seed(0)
    model = SemanticModel(
        Tiny(norm=False), RGB, divisor=4, loss=SegmentationLossSettings(dice=1, focal=1, lovasz=1)
    )
    batch = [sample(16, 20, seed=i) for i in range(4)]

    def gradients(parts: Sequence[Sequence[Sample]]) -> list[Tensor]:
        model.zero_grad()
        for part in parts:
            (total_loss(model.loss(part)) / len(parts)).backward()
        return [p.grad.clone() for p in model.parameters()]

    for whole, split in zip(gradients([batch]), gradients([batch[:2], batch[2:]]), strict=True):
        torch.testing.assert_close(whole, split, rtol=1e-4, atol=1e-6)


def test_loss_falls_and_reaches_every_parameter() -> None:
    model = tiny().train()
    one = sample(16, 16)
    one = one.with_(label_map=one.image.int().argmax(0).to(torch.uint8) // 2)
    optimizer = torch.optim.AdamW(model.parameter_groups(1e-2, 1e-4))
    values = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = total_loss(model.loss([one]))
        loss.backward()
        assert all(
            p.grad is not None and torch.isfinite(p.grad).all() and p.grad.any()
            for p in model.parameters()
            if p.dim() > 1
        )
        optimizer.step()
        values.append(loss.item())
    assert np.mean(values[-3:]) < 0.9 * np.mean(values[:3])


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (4, 4)])
def test_one_tiny_image_can_train_a_batch_norm(size: tuple[int, int]) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1))
    model = SemanticModel(network, RGB, divisor=4).train()
    assert torch.isfinite(total_loss(model.loss([sample(*size, seed=2)])))


def test_one_tiny_image_can_train_a_strided_network_that_takes_any_size() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1))
    with pytest.raises(ValueError, match="more than 1 value"):
        SemanticModel(network, RGB).train().loss([sample(2, 3, seed=2)])
    assert torch.isfinite(
        total_loss(SemanticModel(network, RGB, stride=4).train().loss([sample(2, 3, seed=2)]))
    )


class TwoHeads(nn.Module):
    """A head and two auxiliary ones, each at a resolution of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(3, 3, n, stride=n) for n in (1, 2, 4))

    def forward(self, images: Tensor) -> Tensor:
        return self.heads[0](images)

    def all_logits(self, images: Tensor) -> list[Tensor]:
        return [head(images) for head in self.heads]


def test_auxiliary_heads_learn_and_do_nothing_else() -> None:
    torch.manual_seed(0)
    network = TwoHeads()
    model = SemanticModel(
        network, RGB, divisor=4, auxiliary_weight=0.4, loss=SegmentationLossSettings(dice=1)
    )
    one = sample(8, 12)
    losses = model.loss([one])
    single = [
        SemanticModel(head, RGB, divisor=4, loss=SegmentationLossSettings(dice=1)).loss([one])
        for head in network.heads
    ]
    assert list(losses) == ["cross_entropy", "dice", "auxiliary_cross_entropy", "auxiliary_dice"]
    for name in ("cross_entropy", "dice"):
        torch.testing.assert_close(losses[name], single[0][name])
        torch.testing.assert_close(losses[f"auxiliary_{name}"], 0.4 * (single[1][name] + single[2][name]))
    total_loss(losses).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    network.heads[1] = network.heads[2] = (
        nn.Identity()
    )  # neither predicting nor validating has any use for them
    predictions, held_out = model.validate([one])
    assert set(held_out) == {"cross_entropy", "dice"}
    assert torch.equal(predictions[0].label_map, model.predict([one])[0].label_map)
    with pytest.raises(UsageError, match=r"a method all_logits\(images\), which Conv2d does not have"):
        SemanticModel(nn.Conv2d(3, 3, 1), RGB, auxiliary_weight=0.4)


def test_the_network_is_exported_by_its_own_names() -> None:
    model = tiny(with_encoder=True)
    network = Tiny()
    network.load_state_dict(model.export_state())
    assert all(
        torch.equal(value, network.state_dict()[name]) for name, value in model.network.state_dict().items()
    )
    assert model.encoder is model.network.encoder
    assert tiny().encoder is None


def test_copies_and_pickles_are_independent_models() -> None:
    model = tiny(with_encoder=True).train()
    assert not any(
        "encoder" in name and not name.startswith("network.encoder") for name in model.state_dict()
    )
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.encoder is other.network.encoder
        assert other.network.encoder is not model.network.encoder
        assert torch.equal(
            other.predict([sample(9, 9)])[0].label_map, model.predict([sample(9, 9)])[0].label_map
        )


def test_bfloat16_autocast_gives_float32_logits_and_losses() -> None:
    model = tiny().eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.logits(sample(16, 16).image[None]).dtype == torch.float32
        assert model.loss([sample(16, 16)])["cross_entropy"].dtype == torch.float32
        assert model.predict([sample(16, 16)])[0].label_map.dtype == torch.uint8


def test_sample_image_is_not_written_to() -> None:
    one = sample(40, 30)
    before = one.image.clone()
    model = tiny(long_side=20)
    model.predict([one])
    model.loss([one])
    assert torch.equal(one.image, before)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda s: s.with_(label_map=None), r"'0-8x8' has no label_map"),
        (
            lambda s: s.with_(label_map=torch.full((8, 8), 7, dtype=torch.uint8)),
            r"'0-8x8' has the value 7, but there are 3 classes",
        ),
    ],
)
@pytest.mark.parametrize("method", ["loss", "validate"])
def test_unusable_labels_name_the_sample(bad: Callable[[Sample], Sample], message: str, method: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        getattr(tiny(), method)([bad(sample(8, 8))])


def test_constructions_that_make_no_sense_are_refused() -> None:
    network = nn.Conv2d(3, 3, 1)
    with pytest.raises(UsageError, match="1 to 255 classes, not 0"):
        SemanticModel(network, [])
    with pytest.raises(UsageError, match="1 to 255 classes, not 256"):
        SemanticModel(network, [str(i) for i in range(256)])
    with pytest.raises(UsageError, match="must be a part of the network"):
        SemanticModel(network, RGB, encoder=nn.Conv2d(3, 3, 1))
    with pytest.raises(ConfigError, match="has 2 weights, but there are 3 classes"):
        SemanticModel(network, RGB, loss=SegmentationLossSettings(class_weights=(1, 2)))
    with pytest.raises(InvalidDataError, match="expected at least one sample"):
        SemanticModel(network, RGB).loss([])


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (2, 3), (5, 5)])
@pytest.mark.parametrize(("padding", "mode"), [("reflect", "reflect"), ("replicate", "edge")])
def test_pad_equals_numpy_by_any_amount(size: tuple[int, int], padding: str, mode: str) -> None:
    images = sample(*size).image[None]
    for rows, columns in (((0, 0), (0, 0)), ((0, 3), (2, 0)), ((17, 4), (1, 23))):
        expected = np.pad(images.numpy(), ((0, 0), (0, 0), rows, columns), mode=mode)
        assert np.array_equal(pad(images, rows, columns, padding).numpy(), expected)

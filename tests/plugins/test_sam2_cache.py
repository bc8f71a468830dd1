"""Features kept on disk: the same loss with them and without, whatever happens to the disk."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip(
    "toolkit.plugins.sam2.upstream",
    reason="needs the package sam2: see toolkit plugins info sam2",
    exc_type=ImportError,
)

from sam2_cases import scene, toy
from toolkit.plugins.sam2 import cache as cache_module
from toolkit.plugins.sam2 import encoder
from toolkit.plugins.sam2.cache import FeatureCache, WeightsDigest, image_digest
from toolkit.plugins.sam2.model import Sam2Model

from toolkit.errors import OutputError
from toolkit.evaluation.protocols import predict_protocols
from toolkit.models.contract import total_loss
from toolkit.models.freezing import Freezing
from toolkit.runtime.files import output_error
from toolkit.types import Sample


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.features"))


def cache_in(folder: Path, *, most: int = 10**9, dtype: torch.dtype = torch.float16) -> FeatureCache:
    return FeatureCache(folder, max_bytes=most, dtype=dtype)


def tensors(seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(3, 4, 5, generator=generator), torch.randn(2, 1, generator=generator)]


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many images go through the backbone, one number a call."""
    seen: list[int] = []
    original = encoder.trunk_features

    def count(network: Any, images: Tensor) -> list[Tensor]:
        seen.append(len(images))
        return original(network, images)

    with monkeypatch.context() as patch:
        patch.setattr(encoder, "trunk_features", count)
        yield seen


# The loss


def losses_of(samples: list[Sample], steps: int, **settings: Any) -> list[float]:
    """The loss of each step of a training, with images in another order in each pass and now and then
    mirrored.
    """
    model = toy(**settings).train()
    optimizer = torch.optim.AdamW(model.parameter_groups(1e-5, 4e-5))
    losses = []
    for step in range(steps):
        torch.manual_seed(step)
        sample = samples[step % len(samples)]
        loss = total_loss(model.loss([mirrored(sample) if step % 3 == 0 else sample]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def mirrored(sample: Sample) -> Sample:
    assert sample.instances is not None
    assert sample.instances.masks is not None
    flipped = type(sample.instances.masks).from_dense(sample.instances.masks.dense().flip(2))
    return sample.with_(
        image=sample.image.flip(2),
        instances=type(sample.instances)(sample.size, flipped.boxes_xyxy(), sample.instances.labels, flipped),
    )


@pytest.mark.parametrize(
    ("steps", "precision", "settings"),
    [
        pytest.param(50, "fp16", {"trainable": "decoder"}, marks=pytest.mark.slow),
        pytest.param(50, "fp32", {"trainable": "decoder"}, marks=pytest.mark.slow),
        (20, "fp32", {"trainable": "decoder"}),
        (15, "fp16", {"trainable": "decoder+neck"}),
        (10, "fp32", {"trainable": "decoder", "preset": "sam2", "corrections": 1}),
    ],
)
def test_the_loss_is_the_same_with_the_cache_and_without(
    tmp_path: Path, steps: int, precision: str, settings: dict[str, Any]
) -> None:
    samples = [scene(2, seed=seed) for seed in range(4)]
    with_cache = losses_of(
        samples, steps, cache={"folder": str(tmp_path), "precision": precision}, max_objects=1, **settings
    )
    assert len(kept(tmp_path)) > 4  # each image, and mirror images
    without = losses_of(samples, steps, max_objects=1, **settings)
    # in fp16 a pixel of the coarse masks may change sides, which the error of the predicted IoU counts as a
    # whole one
    limit = 1e-4 if precision == "fp32" else 5e-4
    assert max(abs(a - b) for a, b in zip(with_cache, without, strict=True)) < limit
    assert len({round(loss, 3) for loss in without}) > steps // 2, "it was another loss in each step"


@pytest.mark.parametrize("trainable", ["decoder", "decoder+neck"])
def test_each_image_is_encoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainable: str) -> None:
    model = toy(trainable=trainable, cache={"folder": str(tmp_path)}).train()
    samples = [scene(seed=0), scene(seed=1), scene(seed=0).with_(id="a copy under another name")]
    with counted(monkeypatch) as seen:
        model.loss(samples)
        model.loss(samples[::-1])
        predict_protocols(model.eval(), samples)
        assert sum(seen) == 2
        model.loss([mirrored(samples[0])])
        assert sum(seen) == 3
        fresh = toy(trainable=trainable, cache={"folder": str(tmp_path)}).train()  # as in the next run
        fresh.loss(samples)
        assert sum(seen) == 3


def test_what_was_in_the_cache_makes_no_difference(tmp_path: Path) -> None:
    """So that a resumed run ends bit for bit as one that was never stopped."""
    model, samples = (
        toy(trainable="decoder", cache={"folder": str(tmp_path)}).eval(),
        [scene(seed=0), scene(seed=1)],
    )
    first = total_loss(model.loss(samples))
    assert kept(tmp_path)
    assert torch.equal(first, total_loss(model.loss(samples)))
    kept(tmp_path)[0].unlink()
    assert torch.equal(first, total_loss(model.loss(samples)))
    monkey = toy(trainable="decoder", cache={"folder": str(tmp_path / "none"), "max_gb": 1e-9}).eval()
    assert torch.equal(first, total_loss(monkey.loss(samples)))
    assert not kept(tmp_path / "none")


def test_other_weights_images_precisions_and_sizes_have_other_features(tmp_path: Path) -> None:
    def count(model: Sam2Model, sample: Sample) -> int:
        model.train().loss([sample])
        return len(kept(tmp_path))

    options = {"trainable": "decoder", "cache": {"folder": str(tmp_path)}}
    model, sample = toy(**options), scene()
    assert count(model, sample) == 1
    with torch.no_grad():
        next(model.network.sam_mask_decoder.transformer.parameters()).add_(1)
    assert count(model, sample) == 1, "what learns does not matter"
    with torch.no_grad():
        next(model.network.image_encoder.trunk.parameters()).add_(0.01)
    assert count(model, sample) == 2
    changed = {
        name: value + 0.01 if "conv_s0" in name else value for name, value in model.state_dict().items()
    }
    model.load_state_dict(changed)
    assert count(model, sample) == 3
    assert count(toy(image_size=96, **options), sample) == 4
    with torch.autocast("cpu", torch.bfloat16):
        assert count(model, sample) == 5
    assert count(model, sample) == 5
    assert count(toy(trainable="decoder+neck", cache=options["cache"]), sample) == 6


def test_nothing_is_kept_where_nothing_is_frozen_or_nobody_learns(tmp_path: Path) -> None:
    for trainable in ("full", "lora"):
        toy(trainable=trainable, cache={"folder": str(tmp_path)}).train().loss([scene()])
    model = toy(trainable="decoder", cache={"folder": str(tmp_path)}).eval()
    predict_protocols(model, [scene()])
    assert not kept(tmp_path)
    model.requires_grad_(True).train().loss([scene()])  # as train.unfreeze_at does
    assert not kept(tmp_path)


def test_the_backbone_s_features_are_kept_when_train_freeze_names_it(tmp_path: Path) -> None:
    model = toy(trainable="full", cache={"folder": str(tmp_path)}).train()
    model.loss([scene()])
    assert not kept(tmp_path)
    freezing = Freezing(model, ["image_encoder.trunk"])
    freezing.freeze()
    model.loss([scene()])
    assert len(kept(tmp_path)) == 1
    freezing.unfreeze()
    model.loss([scene(seed=1)])
    assert len(kept(tmp_path)) == 1


def test_hashes_tell_images_and_weights_apart() -> None:
    image = torch.arange(36, dtype=torch.uint8).view(3, 3, 4)
    assert image_digest(image) == image_digest(image.clone())
    others = [image.flip(2), image.flip(1), image.transpose(1, 2), image.view(3, 4, 3), image + 1]
    assert len({image_digest(each) for each in [image, *others]}) == 6
    digest, layer = WeightsDigest(), torch.nn.Linear(2, 2)
    first = digest.of([layer])
    assert digest.of([layer]) == first
    with torch.no_grad():
        layer.bias += 1
    second = digest.of([layer])
    with torch.no_grad():
        layer.bias -= 1
    assert second != first
    assert WeightsDigest().of([layer.weight]) != WeightsDigest().of([layer])


# The disk


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_what_is_kept_comes_back(tmp_path: Path, dtype: torch.dtype) -> None:
    written = [*tensors(), torch.tensor([1e5, -3.0]), torch.zeros(0, 4)]  # 1e5 is beyond fp16
    cache = cache_in(tmp_path, dtype=dtype)
    assert cache.read("ab12") is None
    returned = cache.write("ab12", written)
    read = cache_in(tmp_path, dtype=dtype).read("ab12")
    assert read is not None
    assert all(torch.equal(one, two) for one, two in zip(returned, read, strict=True))
    for before, after in zip(written, read, strict=True):
        assert after.dtype in (dtype, before.dtype)
        assert torch.allclose(before, after.float(), rtol=1e-3 if dtype == torch.float16 else 0, atol=0)
    assert torch.equal(read[2], written[2])


@pytest.mark.parametrize("damage", ["empty", "short", "a bit", "other"])
def test_a_damaged_file_counts_as_absent_and_is_replaced(tmp_path: Path, damage: str) -> None:
    cache = cache_in(tmp_path)
    cache.write("ab12", tensors())
    (path,) = kept(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "a bit":
        content[len(content) // 2] ^= 4
    path.write_bytes({"empty": b"", "short": content[:-7], "a bit": content, "other": b"x" * 500}[damage])
    assert cache.read("ab12") is None
    cache.write("ab12", tensors())
    assert cache.read("ab12") is not None


def test_a_killed_process_leaves_whole_files_only(tmp_path: Path) -> None:
    """Killed again and again in the midst of writing, while another process works in the same folder."""
    for round_ in range(4):
        child = os.fork()
        if not child:
            own = cache_in(tmp_path)
            for i in range(10**6):
                own.write(f"{i % 7:02x}", [torch.full((200, 300), float(i % 7))])
        time.sleep(0.15)
        own = cache_in(tmp_path)
        own.write("shared", tensors(round_))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    names = [path.name.removesuffix(".features") for path in kept(tmp_path)]
    assert len(names) > 1
    for name in names:
        read = cache_in(tmp_path).read(name)
        assert read is not None
        assert name == "shared" or bool((read[0] == int(name, 16)).all())


def test_unfinished_files_of_killed_processes_are_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "ab").mkdir()
    old, new = (tmp_path / "ab" / f".toolkit-{i:012x}.part" for i in range(2))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    cache_in(tmp_path).write("ab12", tensors())
    assert not old.exists()
    assert new.exists(), "another process may be at it"


def test_files_of_others_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    """A setting can name any folder, full of files as old as they like."""
    others = [
        *("project/.env", "project/.gitignore", "ab/.1.part", "ab/.toolkit-notes.part", "ab/notes.features"),
        *("ab/cd12.features", "project/ab12.features", "ab12.features", "ab/deep/ab12.features"),
    ]
    for name in others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"theirs")
        os.utime(tmp_path / name, (1, 1))
    size = filled(tmp_path, 2)
    cache_in(tmp_path, most=size).write("10", tensors())
    assert not (tmp_path / "00" / "00.features").exists(), "its own make room"
    assert all((tmp_path / name).read_bytes() == b"theirs" for name in others)


def filled(folder: Path, count: int) -> int:
    """Fill a cache with files that were last used one after the other, long ago; the size of one."""
    cache = cache_in(folder)
    for i in range(count):
        cache.write(f"{i:02d}", tensors(i))
    for i, path in enumerate(kept(folder)):
        os.utime(path, (1000 + i, 1000 + i))
    return kept(folder)[0].stat().st_size


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    size = filled(tmp_path, 5)
    cache = cache_in(tmp_path, most=5 * size)
    assert cache.read("00") is not None, "it is used now, and so no longer the oldest"
    cache.write("10", tensors())
    assert [path.name[:2] for path in kept(tmp_path)] == ["00", "02", "03", "04", "10"]
    cache.write("11", tensors())
    assert [path.name[:2] for path in kept(tmp_path)] == ["00", "03", "04", "10", "11"]
    assert sum(path.stat().st_size for path in kept(tmp_path)) <= 5 * size


def test_a_full_cache_keeps_what_is_in_use(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Pushing out what the next pass needs would gain nothing: two of five images come from the disk, rather
    than none.
    """
    size = filled(tmp_path / "other", 1)
    cache = cache_in(tmp_path / "own", most=2 * size)
    with caplog.at_level(logging.WARNING, "toolkit"):
        for _ in range(2):
            for i in range(5):
                if cache.read(f"{i:02d}") is None:
                    cache.write(f"{i:02d}", tensors(i))
    assert [path.name[:2] for path in kept(tmp_path / "own")] == ["00", "01"]
    assert [record.getMessage() for record in caplog.records] == [caplog.records[0].getMessage()], "said once"
    assert "Hint: raise model.cache.max_gb" in caplog.text


def full(_: Path, **options: object) -> Any:
    raise output_error("features", OSError(errno.ENOSPC, "No space left on device"))


@pytest.mark.parametrize("how", ["no space while writing", "little space left", "no folder can be made"])
def test_training_goes_on_where_nothing_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    folder = tmp_path / "features"
    if how == "no space while writing":
        monkeypatch.setattr(cache_module, "atomic_write", full)
    elif how == "little space left":
        monkeypatch.setattr(
            shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**12, 10**12 - 10**6, 10**6)
        )
    else:
        folder.write_text("a file where the folder should be")
    model = toy(trainable="decoder", cache={"folder": str(folder)}).train()
    with caplog.at_level(logging.WARNING, "toolkit"):
        for seed in range(3):
            assert torch.isfinite(total_loss(model.loss([scene(seed=seed)])))
    assert len(caplog.records) == 1
    assert "features of further images are not cached" in caplog.text
    assert not kept(folder)


def test_an_error_that_is_not_the_disks_is_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> bytes:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(cache_module, "save", broken)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        cache_in(tmp_path).write("ab12", tensors())
    assert issubclass(OutputError, Exception)


# What else an image's features depend on


@pytest.mark.parametrize("trainable", ["decoder", "decoder+neck"])
@pytest.mark.parametrize("kept_before", [(), (0,), (1, 3), (0, 1, 2)])
def test_features_are_the_same_whichever_were_kept_before(
    tmp_path: Path, trainable: str, kept_before: tuple[int, ...]
) -> None:
    """As after a kill while the cache was being filled: bit for bit, in each batch."""
    samples = [scene(2, seed=seed) for seed in range(4)]
    whole = toy(trainable=trainable, image_size=128, cache={"folder": str(tmp_path / "whole")}).train()
    expected = list(whole._encoder.stream(samples))
    part = toy(trainable=trainable, image_size=128, cache={"folder": str(tmp_path / "part")}).train()
    for index in kept_before:
        list(part._encoder.stream([samples[index]]))
    found = list(part._encoder.stream(samples))
    for one, other in zip(expected, found, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.tensors(), other.tensors(), strict=True))


def test_a_file_under_the_name_of_another_counts_as_absent(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    cache.write("ab12", tensors(1))
    cache.write("ab34", tensors(2))
    one, other = kept(tmp_path)
    contents = one.read_bytes(), other.read_bytes()
    one.write_bytes(contents[1])
    other.write_bytes(contents[0])
    assert cache.read("ab12") is None
    assert cache.read("ab34") is None
    written = cache.write("ab12", tensors(3))
    read = cache.read("ab12")
    assert read is not None
    assert torch.equal(read[0], written[0].float())


@pytest.mark.parametrize("trainable", ["decoder", "decoder+neck"])
@pytest.mark.parametrize("fault", ["another shape", "one too few", "one too many", "none at all"])
def test_features_of_a_wrong_shape_are_computed_again(tmp_path: Path, trainable: str, fault: str) -> None:
    model = toy(trainable=trainable, cache={"folder": str(tmp_path)}).train()
    torch.manual_seed(0)
    expected = total_loss(model.loss([scene()]))
    (path,) = kept(tmp_path)
    cache = cache_in(tmp_path)
    key = path.name.removesuffix(".features")
    right = cache.read(key)
    assert right is not None
    wrong = {
        "another shape": [*right[:-1], right[-1][:, :-1]],
        "one too few": right[:-1],
        "one too many": [*right, right[0].clone()],
        "none at all": [],
    }[fault]
    cache.write(key, wrong)
    torch.manual_seed(0)
    assert torch.equal(expected, total_loss(model.loss([scene()])))
    again = cache.read(key)
    assert again is not None
    assert [each.shape for each in again] == [each.shape for each in right]


def test_other_devices_and_arithmetic_have_other_features(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda:0")
    usual = encoder._computation(cpu)
    assert encoder._computation(cuda) != usual
    assert encoder._computation(torch.device("cuda:1")) == encoder._computation(cuda)
    with torch.autocast("cpu", torch.bfloat16):
        assert encoder._computation(cpu) != usual
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")
    assert encoder._computation(cpu) != usual


def test_hidden_files_of_others_stay(tmp_path: Path) -> None:
    names = (".env", "ab/.gitignore", "photos/.draft.part", ".part", "ab/c/.x.part", "zz/.1.part")
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
        os.utime(path, (1, 1))
    cache_in(tmp_path).write("ab12", tensors())
    assert [name for name in names if not (tmp_path / name).exists()] == []

"""Checks of model plugins: checkpoints, devices and processes."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.models.building import load_model
from toolkit.models.capabilities import Promptable
from toolkit.models.contract import Model, TrainableModel
from toolkit.models.weights import load_weights
from toolkit.runtime.seeding import seed_everything
from toolkit.testing.checks import expect, skip
from toolkit.testing.closeness import difference
from toolkit.testing.model_case import ModelCase
from toolkit.testing.pretend_device import pretended_device, send_away
from toolkit.testing.second_process import SharedStep, in_two_processes
from toolkit.types import VOID, PanopticMap, Prediction


def _save(case: ModelCase, model: Model, path: Path) -> None:
    manifest = case.manifest
    settings = case.model_settings().model_dump(mode="json")
    header = CheckpointManifest(
        plugin=manifest.name,
        task=manifest.task,
        classes=model.classes,
        plugin_version=manifest.version,
        model=settings,
    )
    save_checkpoint(path, model.state_dict(), header)


def save_and_load(case: ModelCase) -> None:
    """A model has exactly the same predictions and losses after saving and loading."""
    model, samples = case.trained_or_new().eval(), case.samples()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        _save(case, model, path)
        seed_everything(1, "model")  # values missing in the file must not match by chance
        loaded = load_model(path)[0]
    for sample, one, other in zip(
        samples, case.predict(model, samples), case.predict(loaded, samples), strict=True
    ):
        what = difference(one, other, exact=True)
        expect(
            not what,
            f"after saving and loading, the prediction for {sample.id!r} is different: {what}. Hint: register"
            " everything that the settings do not determine as a parameter or buffer",
        )
    if isinstance(model, TrainableModel) and isinstance(loaded, TrainableModel):
        before, after = case.loss_of(model, samples), case.loss_of(loaded, samples)
        expect(
            before == after,
            f"after saving and loading, the loss of the same samples is {after:.6g}; it was {before:.6g}",
        )


def weights_start_other_classes(case: ModelCase) -> None:
    """A checkpoint can initialize a model with other classes: everything is loaded except what depends on the
    classes, and the report says so.
    """
    old = case.build()
    new = case.build([*case.classes, "one more", "and another"], seed=1)
    shapes = {name: value.shape for name, value in old.state_dict().items()}
    if 2 * sum(shapes.get(name) == value.shape for name, value in new.state_dict().items()) < len(shapes):
        skip("most of the model depends on its classes, so there is little to transfer")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        _save(case, old, path)
        report = load_weights(new, path, case.manifest.name)
    unfit = [*report.mismatched, *report.missing, *report.unexpected]
    expect(
        not unfit,
        f"with two more classes, these tensors do not fit: {', '.join(unfit[:5])}. Hint: name them in"
        " Model.class_tensors",
    )
    taken, start = new.state_dict(), old.state_dict()
    wrong = [name for name in report.loaded if not torch.equal(taken[name], start[name])]
    expect(
        not wrong, f"these tensors were reported as loaded, but have different values: {', '.join(wrong[:5])}"
    )


def rows_follow_class_names(case: ModelCase) -> None:
    """Weights that were learned for the same classes in another order give the same predictions."""
    old, order = case.trained_or_new().eval(), case.classes[::-1]
    if len(order) < 2 or old.capability(Promptable) is not None:
        skip("what the model predicts does not depend on the order of its classes")
    new = case.build(order, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        _save(case, old, path)
        report = load_weights(new, path, case.manifest.name, case.build)
    if report.reinitialized:
        skip(
            f"{', '.join(report.reinitialized[:3])} start from random values for other classes, because it"
            " is not known which rows belong to the classes. Hint: set Model.first_class_row"
        )
    samples = case.unlabeled()
    before, after = case.predict(old, samples), case.predict(new, samples)
    for sample, one, other in zip(samples, before, after, strict=True):
        what = difference(one, _in_order(other, order, case.classes))
        expect(
            not what,
            f"with start weights for the same classes in another order, the prediction for {sample.id!r} is"
            f" different: {what}. Hint: the rows of heads must be in the order of the classes; name them in"
            " Model.class_tensors, and set Model.first_class_row to where they begin",
        )


def _in_order(prediction: Prediction, classes: Sequence[str], wanted: Sequence[str]) -> Prediction:
    """A prediction whose labels stand for ``classes`` with labels that stand for ``wanted``."""
    table = torch.arange(VOID + 1)
    table[: len(classes)] = torch.tensor([list(wanted).index(name) for name in classes])
    label_map, instances = prediction.label_map, prediction.instances
    labels = table[: len(classes)].tolist()
    extras = {
        name: value.relabeled(labels) if isinstance(value, PanopticMap) else value
        for name, value in prediction.extras.items()
    }
    return replace(
        prediction,
        extras=extras,
        label_map=None if label_map is None else table[label_map.long()].to(torch.uint8),
        instances=None if instances is None else replace(instances, labels=table[instances.labels]),
    )


def moves_between_devices(case: ModelCase) -> None:
    """The model works on the device set by `.to(device)`, CPU or not, and is the same when moved back."""
    if torch.cuda.is_available():
        _check_cuda(case)
        return
    model, samples = case.build(), case.samples()
    here = case.predict(model, samples)
    try:
        with warnings.catch_warnings(), pretended_device():
            warnings.simplefilter("ignore")  # torch's, about its own wrappers
            send_away(model)
            away = case.predict(model, samples)
            if isinstance(model, TrainableModel):  # last, because it updates batch norm statistics
                seed_everything(0, "loss")
                model.train().loss(samples)
    except RuntimeError as error:
        raise AssertionError(
            f"on a device other than the CPU: {str(error).splitlines()[0]}. Hint: make tensors on"
            " self.device, register those that the model keeps as buffers, and move outputs to the CPU with"
            " .cpu()"
        ) from error
    for sample, one, other in zip(samples, here, away, strict=True):
        what = difference(one, other)
        expect(not what, f"on another device the prediction for {sample.id!r} is different: {what}")


def _check_cuda(case: ModelCase) -> None:
    model, samples = case.build().to("cuda"), case.samples()
    if isinstance(model, TrainableModel):
        seed_everything(0, "loss")
        for name, value in model.train().loss(samples).items():
            expect(
                value.device.type == "cuda", f"the model is on a GPU, but loss {name!r} is on {value.device}"
            )
    for prediction in case.predict(model, samples):
        parts = [prediction.label_map, prediction.instances.boxes_xyxy if prediction.instances else None]
        expect(
            all(part is None or part.device.type == "cpu" for part in parts),
            "a prediction is on the GPU. Hint: add .cpu()",
        )
    fresh = case.build()
    for sample, one, other in zip(
        samples, case.predict(fresh.to("cpu"), samples), case.predict(case.build(), samples), strict=True
    ):
        expect(not difference(one, other), f"back on the CPU the prediction for {sample.id!r} is different")


def runs_in_two_processes(case: ModelCase) -> None:
    """Two processes that each train on half of a batch end with the same weights."""
    model = case.build_trainable()
    if not any(parameter.requires_grad for parameter in model.parameters()):
        skip("nothing in the model trains")
    first, second = in_two_processes(
        SharedStep(registry.stable_name(case.plugin), dict(case.settings), dict(case.train), case.size)
    )
    expect(
        first == second,
        "after two steps the two processes have different weights. Hint: every process must build the same"
        " model and use the same parameters; weights must change only through gradients",
    )

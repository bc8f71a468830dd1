"""What can be set, in words: every setting of everything that is there."""

from __future__ import annotations

from toolkit import registry
from toolkit.config import TrainSettings
from toolkit.config.reference import entries, groups


def test_every_plugin_dataset_and_evaluator_is_there() -> None:
    found = list(groups())
    owners = {group.owner for group in found}
    loadable = [
        each.name
        for kind in (registry.plugins(), registry.datasets(), registry.evaluators())
        for each in kind
        if not each.missing_requirements()
    ]
    assert set(loadable) <= owners
    keys = [entry.key for group in found if group.section != "augment" for entry in group.entries]
    assert {"weights", "train.lr", "data.dir", "data.options.void", "model.encoder"} <= set(keys)
    assert {"evaluators.iou.void", "model.auto.points_per_side"} <= set(keys)


def test_an_entry_says_all_there_is_to_say() -> None:
    found = {entry.key: entry for entry in entries(TrainSettings, "train.")}
    assert list(found) == [f"train.{name}" for name in TrainSettings.model_fields]
    lr, optimizer = found["train.lr"], found["train.optimizer"]
    assert (lr.kind, lr.default, lr.choices) == ("number, > 0", "`0.001`", ())
    assert lr.sentence == TrainSettings.model_fields["lr"].description
    assert optimizer.choices == ("adamw", "sgd")
    assert found["train.eval_first"].choices == ("true", "false")
    assert found["train.steps"].default == "`null`"

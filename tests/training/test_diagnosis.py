"""Warnings about training that goes wrong, judged from made-up courses of loss, gradient and updates."""

from __future__ import annotations

from toolkit.config import TrainSettings
from toolkit.training.diagnosis import EXPLODING, TOO_LARGE, VANISHING, Diagnosis
from toolkit.training.gradients import UpdateStatistics


def follow(steps: list[tuple[float, float, dict[str, float]]], factor: float = 1.0) -> Diagnosis:
    diagnosis = Diagnosis(TrainSettings(steps=100, lr=0.01))
    for step, (loss, gradient, moves) in enumerate(steps, start=1):
        diagnosis.record(loss, gradient)
        diagnosis.check(step, UpdateStatistics({}, moves), factor)
    return diagnosis


def test_one_odd_batch_is_no_explosion() -> None:
    steps = [(1.0, 1.0, {"a": 1e-3})] * 20
    steps[10] = (1e5, 1e5, {"a": 1e-1})
    assert follow(steps).warnings == {}
    steps[10:14] = [(1e5, 1e5, {"a": 1e-1})] * 4
    assert list(follow(steps).warnings) == [EXPLODING]


def test_a_new_head_that_starts_from_zero_is_no_explosion() -> None:
    """Its first steps are larger than itself, and the loss of the first batches may rise by chance."""
    steps = [(1.0, 1.0, {"a": 1e-3, "b": 1e-3, "c": 1e-3})] + [
        (1.3, 1.2, {"a": 1e-3, "b": 1e-3, "c": 1e-3, "head": 1 / t}) for t in range(1, 9)
    ]
    assert follow(steps).warnings == {}


def test_huge_steps_are_an_alarm_though_the_loss_falls() -> None:
    sizes = [0.1, 2.0, 1.0, 0.6, 0.4, 0.3]
    assert list(
        follow(
            [(1 / i, 1.0, {"a": size, "b": size, "c": 1e-3}) for i, size in enumerate(sizes, start=1)]
        ).warnings
    ) == [TOO_LARGE]
    assert (
        follow(
            [(1 / i, 1.0, {"a": size, "b": 1e-3, "c": 1e-3}) for i, size in enumerate(sizes, start=1)]
        ).warnings
        == {}
    ), "half of the layers"
    assert follow([(1.0, 1.0, {"a": size}) for size in [0.15] * 10 + [9.0] + [0.1] * 10]).warnings == {}


def test_a_loss_that_is_down_needs_no_gradient() -> None:
    assert follow([(1.0, 1.0, {"a": 1e-3})] + [(0.01, 1e-9, {"a": 1e-9})] * 20).warnings == {}
    assert list(follow([(1.0, 1.0, {"a": 1e-3})] + [(0.9, 1e-9, {"a": 1e-9})] * 20).warnings) == [VANISHING]


def test_a_layer_that_is_used_now_and_then_is_not_starved() -> None:
    seldom = [(1.0, 1.0, {"a": 1e-3, "b": 1e-3 if i % 4 == 0 else 0.0}) for i in range(20)]
    assert follow(seldom).warnings == {}
    assert (
        follow([(1.0, 1.0, {"a": 1e-3} | ({} if i % 3 else {"b": 0.0})) for i in range(20)]).warnings == {}
    ), "or gets no gradient at all"
    assert list(follow([(1.0, 1.0, {"a": 1e-3, "b": 0.0})] * 20).warnings) == [VANISHING]


def test_what_no_batch_uses_is_not_starved() -> None:
    """Such as the embeddings of prompts that nobody gives: in the graph, but with a gradient of zero."""
    diagnosis = Diagnosis(TrainSettings(steps=100))
    for step in range(1, 20):
        diagnosis.record(1.0, 1.0)
        idle = frozenset({"b"} if step < 12 else ())
        warnings = diagnosis.check(step, UpdateStatistics({}, {"a": 1e-3, "b": 0.0}, idle), 1.0)
        assert bool(warnings) == (step == 12), "from the first gradient on, it is one that vanishes"


def test_everything_is_said_once_also_in_a_resumed_run() -> None:
    steps = [(1.0, 1.0, {"a": 1e-3})] + [(10.0, 50.0, {"a": 1.0})] * 8
    diagnosis = follow(steps)
    assert diagnosis.warnings[EXPLODING].startswith("step 4:")
    resumed = Diagnosis(TrainSettings(steps=100))
    resumed.load_state_dict(diagnosis.state_dict())
    for loss, gradient, moves in steps[1:]:
        resumed.record(loss, gradient)
        assert resumed.check(50, UpdateStatistics({}, moves), 1.0) == []
    assert resumed.first == (1.0, 1.0)

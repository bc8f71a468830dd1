"""The checks of each kind, in the order in which they are run."""

from __future__ import annotations

from toolkit.testing import capability_checks as capability
from toolkit.testing import dataset_checks as dataset
from toolkit.testing import evaluator_checks as evaluator
from toolkit.testing import explanation_checks as explanation
from toolkit.testing import keeping_checks as keeping
from toolkit.testing import learning_checks as learning
from toolkit.testing import model_checks as model
from toolkit.testing import shared_checks as shared
from toolkit.testing import task_checks as tasks
from toolkit.testing.checks import Check
from toolkit.testing.dataset_checks import DatasetCase
from toolkit.testing.evaluator_checks import EvaluatorCase
from toolkit.testing.model_case import ModelCase
from toolkit.testing.task_checks import TaskCase

MODEL_CHECKS: tuple[Check[ModelCase], ...] = (
    shared.manifest_holds,
    shared.settings_are_documented,
    model.builds,
    model.predictions_fit_the_samples,
    model.masks_and_boxes_agree,
    model.prompts_are_answered,
    model.any_image_size,
    model.batch_equals_singles,
    model.truth_is_not_looked_at,
    model.predicting_is_repeatable,
    model.no_objects,
    model.one_class,
    capability.windows_give_the_prediction,
    capability.confidence_is_of_the_prediction,
    capability.network_takes_its_input,
    capability.graphs_give_the_prediction,
    capability.objects_are_tracked,
    explanation.scores_have_gradients,
    explanation.layers_have_maps,
    learning.loss_is_finite,
    learning.loss_is_a_mean_over_samples,
    learning.loss_falls,
    learning.gradients_reach_all_parameters,
    learning.missing_labels_are_named,
    learning.samples_stay_as_they_are,
    learning.predicting_leaves_no_trace,
    learning.training_is_repeatable,
    learning.mixed_precision,
    keeping.save_and_load,
    keeping.weights_start_other_classes,
    keeping.rows_follow_class_names,
    keeping.moves_between_devices,
    keeping.runs_in_two_processes,
)
DATASET_CHECKS: tuple[Check[DatasetCase], ...] = (
    shared.manifest_holds,
    shared.settings_are_documented,
    dataset.manifest_tells_where_from,
    dataset.splits_open,
    dataset.ids_are_unique,
    dataset.samples_are_valid,
    dataset.same_sample_each_time,
    dataset.same_in_another_process,
    dataset.splits_are_disjoint,
    dataset.ends_where_it_ends,
    dataset.an_empty_folder_is_explained,
)
TASK_CHECKS: tuple[Check[TaskCase], ...] = (
    tasks.names_what_exists,
    tasks.examples_have_the_truth,
    tasks.predictions_are_drawn,
    tasks.predictions_are_written,
)
EVALUATOR_CHECKS: tuple[Check[EvaluatorCase], ...] = (
    shared.manifest_holds,
    shared.settings_are_documented,
    evaluator.reports_are_complete,
    evaluator.nothing_measured_is_undefined,
    evaluator.parts_merge_to_the_whole,
    evaluator.order_does_not_matter,
    evaluator.perfect_predictions_are_best,
    evaluator.reset_forgets,
    evaluator.reporting_changes_nothing,
    evaluator.what_does_not_fit_is_refused,
)

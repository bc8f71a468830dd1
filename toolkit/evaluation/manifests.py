"""The evaluators that come with the toolkit, as data."""

from toolkit.registry.manifests import EvaluatorManifest

EVALUATOR = (
    EvaluatorManifest(
        name="iou",
        summary="semantic segmentation: IoU, Dice and accuracy, over all pixels and for each class",
        build="toolkit.evaluation.iou:build",
        measures=("label_map", "instances"),
        settings="toolkit.evaluation.iou:IoUSettings",
    ),
    EvaluatorManifest(
        name="coco",
        summary="instance segmentation: COCO AP and AR for boxes, masks and keypoints",
        build="toolkit.evaluation.coco:build",
        measures=("instances",),
        settings="toolkit.evaluation.coco:CocoSettings",
    ),
    EvaluatorManifest(
        name="objects",
        summary="promptable segmentation: IoU, Dice and boundary IoU of each prompted object",
        build="toolkit.evaluation.objects:build",
        measures=("answers",),
        settings="toolkit.evaluation.objects:ObjectsSettings",
    ),
    EvaluatorManifest(
        name="pq",
        summary="panoptic segmentation: panoptic, segmentation and recognition quality",
        build="toolkit.evaluation.pq:build",
        measures=("panoptic",),
    ),
)

"""The tasks that come with the toolkit, as data."""

from toolkit.registry.manifests import TaskManifest

TASK = (
    TaskManifest(
        name="semantic",
        summary="a class for every pixel",
        truth=("label_map",),
        predicts=("label_map",),
        evaluators=("iou",),
        draw="toolkit.visualization.drawing:draw_label_map",
        write="toolkit.inference.result_files:write_labels",
        conversions={"instance": "toolkit.data.painting:ObjectsAsClasses"},
        classes=("background", "disc", "box"),
        augment=(
            {"name": "flip"},
            {"name": "scale", "min": 0.5, "max": 2.0, "keep_size": True},
            {"name": "color"},
        ),
        examples="toolkit.data.generated:generate",
    ),
    TaskManifest(
        name="instance",
        summary="objects with boxes, masks or keypoints, each with a class and a score",
        truth=("instances",),
        predicts=("instances",),
        evaluators=("coco",),
        draw="toolkit.visualization.drawing:draw_objects",
        write="toolkit.inference.result_files:write_objects",
        classes=("disc", "box"),
        augment=({"name": "flip"}, {"name": "scale", "min": 0.8, "max": 1.25, "keep_size": True}),
        examples="toolkit.data.generated:generate",
    ),
    TaskManifest(
        name="promptable",
        summary="the object that a point or a box means",
        truth=("instances",),
        predicts=("answers", "instances"),
        evaluators=("objects",),
        draw="toolkit.visualization.drawing:draw_objects",
        write="toolkit.inference.result_files:write_objects",
        classes=("disc", "box"),
        augment=({"name": "flip"},),
        examples="toolkit.data.generated:generate",
    ),
)

"""Your own photos, with segments in YOLO format."""

from toolkit.registry.manifests import DatasetManifest

DATASET = DatasetManifest(
    name="yolo",
    summary="your own photos, with segments in YOLO format",
    build=".reader:build",
    settings=".reader:YoloSettings",
    unread=".reader:unread",
    tasks=("instance", "promptable"),
    layout=(
        "data.yaml (class names; image folders as train, val and test), images/train/ID.jpg with"
        " labels/train/ID.txt (one line per object: class, then x y of each point as fractions of width and"
        " height), the same for val"
    ),
    license="yours",
    size="any size",
)

"""Your own photos, with segments in YOLO's format."""

from toolkit.registry.manifests import DatasetManifest

DATASET = DatasetManifest(
    name="yolo",
    summary="your own photos, with segments in YOLO's format",
    build=".reader:build",
    settings=".reader:YoloSettings",
    tasks=("instance", "promptable"),
    layout=(
        "data.yaml (names of the classes; folders of images as train, val and test), images/train/ID.jpg with"
        " labels/train/ID.txt (a line an object: class, then x y of each point as parts of width and height),"
        " likewise for val"
    ),
    license="yours",
    size="as large as you like",
)

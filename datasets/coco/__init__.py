"""COCO, and any data annotated in its format."""

from toolkit.registry.manifests import DatasetManifest

DATASET = DatasetManifest(
    name="coco",
    summary="COCO, or your own photos with annotations in its format",
    build=".reader:build",
    settings=".reader:CocoSettings",
    tasks=("instance", "promptable"),
    layout=(
        "annotations/instances_train*.json, annotations/instances_val*.json and a folder of images for each,"
        " such as train2017/ and val2017/, or images/ for all; files of other names are settings; or one"
        " annotation file by itself, for the split that it is named after"
    ),
    takes_file=True,
    origin_url="https://cocodataset.org/#download",
    license="annotations CC BY 4.0; photos from Flickr, each under its owner's terms",
    size="2017: 118,287 + 5,000 photos, 19 GB; yours: as large as you like",
)

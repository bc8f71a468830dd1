"""COCO's panoptic annotations, and any data in their format."""

from toolkit.registry.manifests import DatasetManifest

DATASET = DatasetManifest(
    name="coco-panoptic",
    summary="COCO's panoptic annotations, or your own photos with things and stuff in their format",
    build=".reader:build",
    settings=".reader:CocoPanopticSettings",
    tasks=("panoptic", "semantic", "instance", "promptable"),
    layout=(
        "annotations/panoptic_train*.json and annotations/panoptic_val*.json, each with a folder of PNGs of"
        " the same name without .json, and a folder of images, such as train2017/ and val2017/, or images/"
        " for all; or a single annotation file, for the split in its name"
    ),
    takes_file=True,
    origin_url="https://cocodataset.org/#download",
    license="annotations CC BY 4.0; photos from Flickr, each under its owner's terms",
    size="2017: 118,287 + 5,000 photos, 19 GB, and 821 MB of annotations; yours: as large as you like",
)

"""Balloons: Matterport's small instance segmentation set, or any other with annotations by VIA."""

from toolkit.registry.manifests import DatasetManifest, Download

DATASET = DatasetManifest(
    name="balloon",
    summary="photos of balloons with outlines; or your own photos annotated with VIA",
    build=".reader:build",
    settings=".reader:BalloonSettings",
    unread=".reader:unread",
    tasks=("instance", "promptable"),
    layout=(
        "train/ and val/, optionally test/, each with photos and via_region_data.json (VGG Image Annotator 1"
        " or 2); they may be inside a folder balloon/, as in the archive"
    ),
    origin_url="https://github.com/matterport/Mask_RCNN/releases/tag/v2.1",
    license="photos from Flickr, each under its owner's terms; the publisher states no license",
    size="74 photos with 305 balloons, up to 2048 x 2048 pixels",
    downloads=(
        Download("https://github.com/matterport/Mask_RCNN/releases/download/v2.1/balloon_dataset.zip"),
    ),
)

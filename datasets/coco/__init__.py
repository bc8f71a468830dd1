"""COCO, and any data annotated in its format."""

from toolkit.registry.manifests import DatasetManifest, Download

_BUCKET = "https://s3.amazonaws.com/images.cocodataset.org"
"""The HTTPS address of the publisher's storage; images.cocodataset.org itself has no certificate."""

DATASET = DatasetManifest(
    name="coco",
    summary="COCO, or your own photos with annotations in its format",
    build=".reader:build",
    settings=".reader:CocoSettings",
    unread=".reader:unread",
    tasks=("instance", "promptable"),
    layout=(
        "annotations/instances_train*.json, annotations/instances_val*.json and a folder of images for"
        " each, such as train2017/ and val2017/, or images/ for all; other file names can be set; or"
        " annotations/instances.json, in which each image has a field split; or a"
        " single annotation file, for the split in its name"
    ),
    takes_file=True,
    origin_url="https://cocodataset.org/#download",
    license="annotations CC BY 4.0; photos from Flickr, each under its owner's terms",
    size="2017: 118,287 + 5,000 photos, 19 GB; yours: as large as you like",
    # widely used checksums, such as PaddleDetection's; the publisher gives none
    downloads=(
        Download(
            f"{_BUCKET}/annotations/annotations_trainval2017.zip",
            checksum="md5:f4bbac642086de4f52a3fdda2de5fa2c",
        ),
        Download(f"{_BUCKET}/zips/val2017.zip", checksum="md5:442b8da7639aecaf257c1dceb8ba8c80"),
        Download(f"{_BUCKET}/zips/train2017.zip", checksum="md5:cced6f7f71b7629ddf16f17bbcfab6b2"),
    ),
)

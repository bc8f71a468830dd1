"""Any folder of images with a folder of label images."""

from toolkit.registry.manifests import DatasetManifest

DATASET = DatasetManifest(
    name="masks",
    summary="your own photos: a folder of images and a folder of label images",
    build=".reader:build",
    settings=".reader:MasksSettings",
    unread=".reader:unread",
    tasks=("semantic", "instance", "promptable"),
    layout=(
        "images/ID.jpg with labels/ID.png (one class index per pixel, 255 = void; or colors), classes.txt"
        " (one name per line; without it the classes are numbered), optionally instances/ID.png (object"
        " ids, 0 = none); splits by train.txt, val.txt and test.txt (one ID per line), by folders"
        " images/train,"
        " labels/train, …, or, without either, by a hash of the ID"
    ),
    license="yours",
    size="any size",
)

"""Any folder of images with a folder for each class."""

from toolkit.registry.manifests import DatasetManifest

DATASET = DatasetManifest(
    name="image-folder",
    summary="your own photos in one folder per class, for classification",
    build=".reader:build",
    settings=".reader:ImageFolderSettings",
    unread=".reader:unread",
    tasks=("classification",),
    layout=(
        "train/CLASS/ID.jpg and val/CLASS/ID.jpg, optionally test/CLASS/ID.jpg; or CLASS/ID.jpg alone, which"
        " is split by a hash of the name"
    ),
    license="yours",
    size="any size",
    sample=".sample:write_sample",
)

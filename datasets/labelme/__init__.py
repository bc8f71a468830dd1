"""Your own photos, annotated with LabelMe."""

from toolkit.registry.manifests import DatasetManifest

DATASET = DatasetManifest(
    name="labelme",
    summary="your own photos, annotated with LabelMe",
    build=".reader:build",
    settings=".reader:LabelmeSettings",
    unread=".reader:unread",
    tasks=("instance", "promptable"),
    layout=(
        "train/, val/ and optionally test/, each with LabelMe files ID.json next to their images;"
        " labels.txt (one class per line) sets the order of the classes (default: alphabetical)"
    ),
    license="yours",
    size="any size",
)

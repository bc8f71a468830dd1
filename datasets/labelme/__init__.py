"""Your own photos, annotated with LabelMe."""

from toolkit.registry.manifests import DatasetManifest

DATASET = DatasetManifest(
    name="labelme",
    summary="your own photos, annotated with LabelMe",
    build=".reader:build",
    settings=".reader:LabelmeSettings",
    tasks=("instance", "promptable"),
    layout=(
        "train/ and val/, and test/ where there is one, each with ID.json by LabelMe beside its image;"
        " labels.txt (one class a line) fixes the order of the classes, which is alphabetical otherwise"
    ),
    license="yours",
    size="as large as you like",
)

"""Your own photos, annotated with Label Studio."""

from toolkit.registry.manifests import DatasetManifest

DATASET = DatasetManifest(
    name="label-studio",
    summary="your own photos, annotated with Label Studio",
    build=".reader:build",
    settings=".reader:LabelStudioSettings",
    unread=".reader:unread",
    tasks=("instance", "promptable"),
    takes_file=True,
    layout=(
        "train.json, val.json and optionally test.json, or train/*.json and so on (exports as JSON), with the"
        " images in images/, train/images/ or next to them; config.xml (the labeling configuration) sets the"
        " order of the classes (default: alphabetical)"
    ),
    license="yours",
    size="any size",
)

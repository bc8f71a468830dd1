"""Your own photos, annotated with CVAT."""

from toolkit.registry.manifests import DatasetManifest

DATASET = DatasetManifest(
    name="cvat",
    summary="your own photos, annotated with CVAT",
    build=".reader:build",
    settings=".reader:CvatSettings",
    unread=".reader:unread",
    tasks=("instance", "promptable"),
    takes_file=True,
    layout=(
        "train/annotations.xml, val/annotations.xml and optionally test/annotations.xml ('CVAT for images"
        " 1.1'), each next to its images or their folder images/; or one annotations.xml of a project with"
        " subsets"
    ),
    license="yours",
    size="any size",
)

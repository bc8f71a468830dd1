"""MSRC v2: 591 photos of everyday scenes with 23 classes, from Microsoft Research Cambridge."""

from toolkit.registry.manifests import DatasetManifest, Download

DATASET = DatasetManifest(
    name="msrc",
    summary="MSRC v2: photos of everyday scenes, 21 or 23 classes",
    build=".reader:build",
    settings=".reader:MsrcSettings",
    tasks=("semantic", "instance", "promptable"),
    fixed_splits=True,
    layout=(
        "either Images/1_10_s.bmp with GroundTruth/1_10_s_GT.bmp (the original archive, color-coded), or"
        " images/1_10_s.png with labels/1_10_s.png (0 = void, 1…23 = classes) and, optionally,"
        " instances/1_10_s.png (0 = none)"
    ),
    origin_url="https://www.microsoft.com/en-us/research/project/image-understanding/",
    license="Microsoft Research: non-commercial research; see the terms in the archive",
    size="591 photos of 320 x 213 pixels",
    downloads=(
        Download(
            "https://download.microsoft.com/download/3/3/9/339D8A24-47D7-412F-A1E8-1A415BC48A15/"
            "msrc_objcategimagedatabase_v2.zip"
        ),
    ),
    terms="MSRC v2 is for non-commercial research; Microsoft Research's terms come with the archive.",
)

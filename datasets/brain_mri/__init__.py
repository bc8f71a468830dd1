"""Brain MRI of lower-grade gliomas: slices with masks of the tumor, one folder per patient."""

from toolkit.registry.manifests import DatasetManifest

DATASET = DatasetManifest(
    name="brain-mri",
    summary="LGG MRI segmentation: tumors in slices of brain scans, split by patient",
    build=".reader:build",
    settings=".reader:BrainMriSettings",
    tasks=("semantic",),
    layout=(
        "kaggle_3m/TCGA_CS_4941_19960909/ and more patient folders, with TCGA_CS_4941_19960909_1.tif,"
        " TCGA_CS_4941_19960909_1_mask.tif, …"
    ),
    origin_url="https://www.kaggle.com/datasets/mateuszbuda/lgg-mri-segmentation",
    license="CC BY-NC-SA 4.0; scans from The Cancer Imaging Archive (TCGA-LGG), under its data usage policy",
    size="3,929 slices of 256 x 256 pixels, of 110 patients",
    sample=".sample:write_sample",
)

"""CIFAR-10: small color photos of ten kinds of things."""

from toolkit.registry.manifests import DatasetManifest, Download

DATASET = DatasetManifest(
    name="cifar10",
    summary="CIFAR-10: photos of animals and vehicles in 10 classes, 32 × 32 pixels",
    build=".reader:build",
    settings=".reader:CifarSettings",
    tasks=("classification",),
    splits=("train", "val", "trainval", "test"),
    fixed_splits=True,
    layout=(
        "data_batch_1 … data_batch_5, test_batch and batches.meta of the Python version; or data_batch_1.bin"
        " …,"
        " test_batch.bin and batches.meta.txt of the binary version"
    ),
    origin_url="https://www.cs.toronto.edu/~kriz/cifar.html",
    license="unknown; collected from the web for research",
    size="50,000 photos to train and validate on, 10,000 to test on; 170 MB",
    # the checksum is the one that the page of the dataset names
    downloads=(
        Download(
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            checksum="md5:c58f30108f718f92721af3b95e74349a",
            subfolder="cifar-10-batches-py",
        ),
    ),
    sample=".sample:write_sample",
    cannot={
        "splits_are_disjoint": "train and val are parts of trainval, which is the published training set"
    },
)

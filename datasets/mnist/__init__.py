"""MNIST: gray images of handwritten digits, and other data in its format."""

from toolkit.registry.manifests import DatasetManifest, Download

_MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"

DATASET = DatasetManifest(
    name="mnist",
    summary="MNIST: handwritten digits, 28 × 28 pixels, gray; also Fashion-MNIST and others in IDX files",
    build=".reader:build",
    settings=".reader:MnistSettings",
    tasks=("classification",),
    splits=("train", "val", "trainval", "test"),
    fixed_splits=True,
    layout=(
        "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte;"
        " each may end in .gz"
    ),
    origin_url="http://yann.lecun.com/exdb/mnist/",
    license="often given as CC BY-SA 3.0 (Y. LeCun, C. Cortes)",
    size="60,000 images to train and validate on, 10,000 to test on; 12 MB",
    # the address and the checksums are those of torchvision
    downloads=(
        Download(f"{_MIRROR}train-images-idx3-ubyte.gz", checksum="md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        Download(f"{_MIRROR}train-labels-idx1-ubyte.gz", checksum="md5:d53e105ee54ea40749a09fcbcd1e9432"),
        Download(f"{_MIRROR}t10k-images-idx3-ubyte.gz", checksum="md5:9fb629c4189551a2d022fa330f9573f3"),
        Download(f"{_MIRROR}t10k-labels-idx1-ubyte.gz", checksum="md5:ec29112dd5afa0611ce80d1b7f02629c"),
    ),
    sample=".sample:write_sample",
    cannot={
        "splits_are_disjoint": "train and val are parts of trainval, which is the published training set"
    },
)

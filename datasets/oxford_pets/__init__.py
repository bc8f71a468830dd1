"""Oxford-IIIT Pet: photos of cats and dogs of 37 breeds, each with a trimap of the animal."""

from toolkit.registry.manifests import DatasetManifest, Download

DATASET = DatasetManifest(
    name="oxford-pets",
    summary="Oxford-IIIT Pet: animals in photos of cats and dogs, as one class, two species or 37 breeds",
    build=".reader:build",
    settings=".reader:PetsSettings",
    tasks=("semantic",),
    fixed_splits=True,
    splits=("train", "val", "trainval", "test"),
    layout=(
        "images/Abyssinian_1.jpg with annotations/trimaps/Abyssinian_1.png (1 = pet, 2 = background, 3 ="
        " border), annotations/{trainval,test}.txt"
    ),
    origin_url="https://www.robots.ox.ac.uk/~vgg/data/pets/",
    license="CC BY-SA 4.0; the photos belong to their owners",
    size="3,680 photos for training and validation, 3,669 for testing; 800 MB",
    # the checksums are those that torchvision uses for these files
    downloads=(
        Download(
            "https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz",
            checksum="md5:5c4f3ee8e5d25df40f4fd59a7f44e54c",
        ),
        Download(
            "https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz",
            checksum="md5:95a8c909bbe2e81eed6a22bccdf3f68f",
        ),
    ),
    sample=".sample:write_sample",
    cannot={"splits_are_disjoint": "train and val are parts of trainval, as published"},
)

"""Oxford-IIIT Pet: photos of cats and dogs of 37 breeds, each with a trimap of the animal."""

from toolkit.registry.manifests import DatasetManifest

DATASET = DatasetManifest(
    name="oxford-pets",
    summary="Oxford-IIIT Pet: the animal in photos of cats and dogs; as one class, two species or 37 breeds",
    build=".reader:build",
    settings=".reader:PetsSettings",
    tasks=("semantic",),
    splits=("train", "val", "trainval", "test"),
    layout=(
        "images/Abyssinian_1.jpg with annotations/trimaps/Abyssinian_1.png (1 = pet, 2 = background, 3 ="
        " border), annotations/{trainval,test}.txt"
    ),
    origin_url="https://www.robots.ox.ac.uk/~vgg/data/pets/",
    license="CC BY-SA 4.0; the photos are their owners'",
    size="3,680 photos to train and validate on, 3,669 to test on; 800 MB",
    sample=".sample:write_sample",
    cannot={"splits_are_disjoint": "train and val are parts of trainval, as published"},
)

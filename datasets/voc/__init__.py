"""PASCAL VOC: photos with 20 classes of objects, labeled pixel by pixel and object by object."""

from toolkit.registry.manifests import DatasetManifest, Download

DATASET = DatasetManifest(
    name="voc",
    summary="PASCAL VOC segmentation: 20 classes of objects in photos, 2007 to 2012",
    build=".reader:build",
    settings=".reader:VocSettings",
    tasks=("semantic", "instance", "promptable"),
    fixed_splits=True,
    splits=("train", "val", "trainval", "test", "train_aug"),
    layout=(
        "VOCdevkit/VOC2012/ with JPEGImages/ID.jpg, SegmentationClass/ID.png, SegmentationObject/ID.png and"
        " ImageSets/Segmentation/{train,val,trainval}.txt; for the split train_aug also"
        " SegmentationClassAug/ID.png and train_aug.txt"
    ),
    origin_url="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
    license="annotations: free to use, see the web page; photos: from Flickr, under Flickr's terms of use",
    size="2012: 1,464 photos for training and 1,449 for validation; 10,582 with SBD",
    # the checksum is the one that torchvision uses for this file
    downloads=(
        Download(
            "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
            checksum="md5:6cd6e144f989b92b3379bac3b3de84fd",
        ),
    ),
    sample=".sample:write_sample",
    cannot={
        "splits_are_disjoint": (
            "as published, trainval is train and val together, and train_aug contains train"
        )
    },
)

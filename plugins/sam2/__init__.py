"""SAM 2: segments what points and boxes indicate, and is trained on masks of objects."""

from toolkit.registry.manifests import PluginManifest, Weights

_LICENSE = "Apache-2.0"
_HUB = "https://huggingface.co/facebook"

PLUGIN = PluginManifest(
    name="sam2",
    summary="SAM 2 and 2.1 in all sizes: segments what points and boxes indicate; fine-tunes on object masks",
    task="promptable",
    build=".model:build",
    settings=".settings:Sam2Settings",
    requires=("sam2>=1.1",),
    install="SAM2_BUILD_CUDA=0 pip install --no-build-isolation 'sam2>=1.1'",
    evaluators=("objects",),
    defaults={
        "weights": "official",
        "train": {
            "optimizer": "adamw",
            "lr": 1e-5,
            "weight_decay": 4e-5,
            "schedule": "constant",
            "batch_size": 1,
            "epochs": 20,
            "eval_first": True,
        },
    },
    recommended={"augment": "auto"},
    weights=(
        Weights("official", f"{_LICENSE}; the published checkpoint of model.version and model.size", _HUB),
        Weights("sam2-tiny", _LICENSE, f"{_HUB}/sam2-hiera-tiny"),
        Weights("sam2-small", _LICENSE, f"{_HUB}/sam2-hiera-small"),
        Weights("sam2-base_plus", _LICENSE, f"{_HUB}/sam2-hiera-base-plus"),
        Weights("sam2-large", _LICENSE, f"{_HUB}/sam2-hiera-large"),
        Weights("sam2.1-tiny", _LICENSE, f"{_HUB}/sam2.1-hiera-tiny"),
        Weights("sam2.1-small", _LICENSE, f"{_HUB}/sam2.1-hiera-small"),
        Weights("sam2.1-base_plus", _LICENSE, f"{_HUB}/sam2.1-hiera-base-plus"),
        Weights("sam2.1-large", _LICENSE, f"{_HUB}/sam2.1-hiera-large"),
    ),
    load_weights=".weights:load_weights",
    settings_of_weights=".weights:settings_of",
    reads=("sam2",),
    paper="https://arxiv.org/abs/2408.00714",
)

from toolkit import DatasetManifest, PluginManifest

PLUGIN = PluginManifest(name="fake-net", summary="from a package", task="semantic", build=":build")
DATASET = DatasetManifest(name="fake-data", summary="from a package", build=":build", tasks=("semantic",))


def build(settings, classes):
    return "a model"

from toolkit import PluginManifest

PLUGIN = PluginManifest(
    name="needy",
    summary="needs what is not there",
    task="semantic",
    build=":build",
    requires=("no-such-distribution>=2",),
)

from toolkit import PluginManifest

PLUGIN = PluginManifest(name="unet", summary="takes a name that is taken", task="semantic", build=":build")

"""Settings: YAML recipes and ``key=value`` words become one typed, frozen ``RunSettings``.

Later sources win: the toolkit's defaults, the plugin's ``defaults``, the recipe or ``--config`` file, then
the command line. Unknown keys are errors, and all errors are reported in one message.
"""

from toolkit.config.recipes import find_recipe, recipe_folder, resolve
from toolkit.config.scale import ImageSettings, Scale
from toolkit.config.schema import DataSettings, RunSettings, TrainSettings
from toolkit.config.settings import Settings, settings_class, validate

__all__ = [
    "DataSettings",
    "ImageSettings",
    "RunSettings",
    "Scale",
    "Settings",
    "TrainSettings",
    "find_recipe",
    "recipe_folder",
    "resolve",
    "settings_class",
    "validate",
]

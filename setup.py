"""Maps the folders of the checkout to the one package that is installed; everything else is in
pyproject.toml.

``plugins/``, ``datasets/`` and ``configs/`` are top-level folders so that they are easy to find, but must not
be installed as top-level packages (``datasets`` is the name of another package). They become
``toolkit.plugins.<x>``, ``toolkit.datasets.<x>`` and package data of ``toolkit.configs``.
"""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
package_dir = {"toolkit": "toolkit", "toolkit.configs": "configs"}
packages = [name for name in find_packages(include=["toolkit", "toolkit.*"]) if name != "toolkit.configs"] + [
    "toolkit.configs"
]
for family in ("plugins", "datasets"):
    for inside in find_packages(family):
        package_dir[f"toolkit.{family}.{inside}"] = f"{family}/{inside.replace('.', '/')}"
        packages.append(f"toolkit.{family}.{inside}")

setup(
    packages=packages,
    package_dir=package_dir,
    package_data={
        "toolkit": ["py.typed"],
        "toolkit.configs": ["*.yaml"],
        "toolkit.reporting": ["templates/*"],
        "toolkit.serve": ["templates/*", "page/**/*"],
    },
)

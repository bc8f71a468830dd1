"""The built-in plugins. In a checkout they live in the top-level folder ``plugins/``, so a folder added there
is found immediately.
"""

from pathlib import Path

_checkout = Path(__file__).resolve().parents[2]
_folder = _checkout / "plugins"
if (_checkout / "setup.py").is_file() and _folder.is_dir() and not (_folder / "__init__.py").exists():
    __path__.append(str(_folder))

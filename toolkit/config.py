"""placeholder: Settings base only; the full module follows"""
from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Base of all settings: typed, frozen, and an unknown key is an error. One sentence per field, in its docstring."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True)

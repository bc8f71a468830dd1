"""Why a model predicts what it does: maps of the pixels that matter for a class, a region, an object or an
answer to a prompt.
"""

from toolkit.explaining.types import Explanation
from toolkit.types import Target

__all__ = ["Explanation", "Target"]

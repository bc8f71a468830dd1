"""Why a model predicts what it does: maps of the pixels that matter for a class, a region, an object or an
answer to a prompt.
"""

from toolkit.explaining.subject import Effort
from toolkit.explaining.targets import NothingToExplainError
from toolkit.explaining.types import Explanation
from toolkit.types import Target

__all__ = ["Effort", "Explanation", "NothingToExplainError", "Target"]

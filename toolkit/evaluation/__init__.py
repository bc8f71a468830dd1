"""Measures how good predictions are. An evaluator is updated with samples and predictions and returns a
``Report``.

Importing this package imports no torch; an evaluator's code is imported when it is built from its manifest.
"""

from toolkit.evaluation.base import Evaluator
from toolkit.evaluation.report import Curve, Report, is_better

__all__ = ["Curve", "Evaluator", "Report", "is_better"]

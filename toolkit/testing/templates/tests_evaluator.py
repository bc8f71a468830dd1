"""Conformance checks of mynet: ``pytest test_mynet.py``."""

from toolkit.testing import EvaluatorContract


class TestMyNet(EvaluatorContract):
    """On generated samples."""

    evaluator = "mynet.py"

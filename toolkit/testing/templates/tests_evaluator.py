"""What every evaluator promises, checked for mynet: ``pytest test_mynet.py``."""

from toolkit.testing import EvaluatorContract


class TestMyNet(EvaluatorContract):
    """On generated samples."""

    evaluator = "mynet.py"

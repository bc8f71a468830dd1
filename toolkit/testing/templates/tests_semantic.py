"""Conformance checks of mynet: ``pytest test_mynet.py``."""

from toolkit.testing import ModelContract


class TestMyNet(ModelContract):
    """A small network, so that the checks are quick."""

    plugin = "mynet.py"
    settings = {"width": 8}

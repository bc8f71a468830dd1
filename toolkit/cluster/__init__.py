"""Predicting and evaluating on several machines: names of images travel, and each process of a cluster reads,
predicts and writes by the same code as one machine does.
"""

from toolkit.cluster.engine import RayEngine
from toolkit.cluster.evaluating import RayMeasuring

__all__ = ["RayEngine", "RayMeasuring"]

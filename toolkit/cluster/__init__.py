"""Predicting folders on several machines: names of images travel, and each process of a cluster reads,
predicts and writes by the same code as one machine does.
"""

from toolkit.cluster.engine import RayEngine

__all__ = ["RayEngine"]

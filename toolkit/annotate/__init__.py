"""Bridges to annotation tools: models as functions of CVAT, and as backends of Label Studio."""

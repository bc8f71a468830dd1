"""A plugin-based toolkit for detection and segmentation."""

"""Exports models for other software."""

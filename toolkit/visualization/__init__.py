"""Visualization: predictions drawn over photos, and contact sheets."""

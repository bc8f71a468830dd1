"""Conversions between the files, settings and network of Detectron2 and those of this plugin.

Nothing here imports Detectron2 unless the engine of that name is selected.
"""

"""Detectron2's files, settings and network, and those of this plugin: there and back.

Nothing here imports Detectron2 unless the engine of that name is asked for.
"""

"""Data on its way to a model: the contract of datasets, reading images, augmenting, loading, checking,
previewing.
"""

"""The data pipeline: the contract of datasets, and reading images, augmenting, loading, checking and
previewing.
"""

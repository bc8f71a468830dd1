"""The data pipeline: the contract of datasets, and reading, augmenting, loading, checking and previewing
images.
"""

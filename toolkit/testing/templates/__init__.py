"""The templates of ``toolkit plugins new``: working plugins, datasets and evaluators in one file each, named
``mynet``.
"""

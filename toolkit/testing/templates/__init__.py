"""What ``toolkit plugins new`` writes: working plugins, datasets and evaluators in one file each, called
``mynet``.
"""

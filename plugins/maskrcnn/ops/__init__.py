"""The operators that take most of the time, made faster on a CPU. Their results are those of the plain ones
within rounding.
"""

"""Training: one loop, ``toolkit.training.loop.train``, that reads top to bottom."""

"""Explanations: where in a photo the evidence for a prediction is, and scores that say how true a map is."""

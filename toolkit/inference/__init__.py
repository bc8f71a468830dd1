"""Predicting with a trained model: single images from Python, whole folders from the command line."""

from toolkit.inference.image_prediction import ImagePrediction
from toolkit.inference.interactive import Session
from toolkit.inference.predictor import Predictor, load
from toolkit.models.sliding_window import Tiling

__all__ = ["ImagePrediction", "Predictor", "Session", "Tiling", "load"]

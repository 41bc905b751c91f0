"""Model references made into networks to listen to: safe loading, taps, preprocessing."""

from otce.zoo.loading import load_model, model_identity
from otce.zoo.model import SourceModel

__all__ = ["SourceModel", "load_model", "model_identity"]

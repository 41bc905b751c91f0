"""Model references made into networks to listen to: safe loading, taps, preprocessing."""

from otce.zoo.model import SourceModel, load_model, model_digests

__all__ = ["SourceModel", "load_model", "model_digests"]

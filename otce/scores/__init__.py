"""Transferability scores on drawn pixels, one formula a file; higher is better everywhere."""

from otce.scores.otce import Score, score_draws, score_epsilons, score_pixels

__all__ = ["Score", "score_draws", "score_epsilons", "score_pixels"]

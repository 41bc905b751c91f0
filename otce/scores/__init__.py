"""Transferability scores on drawn pixels, one formula a file; higher is better everywhere."""

from otce.scores.cc_fv import cc_fv
from otce.scores.draws import score_draws
from otce.scores.gbc import gbc
from otce.scores.h_score import h_score, h_score_shrunk
from otce.scores.jc_otce import jc_otce
from otce.scores.knn import knn
from otce.scores.leep import leep
from otce.scores.logme import logme
from otce.scores.nce import nce
from otce.scores.nleep import nleep
from otce.scores.otce import Score, score_epsilons, score_pixels
from otce.scores.otce_full import Coefficients, fit, otce_full
from otce.scores.transrate import transrate
from otce.scores.zero_shot import zero_shot_miou

__all__ = [
    "Coefficients",
    "Score",
    "cc_fv",
    "fit",
    "gbc",
    "h_score",
    "h_score_shrunk",
    "jc_otce",
    "knn",
    "leep",
    "logme",
    "nce",
    "nleep",
    "otce_full",
    "score_draws",
    "score_epsilons",
    "score_pixels",
    "transrate",
    "zero_shot_miou",
]
